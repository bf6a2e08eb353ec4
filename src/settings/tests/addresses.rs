//! Addresses of Okta, Anypoint and the queue.

use super::*;

#[test]
fn the_address_of_a_queue_is_an_address() {
    for (url, taken) in [
        (
            "https://sqs.eu-central-1.amazonaws.com/123456789012/changes.fifo",
            true,
        ),
        ("http://127.0.0.1:9324/000000000000/changes.fifo", true),
        ("", true),
        ("http://127.0.0.1:9324/000000000000/changes", false),
        ("https://sqs.example/1/changes.fifo/", false),
        ("changes.fifo", false),
        ("arn:aws:sqs:eu-central-1:123456789012:changes.fifo", false),
        (
            "https://sqs.example/1/changes.fifo https://sqs.example/2",
            false,
        ),
    ] {
        let fault = fault_of("QUEUE_URL", url, queue_url);
        assert_eq!(fault.is_none(), taken, "{url}: {fault:?}");
    }
}

#[test]
fn plain_http_is_for_loopback_only() {
    for (url, taken) in [
        ("https://acme.okta.com", true),
        ("https://acme.okta.com/", true),
        ("http://127.0.0.1:8080", true),
        ("http://localhost:1", true),
        ("http://[::1]:1", true),
        ("http://okta.localhost:1", true),
        ("http://acme.okta.com", false),
        ("http://127.0.0.1.example.com", false),
        ("http://10.0.0.1", false),
        ("ftp://127.0.0.1", false),
        ("https://user:pass@acme.okta.com", false),
        ("https://acme.okta.com/path", false),
        ("https://acme.okta.com?x=1", false),
        ("acme.okta.com", false),
    ] {
        assert_eq!(parse::base_url(url).is_some(), taken, "{url}");
    }
}

#[test]
fn the_address_of_the_admin_console_is_refused_with_the_right_one() {
    for (given, own) in [
        ("https://acme-admin.okta.com", Some("https://acme.okta.com")),
        (
            "https://acme-admin.oktapreview.com/",
            Some("https://acme.oktapreview.com"),
        ),
        (
            "https://acme-admin.okta-emea.com",
            Some("https://acme.okta-emea.com"),
        ),
        (
            "https://acme-admin.okta.com/admin/dashboard",
            Some("https://acme.okta.com"),
        ),
        ("acme-admin.okta.com", Some("https://acme.okta.com")),
        ("ACME-admin.okta.com:443/", Some("https://acme.okta.com")),
        ("http://acme-admin.okta.com", Some("https://acme.okta.com")),
        ("https://acme.okta.com", None),
        ("https://acme-admins.okta.com", None),
        ("https://login-admin.acme.example", None),
        ("https://-admin.okta.com", None),
    ] {
        let mut variables = complete();
        variables.insert("OKTA_ORG_URL", given);
        match (read(&variables, EngineSettings::read), own) {
            (Ok(_), None) => {}
            (Err(error), Some(own)) => {
                let message = error.to_string();
                assert!(message.contains(&format!("`{own}`")), "{message}");
                assert!(message.contains("admin console"), "{message}");
            }
            (other, _) => panic!("{given}: {:?}", other.err()),
        }
    }
}
