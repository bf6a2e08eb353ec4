//! Starts both simulators and plays a test on them: a little program copies the people of an Okta app to Anypoint, and one
//! lie shows what it does not expect. `cargo run -p okta-anypoint-simulator --example play`

use std::error::Error;
use std::sync::Arc;

use okta_anypoint_simulator::anypoint::{AnypointOptions, AnypointSimulator};
use okta_anypoint_simulator::fault::Fault;
use okta_anypoint_simulator::okta::{OktaOptions, OktaSimulator};
use serde_json::{Value, json};

const APP: &str = "0oaAPP1";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let any_port = "127.0.0.1:0".parse()?;
    let okta = OktaSimulator::start(any_port, OktaOptions::default()).await?;
    let anypoint = AnypointSimulator::start(any_port, AnypointOptions::default()).await?;

    // Given: an app with one person.
    okta.world().add_app(APP, "Anypoint Platform");
    let login = "ada@acme.example";
    let ada = okta
        .world()
        .create_user(login, "Ada", "Lovelace", login, None)?;
    okta.world().assign(APP, &ada.id)?;

    // When the program runs, then Anypoint has her.
    let program = Program::new(&okta, &anypoint)?;
    assert_eq!(program.copy().await?, 1);
    assert!(anypoint.world().user_by_username("ada").is_some());

    // When Okta lies, nobody is copied, and the program does not even notice.
    okta.traffic().inject(Fault::empty_list("/users").once());
    assert_eq!(program.copy().await?, 0);

    // Everything it asked for is documented.
    assert_eq!(okta.traffic().unexpected(), Vec::<String>::new());
    assert_eq!(anypoint.traffic().unexpected(), Vec::<String>::new());
    println!("Ada is in Anypoint; an empty list was believed.");
    Ok(())
}

/// What is tested.
struct Program {
    http: reqwest::Client,
    okta: String,
    anypoint: String,
    org: String,
}

impl Program {
    fn new(okta: &OktaSimulator, anypoint: &AnypointSimulator) -> Result<Self, Box<dyn Error>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Ok(Self {
            http: reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .build()?,
            okta: okta.base_url().to_owned(),
            anypoint: format!("{}/accounts/api", anypoint.base_url()),
            org: anypoint.world().org_id.clone(),
        })
    }

    /// Creates an account for everybody in the app; says how many.
    async fn copy(&self) -> Result<usize, Box<dyn Error>> {
        let users = self
            .http
            .get(format!("{}/api/v1/apps/{APP}/users?expand=user", self.okta))
            .header("authorization", "SSWS simulated-okta-token");
        let users: Vec<Value> = users.send().await?.error_for_status()?.json().await?;
        let sign_in = json!({"grant_type": "client_credentials",
            "client_id": "simulated-client", "client_secret": "simulated-secret"});
        let token = self
            .http
            .post(format!("{}/v2/oauth2/token", self.anypoint))
            .json(&sign_in);
        let token: Value = token.send().await?.error_for_status()?.json().await?;
        for user in &users {
            let profile = &user["_embedded"]["user"]["profile"];
            let account = json!({"username": user["credentials"]["userName"], "firstName": profile["firstName"],
                "lastName": profile["lastName"], "email": profile["email"], "password": "Example-Passw0rd"});
            let url = format!("{}/organizations/{}/users", self.anypoint, self.org);
            let create = self.http.post(url).json(&account);
            let create = create.bearer_auth(token["access_token"].as_str().unwrap_or_default());
            create.send().await?.error_for_status()?;
        }
        Ok(users.len())
    }
}
