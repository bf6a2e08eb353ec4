//! Credentials: the token or service app, and the hook's secret with its header.

use super::*;

#[test]
fn secrets_do_not_show_in_debug() {
    let engine = read(&complete(), EngineSettings::read).unwrap();
    let hook = read(&complete(), HookSettings::read).unwrap();
    let shown = format!("{engine:?} {hook:?}");
    for secret in [
        "hook-secret-value",
        "okta-token-value",
        "client-secret-value",
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_service_app_replaces_the_token_and_is_read_whole() {
    let names = ["OKTA_CLIENT_ID", "OKTA_PRIVATE_KEY", "OKTA_KEY_ID"];
    let mut complete = complete();
    complete.remove("OKTA_API_TOKEN");
    complete.extend([
        ("OKTA_CLIENT_ID", "0oaSERVICE"),
        ("OKTA_PRIVATE_KEY", PEM),
        ("OKTA_KEY_ID", "key-1"),
    ]);
    let remotes = read(&complete, RemoteSettings::read).unwrap();
    assert!(matches!(
        &*remotes.okta.credentials.current(),
        Credentials::ServiceApp { client_id, .. } if client_id == "0oaSERVICE"
    ));

    // The token wins, whatever the rest is.
    let mut both = complete.clone();
    both.insert("OKTA_API_TOKEN", "okta-token-value");
    both.insert("OKTA_PRIVATE_KEY", "nonsense");
    let remotes = read(&both, RemoteSettings::read).unwrap();
    assert!(matches!(
        &*remotes.okta.credentials.current(),
        Credentials::ApiToken(_)
    ));

    for missing in names {
        let mut variables = complete.clone();
        variables.remove(missing);
        let message = read(&variables, RemoteSettings::read)
            .unwrap_err()
            .to_string();
        for name in names.into_iter().chain(["OKTA_API_TOKEN"]) {
            let is_named = message.contains(&format!("{name} is missing"));
            assert_eq!(is_named, name == missing, "{message}");
        }
    }

    let cut = &PEM[..PEM.len() / 2];
    for key in ["secret-nonsense", cut] {
        let mut variables = complete.clone();
        variables.insert("OKTA_PRIVATE_KEY", key);
        let message = read(&variables, RemoteSettings::read)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("OKTA_PRIVATE_KEY is malformed: expected"),
            "{message}"
        );
        assert!(message.contains("PKCS#8"), "{message}");
        assert!(!message.contains(key), "{message}");
    }
    let shown = format!("{:?}", read(&complete, RemoteSettings::read).unwrap());
    assert!(!shown.contains("BEGIN"), "{shown}");
}

#[test]
fn a_hook_secret_that_cannot_be_sent_or_is_easy_to_guess_is_refused() {
    let too_long: &'static str = "planted".repeat(10_000).leak();
    for (name, value, fault) in [
        ("HOOK_SECRET", "short", "is too short"),
        (
            "HOOK_SECRET",
            "two lines\nof planted text",
            "no header can carry it",
        ),
        (
            "HOOK_SECRET",
            "gehei\u{df}nis-planted",
            "no header can carry it",
        ),
        ("HOOK_SECRET", too_long, "no header can carry it"),
        ("HOOK_SECRET", r#"{"a":"planted-value"}"#, "is JSON"),
        ("HOOK_SECRET", r#""planted-value""#, "in quotes"),
        ("HOOK_SECRET_PREVIOUS", "short", "is too short"),
        ("HOOK_SECRET_PREVIOUS", r#"{"a":"planted"}"#, "is JSON"),
    ] {
        let mut variables = complete();
        variables.insert(name, value);
        let message = read(&variables, HookSettings::read)
            .unwrap_err()
            .to_string();
        let line = message.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.contains(fault), "{message}");
        assert!(line.contains("the value that Okta sends"), "{message}");
        assert!(!message.contains("planted"), "{message}");
    }
}

#[test]
fn a_header_that_others_set_or_remove_is_refused() {
    for (name, value) in [
        ("HOOK_AUTH_HEADER", "not a header"),
        ("HOOK_AUTH_HEADER", "Host"),
        ("HOOK_AUTH_HEADER", "Content-Length"),
        ("HOOK_AUTH_HEADER", "transfer-encoding"),
        ("HOOK_AUTH_HEADER", "X-Forwarded-For"),
        ("HOOK_AUTH_HEADER", "x-amzn-trace-id"),
        ("HOOK_AUTH_HEADER", "X-Okta-Verification-Challenge"),
        ("HOOK_AUTH_HEADER", "range"),
        ("HOOK_AUTH_HEADER", "If-None-Match"),
        ("HOOK_AUTH_HEADER", "max-forwards"),
        ("HOOK_AUTH_HEADER", "http2-settings"),
        ("HOOK_AUTH_HEADER", "Referer"),
        ("HOOK_AUTH_HEADER", "origin"),
        ("HOOK_AUTH_HEADER", "accept-language"),
        ("HOOK_AUTH_HEADER", "cache-control"),
        ("HOOK_AUTH_HEADER", "Sec-Fetch-Site"),
        ("HOOK_AUTH_HEADER", "X-Real-IP"),
        ("HOOK_AUTH_HEADER", "CF-Connecting-IP"),
        ("HOOK_AUTH_HEADER", "true-client-ip"),
        ("HOOK_AUTH_HEADER", "x-request-id"),
        ("HOOK_AUTH_HEADER", "traceparent"),
    ] {
        let mut variables = complete();
        variables.insert(name, value);
        let message = read(&variables, HookSettings::read)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(&format!("{name} is malformed")),
            "{message}"
        );
        assert!(!message.contains("planted"), "{message}");
    }
    for header in [
        "X-Okta-Secret",
        "authorization",
        "x-api-key",
        "X-Acme-Hook",
        "secret",
    ] {
        let mut variables = complete();
        variables.insert("HOOK_AUTH_HEADER", header);
        read(&variables, HookSettings::read).unwrap();
    }
}
