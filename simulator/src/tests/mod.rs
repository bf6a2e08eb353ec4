//! Both simulators over HTTP.

mod anypoint;
mod clients;
mod control;
mod faults;
mod hooks;
mod lies;
mod lists;
mod okta;
mod refusals;
mod teams;

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use super::anypoint::{AnypointOptions, AnypointSimulator};
use super::okta::{OktaOptions, OktaSimulator};

const APP: &str = "0oaANYPOINT";

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn client() -> Client {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(rustls::RootCertStore::empty())
    .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .build()
        .unwrap()
}

/// An answer, read to its end.
struct Seen {
    status: u16,
    links: Vec<String>,
    headers: http::HeaderMap,
    body: Value,
    text: String,
}

impl Seen {
    /// The ids of a list.
    fn ids(&self) -> Vec<&str> {
        let items = match self.body.get("data") {
            Some(data) => data.as_array().unwrap(),
            None => self.body.as_array().unwrap(),
        };
        let id = |item: &'_ Value| item["id"].as_str().or(item["team_id"].as_str()).is_some();
        assert!(items.iter().all(id), "{}", self.text);
        items
            .iter()
            .filter_map(|item| item["id"].as_str().or(item["team_id"].as_str()))
            .collect()
    }

    /// The values of a header.
    fn header(&self, name: &str) -> Vec<String> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }

    fn next(&self) -> Option<String> {
        let link = self
            .links
            .iter()
            .find(|link| link.ends_with("rel=\"next\""))?;
        Some(
            link.trim_start_matches('<')
                .split('>')
                .next()
                .unwrap()
                .to_owned(),
        )
    }
}

async fn send(request: RequestBuilder) -> Seen {
    let answer = request
        .header("accept", "application/json")
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let links = answer
        .headers()
        .get_all("link")
        .iter()
        .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
        .collect();
    let headers = answer.headers().clone();
    let text = answer.text().await.unwrap();
    Seen {
        status,
        links,
        headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}

struct Okta {
    sim: OktaSimulator,
    http: Client,
}

impl Okta {
    async fn start(options: OktaOptions) -> Self {
        let sim = OktaSimulator::start(any_port(), options).await.unwrap();
        sim.world().add_app(APP, "Anypoint (prod)");
        Self {
            sim,
            http: client(),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.sim.base_url()),
        };
        self.http
            .request(method, url)
            .header("authorization", "SSWS simulated-okta-token")
    }

    async fn get(&self, path: &str) -> Seen {
        send(self.request(Method::GET, path)).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Seen {
        send(self.request(method, path).json(&body)).await
    }

    fn user(&self, name: &str) -> String {
        let email = format!("{name}@acme.example");
        self.sim
            .world()
            .create_user(&email, name, "Example", &email, None)
            .unwrap()
            .id
    }

    fn nothing_unexpected(&self) {
        assert_eq!(self.sim.traffic().unexpected(), Vec::<String>::new());
    }
}

/// An org with one user, and a group with this user in it.
async fn org() -> (Okta, String, String) {
    let okta = Okta::start(OktaOptions::default()).await;
    let ann = okta.user("ann");
    let group = okta.sim.world().create_group("Builders").unwrap().id;
    okta.sim.world().add_member(&group, &ann).unwrap();
    (okta, ann, group)
}

struct Anypoint {
    sim: AnypointSimulator,
    http: Client,
    token: String,
}

impl Anypoint {
    async fn start(options: AnypointOptions) -> Self {
        let sim = AnypointSimulator::start(any_port(), options).await.unwrap();
        let mut this = Self {
            sim,
            http: client(),
            token: String::new(),
        };
        this.sign_in().await;
        this
    }

    async fn sign_in(&mut self) {
        let url = format!("{}/accounts/api/v2/oauth2/token", self.sim.base_url());
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "simulated-client"),
            ("client_secret", "simulated-secret"),
        ];
        let seen = send(self.http.post(url).form(&form)).await;
        assert_eq!(seen.status, 200);
        self.token = seen.body["access_token"].as_str().unwrap().to_owned();
    }

    /// A path below the organization.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let org = self.sim.world().org_id.clone();
        let url = format!(
            "{}/accounts/api/organizations/{org}{path}",
            self.sim.base_url()
        );
        self.http.request(method, url).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Seen {
        send(self.request(Method::GET, path)).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Seen {
        send(self.request(method, path).json(&body)).await
    }

    fn nothing_unexpected(&self) {
        assert_eq!(self.sim.traffic().unexpected(), Vec::<String>::new());
    }
}
