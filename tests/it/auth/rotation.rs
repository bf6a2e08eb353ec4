//! Secrets in Secrets Manager (moto), rotated under a running program.

use aws_sdk_secretsmanager::Client;
use okta_anypoint::failure::{Cause, Failure};
use okta_anypoint::receiver::Gate;
use okta_anypoint::secrets::{SecretStore, SecretVersion, SecretsManager};
use okta_anypoint::settings::{HookSettings, Needs, Reader, RemoteSettings};
use serde_json::json;

use super::*;
use crate::runtime_api::{Function, Lambda, Request as Sent};
use crate::servers;
use crate::world::World;

async fn manager() -> Client {
    let config = servers::config(servers::moto_url()).await.into_builder();
    // moto keeps secrets, unlike queues, only in regions that exist. Their names are unique.
    let region = aws_config::Region::new("us-east-1");
    Client::new(&config.region(region).build())
}

async fn secret(client: &Client, text: &str) -> String {
    let name = format!("test/{}", uuid::Uuid::new_v4());
    let made = client.create_secret().name(name).secret_string(text);
    made.send().await.unwrap().arn.unwrap()
}

async fn rotate(client: &Client, arn: &str, text: &str) {
    let put = client.put_secret_value().secret_id(arn).secret_string(text);
    put.send().await.unwrap();
}

const BOTH: Needs = Needs {
    hook: true,
    credentials: true,
};

async fn reader(
    client: &Client,
    variables: &[(&str, &str)],
    needs: Needs,
) -> Result<Reader<'static>, Failure> {
    let variables: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let environment = move |name: &str| {
        let found = variables.iter().find(|(key, _)| key == name)?;
        Some(found.1.clone())
    };
    let store = Arc::new(SecretsManager::new(client.clone()));
    Reader::with_secrets(environment, store, needs, soon()).await
}

async fn gate(client: &Client, arn: &str) -> Result<Gate, Failure> {
    let variables = [("HOOK_SECRET_ARN", arn), ("OKTA_APP_ID", APP)];
    let mut reader = reader(client, &variables, BOTH).await?;
    let settings = HookSettings::read(&mut reader);
    let settings = reader.finish(settings).unwrap();
    Ok(Gate::new(settings.header, settings.secrets).unwrap())
}

async fn admits(gate: &Gate, given: Option<&str>) -> bool {
    let mut request = http::Request::new(());
    if let Some(given) = given {
        let headers = request.headers_mut();
        headers.insert("authorization", given.parse().unwrap());
    }
    gate.admit(request, soon()).await.is_some()
}

