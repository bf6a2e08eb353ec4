//! The client sends secrets and tokens only to the host they belong to.

use std::sync::Mutex;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use okta_anypoint::anypoint::Anypoint;
use okta_anypoint::ids::OrganizationId;
use okta_anypoint::settings::{Reader, RemoteSettings};

use super::*;
use crate::world::World;

/// Every request a tiny server got: method, path, `authorization`.
type Seen = Arc<Mutex<Vec<(Method, String, Option<String>)>>>;

/// A server that answers all requests with `answer`.
async fn server(
    answer: impl Fn(&Method, &Uri) -> Response + Clone + Send + Sync + 'static,
) -> (String, Seen) {
    let seen = Seen::default();
    let log = seen.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(
        move |method: Method, uri: Uri, headers: HeaderMap| async move {
            let authorization = headers.get("authorization");
            let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
            let entry = (method.clone(), uri.path().to_owned(), authorization);
            log.lock().unwrap().push(entry);
            answer(&method, &uri)
        },
    );
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

async fn bystander() -> (String, Seen) {
    server(|_, _| (StatusCode::OK, "[]").into_response()).await
}

fn anypoint_at(base_url: &str) -> Anypoint {
    Anypoint::new(
        HttpClient::new(Arc::new(SystemClock)).unwrap(),
        base_url.parse().unwrap(),
        OrganizationId::parse("0b0e2f5c-0000-4000-8000-0000000000aa").unwrap(),
        "client".to_owned(),
        "secret".to_owned().into(),
    )
}

#[test]
fn the_addresses_of_all_control_planes_are_accepted() {
    for host in [
        "anypoint.mulesoft.com",
        "eu1.anypoint.mulesoft.com",
        "gov.anypoint.mulesoft.com",
        "canada.anypoint.mulesoft.com",
        "ca1.platform.mulesoft.com",
        "jp1.platform.mulesoft.com",
        "in1.platform.mulesoft.com",
        "au1.platform.mulesoft.com",
        "gb1.platform.mulesoft.com",
    ] {
        for url in [format!("https://{host}"), format!("https://{host}/")] {
            let given = url.clone();
            let mut reader = Reader::new(move |name| {
                Some(match name {
                    "ANYPOINT_BASE_URL" => given.clone(),
                    "OKTA_ORG_URL" => "https://acme.okta.com".to_owned(),
                    "OKTA_APP_ID" => APP.to_owned(),
                    "OKTA_API_TOKEN" | "ANYPOINT_CLIENT_ID" | "ANYPOINT_CLIENT_SECRET" => {
                        "value".to_owned()
                    }
                    "ANYPOINT_ORG_ID" => "0b0e2f5c-0000-4000-8000-0000000000aa".to_owned(),
                    _ => return None,
                })
            });
            let settings = RemoteSettings::read(&mut reader);
            let settings = reader.finish(settings).unwrap();
            assert_eq!(settings.anypoint_base_url.host_str(), Some(host));
        }
    }
}

#[tokio::test]
async fn no_call_follows_a_redirect() {
    for status in [
        StatusCode::FOUND,
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ] {
        let (elsewhere, nobody) = bystander().await;
        let (base, seen) =
            server(move |_, _| (status, [("location", format!("{elsewhere}/"))]).into_response())
                .await;
        // The token requests of both remotes carry secrets in their bodies.
        let anypoint = anypoint_at(&base);
        anypoint.list_accounts(soon()).await.unwrap_err();
        let key = PrivateKey::generate().unwrap();
        let http = HttpClient::new(Arc::new(SystemClock)).unwrap();
        let okta = Okta::new(http.clone(), base.parse().unwrap(), service_app(&key));
        okta.list_groups(soon()).await.unwrap_err();
        // And every call carries the token.
        let token = Credentials::ApiToken("token".to_owned().into());
        let okta = Okta::new(http, base.parse().unwrap(), token);
        okta.list_groups(soon()).await.unwrap_err();
        assert_eq!(seen.lock().unwrap().len(), 3, "{status}");
        assert!(nobody.lock().unwrap().is_empty(), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_after_sign_in_gets_no_token() {
    let (elsewhere, nobody) = bystander().await;
    let (base, seen) = server(move |_, uri| {
        if uri.path().ends_with("/token") {
            return r#"{"access_token":"token-of-this-plane","expires_in":3600}"#.into_response();
        }
        let location = [("location", format!("{elsewhere}{uri}"))];
        (StatusCode::FOUND, location).into_response()
    })
    .await;
    anypoint_at(&base).list_accounts(soon()).await.unwrap_err();
    let key = PrivateKey::generate().unwrap();
    let http = HttpClient::new(Arc::new(SystemClock)).unwrap();
    let okta = Okta::new(http, base.parse().unwrap(), service_app(&key));
    okta.list_groups(soon()).await.unwrap_err();
    let with_token = Some("Bearer token-of-this-plane".to_owned());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().filter(|entry| entry.2 == with_token).count(), 2);
    assert!(nobody.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_next_page_on_another_host_gets_no_token() {
    let (elsewhere, nobody) = bystander().await;
    let (base, _) = server(move |_, _| {
        let link = format!("<{elsewhere}/api/v1/groups?after=1>; rel=\"next\"");
        ([("link", link)], "[]").into_response()
    })
    .await;
    let http = HttpClient::new(Arc::new(SystemClock)).unwrap();
    let token = Credentials::ApiToken("token".to_owned().into());
    let okta = Okta::new(http, base.parse().unwrap(), token);
    let error = okta.list_groups(soon()).await.unwrap_err();
    assert!(error.to_string().contains("another host"), "{error}");
    // A stored cursor that leads to another host: the session itself refuses it.
    let (stranger, stranger_saw) = bystander().await;
    let kept = format!("{stranger}/api/v1/logs?after=1").parse().unwrap();
    okta.log_page(&kept, soon()).await.unwrap_err();
    assert!(nobody.lock().unwrap().is_empty());
    assert!(stranger_saw.lock().unwrap().is_empty());
}

#[tokio::test]
async fn two_planes_have_two_tokens() {
    let planes = [World::new().await, World::new().await];
    for plane in &planes {
        let anypoint = &plane.ports.anypoint;
        anypoint.list_accounts(soon()).await.unwrap();
        anypoint.list_teams(soon()).await.unwrap();
    }
    for plane in &planes {
        assert_eq!(
            plane
                .anypoint
                .traffic()
                .count(&Method::POST, "/oauth2/token"),
            1
        );
        assert!(
            plane
                .anypoint
                .traffic()
                .log()
                .iter()
                .all(|r| r.status == 200)
        );
    }
}
