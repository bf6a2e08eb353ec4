//! Each refusal names its cause and its fix. The client tries once more after a pause.

use okta_anypoint::failure::{Cause, Class, Failure};

use super::*;

async fn refused(org: &Org, okta: &Okta) -> String {
    let error = org.look(okta).await.unwrap_err();
    assert_eq!(error.class(), Class::Retryable, "{error}");
    let failure = Failure::from(error);
    assert_eq!(failure.cause, Cause::RefusedCredentials);
    failure.to_string()
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} not in: {text}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_advice() {
    let org = Org::new(&PrivateKey::generate().unwrap()).await;
    for other in [PrivateKey::generate().unwrap(), key(RSA_PEM)] {
        org.okta.traffic().clear();
        let okta = org.client(service_app(&other));
        let text = refused(&org, &okta).await;
        has(&text, &["OKTA_PRIVATE_KEY", "OKTA_KEY_ID", "key pair"]);
        assert_eq!(org.statuses(), [401, 401]);
    }
}

#[tokio::test]
async fn an_unknown_key_id_is_refused_with_advice() {
    let key = PrivateKey::generate().unwrap();
    let org = Org::new(&key).await;
    let okta = org.client(Credentials::ServiceApp {
        client_id: CLIENT.to_owned(),
        key,
        key_id: "another".to_owned(),
    });
    has(&refused(&org, &okta).await, &["OKTA_KEY_ID", "kid"]);
    assert_eq!(org.statuses(), [401, 401]);
}

#[tokio::test]
async fn an_inactive_app_is_refused_with_advice() {
    let key = PrivateKey::generate().unwrap();
    let org = Org::new(&key).await;
    org.okta.world().oauth.apps.get_mut(CLIENT).unwrap().active = false;
    let okta = org.client(service_app(&key));
    has(&refused(&org, &okta).await, &["OKTA_CLIENT_ID", "active"]);
}

#[tokio::test]
async fn a_missing_scope_is_refused_with_advice() {
    let key = PrivateKey::generate().unwrap();
    let org = Org::new(&key).await;
    let okta = org.client(service_app(&key));
    let scope = "okta.groups.read";
    org.okta
        .world()
        .oauth
        .apps
        .get_mut(CLIENT)
        .unwrap()
        .scopes
        .remove(scope);
    let text = refused(&org, &okta).await;
    has(&text, &[scope, "Grant", "Okta API Scopes"]);
    assert_eq!(org.statuses(), [400, 400]);
}

#[tokio::test]
async fn a_call_beyond_the_scopes_of_the_token_is_refused_with_advice() {
    let key = PrivateKey::generate().unwrap();
    let org = Org::new(&key).await;
    let okta = org.client(service_app(&key));
    let error = okta
        .update_names(&org.user, Some("New"), None, soon())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("E0000006"));
    has(&Failure::from(error).to_string(), &["rights"]);
    // A new token could have had the scope.
    assert_eq!(org.statuses(), [200, 403, 200, 403]);
}

#[tokio::test]
async fn a_wrong_clock_is_named_with_its_side() {
    let key = PrivateKey::generate().unwrap();
    for (ahead_s, side) in [(900, "s ahead of Okta's"), (-900, "s behind Okta's")] {
        let org = Org::new(&key).await;
        let okta = org.client_at(service_app(&key), clock_ahead(ahead_s));
        has(&refused(&org, &okta).await, &[side, "clock (NTP)"]);

        // A proof must be younger than an assertion, so with DPoP the server refuses the proof.
        let org = Org::with_dpop(&key).await;
        let okta = org.client_at(service_app(&key), clock_ahead(ahead_s));
        has(&refused(&org, &okta).await, &[side, "clock (NTP)"]);
    }
    // A few seconds are normal.
    let org = Org::with_dpop(&key).await;
    let okta = org.client_at(service_app(&key), clock_ahead(50));
    org.look(&okta).await.unwrap();
}

#[tokio::test]
async fn a_wrong_api_token_is_refused_with_advice() {
    let org = Org::new(&PrivateKey::generate().unwrap()).await;
    let okta = org.client(Credentials::ApiToken("wrong".to_owned().into()));
    has(&refused(&org, &okta).await, &["OKTA_API_TOKEN", "E0000011"]);
    assert_eq!(org.statuses(), [401, 401]);
}