#[tokio::test]
async fn the_hook_secret_is_rotated_without_a_deployment() {
    let client = manager().await;
    // As `aws secretsmanager create-secret --secret-string file://…` stores it.
    let arn = secret(&client, "the-first-value\n").await;
    let gate = gate(&client, &arn).await.unwrap();
    assert!(admits(&gate, Some("the-first-value")).await);

    rotate(&client, &arn, "the-second-value").await;
    // The first request with the new value passes, and the previous value still works.
    assert!(admits(&gate, Some("the-second-value")).await);
    assert!(admits(&gate, Some("the-first-value")).await);

    // A stranger who repeats one wrong value does not keep the next value out.
    for _ in 0..20 {
        assert!(!admits(&gate, Some("a wrong value")).await);
    }
    rotate(&client, &arn, "the-third-value").await;
    assert!(admits(&gate, Some("the-third-value")).await);

    // Strangers who send ever new wrong values, before and meanwhile, do not keep it out for long.
    for n in 0..20 {
        assert!(!admits(&gate, Some(&format!("a wrong value {n}"))).await);
    }
    rotate(&client, &arn, "the-fourth-value").await;
    let began = std::time::Instant::now();
    let mut refused = 0;
    while !admits(&gate, Some("the-fourth-value")).await {
        refused += 1;
        assert!(began.elapsed() < std::time::Duration::from_secs(15));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(refused > 0, "the budget was used up");
    assert!(admits(&gate, Some("the-third-value")).await);
    assert!(!admits(&gate, Some("the-second-value")).await);
}

#[tokio::test]
async fn an_unusable_hook_secret_stops_the_start() {
    let client = manager().await;
    for (text, words) in [
        (r#"{"hook_secret": "planted-value"}"#, "is JSON"),
        ("short", "too short"),
        ("planted-value\nand another line", "no header can carry it"),
    ] {
        let arn = secret(&client, text).await;
        let failure = gate(&client, &arn).await.err().unwrap().to_string();
        assert!(
            failure.contains(words) && failure.contains("plain text"),
            "{failure}"
        );
        assert!(!failure.contains("planted"), "{failure}");
        // As the previous value, it is ignored.
        rotate(&client, &arn, "the-first-value").await;
        let gate = gate(&client, &arn).await.unwrap();
        assert!(admits(&gate, Some("the-first-value")).await);
        assert!(!admits(&gate, Some("short")).await);
    }
}

#[tokio::test]
async fn a_start_accepts_the_current_and_the_previous_secret_only() {
    let client = manager().await;
    let arn = secret(&client, "the-first-value").await;
    rotate(&client, &arn, "the-second-value").await;
    rotate(&client, &arn, "the-third-value").await;
    let gate = gate(&client, &arn).await.unwrap();
    for (given, admitted) in [
        (Some("the-third-value"), true),
        (Some("the-second-value"), true),
        (Some("the-first-value"), false),
        (Some(""), false),
        (None, false),
    ] {
        assert_eq!(admits(&gate, given).await, admitted, "{given:?}");
    }
}

#[tokio::test]
async fn an_empty_secret_admits_nobody() {
    let client = manager().await;
    let arn = secret(&client, " \n").await;
    let failure = gate(&client, &arn).await.err().unwrap();
    assert!(failure.to_string().contains("HOOK_SECRET_ARN"), "{failure}");
    // Emptied while the program runs: the known values still work, and a missing header is still refused.
    rotate(&client, &arn, "the-first-value").await;
    let gate = gate(&client, &arn).await.unwrap();
    rotate(&client, &arn, "\n").await;
    assert!(!admits(&gate, None).await);
    assert!(!admits(&gate, Some("")).await);
    assert!(!admits(&gate, Some("other")).await);
    assert!(admits(&gate, Some("the-first-value")).await);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_stops_the_start_with_advice() {
    let client = manager().await;
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:none-aaaaaa";
    let failure = gate(&client, arn).await.err().unwrap();
    assert_eq!(failure.cause, Cause::NotFound);
    let text = failure.to_string();
    assert!(
        text.contains(arn) && text.contains("HOOK_SECRET_ARN"),
        "{text}"
    );
}

#[tokio::test]
async fn only_a_missing_previous_value_is_normal() {
    let client = manager().await;
    let arn = secret(&client, "the-first-value").await;
    let store = SecretsManager::new(client);
    for (id, stage, found) in [
        (arn.as_str(), SecretVersion::Current, Ok(true)),
        (&arn, SecretVersion::Previous, Ok(false)),
        ("nobody/has/this", SecretVersion::Current, Err(())),
    ] {
        let read = store.read("HOOK_SECRET_ARN", id, stage, soon()).await;
        let read = read.map(|text| text.is_some()).map_err(|_| ());
        assert_eq!(read, found, "{id} {stage:?}");
    }
}

#[tokio::test]
async fn variables_take_precedence_and_avoid_the_fetch() {
    // A client that would fail: nothing listens at its address.
    let config = servers::config("http://127.0.0.1:9").await;
    let client = Client::new(&config);
    let variables = [
        ("HOOK_SECRET", "a-long-value"),
        ("HOOK_SECRET_ARN", "arn:none"),
        ("CREDENTIALS_SECRET_ARN", "arn:none"),
        ("OKTA_API_TOKEN", "token"),
        ("ANYPOINT_CLIENT_ID", "id"),
        ("ANYPOINT_CLIENT_SECRET", "secret"),
    ];
    reader(&client, &variables, BOTH).await.unwrap();
    reader(&client, &[], BOTH).await.unwrap();
    let neither = Needs {
        hook: false,
        credentials: false,
    };
    let named = [
        ("HOOK_SECRET_ARN", "arn:none"),
        ("CREDENTIALS_SECRET_ARN", "arn:none"),
    ];
    reader(&client, &named, neither).await.unwrap();
}

async fn remotes(client: &Client, variables: &[(&str, &str)]) -> Result<RemoteSettings, String> {
    let mut all = vec![
        ("OKTA_ORG_URL", "http://127.0.0.1:9"),
        ("OKTA_APP_ID", APP),
        ("ANYPOINT_ORG_ID", "0b0e2f5c-0000-4000-8000-0000000000aa"),
    ];
    all.retain(|(name, _)| !variables.iter().any(|(given, _)| given == name));
    all.extend_from_slice(variables);
    let reader = reader(client, &all, BOTH).await;
    let mut reader = reader.map_err(|failure| failure.to_string())?;
    let settings = RemoteSettings::read(&mut reader);
    reader.finish(settings).map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_secret_fills_unset_variables() {
    let client = manager().await;
    let jwk: Value = serde_json::from_str(P256_JWK).unwrap();
    let everything = json!({
        "okta_api_token": "t", "okta_client_id": CLIENT, "okta_private_key": jwk, "okta_key_id": KEY_ID,
        "anypoint_client_id": "from-the-secret", "anypoint_client_secret": "s", "other": 1,
    });
    let arn = secret(&client, &everything.to_string()).await;
    let named = ("CREDENTIALS_SECRET_ARN", arn.as_str());
    let kind = |settings: &RemoteSettings| match &*settings.okta.credentials.current() {
        Credentials::ApiToken(_) => "token",
        Credentials::ServiceApp { .. } => "app",
    };

    let settings = remotes(&client, &[named]).await.unwrap();
    assert_eq!(kind(&settings), "token");
    let app = settings.connected_app.current();
    assert_eq!(app.client_id, "from-the-secret");

    // The variables decide the kind: a service app named there wins over the token in the secret.
    let variables = [
        named,
        ("OKTA_CLIENT_ID", "0oaOTHER"),
        ("ANYPOINT_CLIENT_ID", "id"),
    ];
    let settings = remotes(&client, &variables).await.unwrap();
    assert_eq!(kind(&settings), "app");
    assert_eq!(settings.connected_app.current().client_id, "id");
    let shown = format!("{settings:?}");
    assert!(!shown.contains("from-the-secret"), "{shown}");

    for (text, words) in [
        ("not JSON", "JSON object"),
        ("[]", "JSON object"),
        (r#"{"okta_api_token": 7}"#, "okta_api_token"),
        ("{}", "OKTA_API_TOKEN is missing"),
        (
            r#"{"okta_client_id": "0oa", "okta_private_key": "nonsense"}"#,
            "OKTA_PRIVATE_KEY is malformed",
        ),
        (r#"{"okta_client_id": "0oa"}"#, "OKTA_KEY_ID is missing"),
        (
            r#"{"okta_api_token": "SSWS nonsense"}"#,
            "OKTA_API_TOKEN has a blank",
        ),
        (
            r#"{"okta_api_token": "t", "anypoint_client_id": "non\nsense"}"#,
            "ANYPOINT_CLIENT_ID has a blank, a line break",
        ),
        (
            r#"{"okta_api_token": "t", "anypoint_client_secret": "nonsense\u0000-"}"#,
            "ANYPOINT_CLIENT_SECRET has a line break, a control character",
        ),
    ] {
        let arn = secret(&client, text).await;
        let error = remotes(&client, &[("CREDENTIALS_SECRET_ARN", &arn)]).await;
        let error = error.unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
        assert!(!error.contains("nonsense"), "{error}");
    }
}

#[tokio::test]
async fn refused_credentials_are_read_again() {
    let client = manager().await;
    let old = key(RSA_PEM);
    let org = Org::new(&old).await;
    let stored = |text: &str, id: &str| {
        json!({"okta_client_id": CLIENT, "okta_private_key": text, "okta_key_id": id,
               "anypoint_client_id": "id", "anypoint_client_secret": "secret"})
        .to_string()
    };
    let arn = secret(&client, &stored(RSA_PEM, KEY_ID)).await;
    let variables = [
        ("CREDENTIALS_SECRET_ARN", arn.as_str()),
        ("OKTA_ORG_URL", org.okta.base_url()),
    ];
    let settings = remotes(&client, &variables).await.unwrap();
    let http = HttpClient::new(Arc::new(SystemClock)).unwrap();
    let okta = settings
        .okta
        .client(http, okta_anypoint::okta::Scopes::default());
    org.look(&okta).await.unwrap();

    // The key is replaced on both sides, and the tokens of the old key end.
    let new = key(P256_JWK);
    rotate(&client, &arn, &stored(P256_JWK, "key-2")).await;
    org.okta
        .world()
        .add_service_app(CLIENT, "key-2", new.public_jwk(), &READ);
    org.okta.world().revoke_tokens();
    org.okta.traffic().clear();
    org.look(&okta).await.unwrap();
    // The old token, the old key, the new key, the call.
    assert_eq!(org.statuses(), [401, 401, 200, 200]);

    // Within the same minute there is no third attempt.
    org.okta.world().oauth.apps.clear();
    org.okta.world().revoke_tokens();
    org.okta.traffic().clear();
    let error = org.look(&okta).await.unwrap_err();
    assert!(error.is_about_credentials(), "{error}");
    assert_eq!(org.statuses(), [401, 401]);
}

#[tokio::test]
async fn a_refused_api_token_is_read_again() {
    let client = manager().await;
    let org = Org::new(&key(P256_JWK)).await;
    let stored = |token: &str| {
        json!({"okta_api_token": token, "anypoint_client_id": "id", "anypoint_client_secret": "secret"})
            .to_string()
    };
    let arn = secret(&client, &stored("revoked")).await;
    let variables = [
        ("CREDENTIALS_SECRET_ARN", arn.as_str()),
        ("OKTA_ORG_URL", org.okta.base_url()),
    ];
    let settings = remotes(&client, &variables).await.unwrap();
    let http = HttpClient::new(Arc::new(SystemClock)).unwrap();
    let okta = settings
        .okta
        .client(http, okta_anypoint::okta::Scopes::default());
    rotate(&client, &arn, &stored("simulated-okta-token")).await;
    org.look(&okta).await.unwrap();
    org.look(&okta).await.unwrap();
    assert_eq!(org.statuses(), [401, 200, 200]);
}

/// The program as it is deployed: both secrets in Secrets Manager, and an app that demands DPoP.
#[tokio::test(flavor = "multi_thread")]
async fn the_lambda_takes_its_secrets_from_secrets_manager() {
    let client = manager().await;
    let world = World::new().await;
    let key = key(RSA_PEM);
    let user = world.person("lin@acme.example", "Lin", "Example");
    let events = {
        let mut okta = world.okta.world();
        okta.add_service_app(CLIENT, KEY_ID, key.public_jwk(), &READ);
        okta.oauth.apps.get_mut(CLIENT).unwrap().require_dpop = true;
        okta.assign_with_username(APP, &user, "lin-example")
            .unwrap()
    };
    let (id, connected_secret) = {
        let anypoint = world.anypoint.world();
        (anypoint.client_id.clone(), anypoint.client_secret.clone())
    };
    let hook_arn = secret(&client, "the-first-value").await;
    let credentials = json!({
        "okta_client_id": CLIENT, "okta_private_key": RSA_PEM, "okta_key_id": KEY_ID,
        "anypoint_client_id": id, "anypoint_client_secret": connected_secret,
    });
    let credentials_arn = secret(&client, &credentials.to_string()).await;
    let (_, table) = servers::table().await;
    let mut environment = world.environment();
    environment
        .retain(|(name, _)| *name != "OKTA_API_TOKEN" && !name.starts_with("ANYPOINT_CLIENT_"));
    let more = [
        ("HOOK_SECRET_ARN", hook_arn.as_str()),
        ("CREDENTIALS_SECRET_ARN", &credentials_arn),
        ("TABLE_NAME", &table),
        ("AWS_ENDPOINT_URL_DYNAMODB", servers::dynamodb_url()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", servers::moto_url()),
        ("RUST_LOG", "trace"),
    ];
    environment.extend(more.map(|(name, value)| (name, value.to_owned())));
    let lambda = Lambda::start(Function::Hook, &environment).await;
    lambda.ready(Duration::from_secs(20)).await.unwrap();

    let body = world.okta.world().delivery(&events).to_string();
    let ask = async |given: &str| {
        let request = Sent::new("POST", "/").header("authorization", given);
        let event = request.body(body.clone()).http_api();
        let answer = lambda.invoke(event, Duration::from_secs(10)).await;
        answer.unwrap()["statusCode"].as_u64().unwrap()
    };
    assert_eq!(ask("the-first-value").await, 204);
    let names: Vec<String> = {
        let anypoint = world.anypoint.world();
        let users = anypoint.users.values();
        users.map(|user| user.username.clone()).collect()
    };
    let said = lambda.output();
    assert!(names.iter().any(|name| name == "lin-example"), "{said}");

    rotate(&client, &hook_arn, "the-second-value").await;
    assert_eq!(ask("the-second-value").await, 204);
    assert_eq!(ask("the-first-value").await, 204);
    assert_eq!(ask("wrong").await, 401);

    let said = lambda.output();
    let private = RSA_PEM.lines().nth(3).unwrap();
    for hidden in [private, &connected_secret, "lin@acme.example", "eyJ"] {
        assert!(!said.contains(hidden), "{hidden} in {said}");
    }
}
