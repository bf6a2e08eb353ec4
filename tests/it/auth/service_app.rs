//! Tokens of a service app without DPoP.

use okta_anypoint::okta::{PrivateKey, Scopes};
use okta_anypoint::simulator::traffic::Fault;

use super::*;

#[tokio::test]
async fn every_kind_of_key_gets_a_token_and_uses_it_for_all_calls() {
    let fresh = PrivateKey::generate().unwrap();
    let keys = [RSA_PEM, RSA_JWK, P256_PEM, P256_JWK].map(key);
    for key in keys.into_iter().chain([fresh]) {
        let org = Org::new(&key).await;
        let okta = org.client(service_app(&key));
        let looks = (0..5).map(|_| org.look(&okta));
        for look in futures_util::future::join_all(looks).await {
            look.unwrap();
        }
        assert_eq!(org.token_requests().len(), 1, "{key:?}");
        for request in org.api_requests() {
            assert_eq!(header(&request, "authorization"), Some("Bearer [redacted]"));
            assert_eq!(header(&request, "dpop"), None);
        }
    }
}

#[tokio::test]
async fn only_the_needed_scopes_are_requested() {
    let key = PrivateKey::generate().unwrap();
    let org = Org::new(&key).await;
    let asked = |request: &RecordedRequest| {
        let body = request.body.clone().unwrap();
        assert_eq!(body["client_assertion"], "[redacted]");
        body["scope"].as_str().unwrap().to_owned()
    };
    let okta = org.client(service_app(&key));
    org.look(&okta).await.unwrap();
    let mut wanted = READ;
    wanted.sort_unstable();
    assert_eq!(asked(&org.token_requests()[0]), wanted.join(" "));
    for (scopes, extra) in [
        (Scopes::default().with_log(), "okta.logs.read"),
        (Scopes::default().with_hooks(), "okta.eventHooks.manage"),
        (Scopes::default().with_import(), "okta.users.manage"),
        (Scopes::default().with_import(), "okta.apps.manage"),
    ] {
        org.okta.traffic().clear();
        let okta = okta.clone().with_scopes(scopes);
        let error = org.look(&okta).await.unwrap_err();
        assert!(error.to_string().contains(extra), "{error}");
        assert!(asked(&org.token_requests()[0]).contains(extra));
        assert!(org.api_requests().is_empty());
    }
}

#[tokio::test]
async fn concurrent_calls_renew_a_refused_token_once() {
    let key = PrivateKey::generate().unwrap();
    let org = Org::new(&key).await;
    let okta = org.client(service_app(&key));
    org.look(&okta).await.unwrap();
    org.okta.world().revoke_tokens();
    org.okta.traffic().clear();
    let looks = (0..5).map(|_| org.look(&okta));
    for look in futures_util::future::join_all(looks).await {
        look.unwrap();
    }
    assert_eq!(org.token_requests().len(), 1);

    // A new token that is refused at once does not start a loop.
    let refuses = Fault::status("/api/v1/users", 401, r#"{"errorCode":"E0000011"}"#);
    let fault = org.okta.traffic().inject(refuses);
    org.okta.traffic().clear();
    let error = org.look(&okta).await.unwrap_err();
    assert!(error.is_about_credentials(), "{error}");
    assert_eq!(org.statuses(), [401, 200, 401]);
    org.okta.traffic().remove_fault(fault);

    // A new token does not help against a missing permission.
    let denies = Fault::status("/api/v1/users", 401, r#"{"errorCode":"E0000015"}"#);
    org.okta.traffic().inject(denies);
    org.okta.traffic().clear();
    let error = org.look(&okta).await.unwrap_err();
    assert!(error.to_string().contains("E0000015"), "{error}");
    assert_eq!(org.statuses(), [401, 401]);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let key = PrivateKey::generate().unwrap();
    let org = Org::new(&key).await;
    // The client does not use the last fifth of the two seconds.
    org.okta.world().oauth.token_lifetime_s = 2;
    let okta = org.client(service_app(&key));
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        org.look(&okta).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(org.token_requests().len(), 2);
    assert!(org.statuses().iter().all(|&status| status == 200));
}

#[tokio::test]
async fn a_retried_token_request_carries_a_new_assertion() {
    let key = PrivateKey::generate().unwrap();
    let org = Org::new(&key).await;
    // Okta accepts the first assertion, but its answer is lost.
    let lost = Fault::status("/oauth2/v1/token", 503, "{}").after_effect();
    org.okta.traffic().inject(lost.times(2));
    let okta = org.client(service_app(&key));
    org.look(&okta).await.unwrap();
    assert_eq!(org.statuses(), [503, 503, 200, 200]);
}
