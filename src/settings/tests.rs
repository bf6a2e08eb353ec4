use std::collections::HashMap;

use super::*;
use crate::provision::{AccountField, Adopt, GroupSelection, ImportedNames};

const PEM: &str = include_str!("../../tests/it/data/test-only-p256.pkcs8.pem");

fn complete() -> HashMap<&'static str, &'static str> {
    HashMap::from([
        ("HOOK_SECRET", "hook-secret-value"),
        ("OKTA_ORG_URL", "https://acme.okta.com"),
        ("OKTA_APP_ID", "0oaAPP"),
        ("OKTA_API_TOKEN", "okta-token-value"),
        ("ANYPOINT_ORG_ID", "0b0e2f5c-0000-4000-8000-0000000000aa"),
        ("ANYPOINT_CLIENT_ID", "client"),
        ("ANYPOINT_CLIENT_SECRET", "client-secret-value"),
    ])
}

fn read<T>(
    variables: &HashMap<&'static str, &'static str>,
    read: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Result<T, SettingsError> {
    let mut reader = Reader::new(|name| variables.get(name).map(|value| (*value).to_owned()));
    let value = read(&mut reader);
    reader.finish(value)
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let engine = read(&complete(), EngineSettings::read).unwrap();
    assert_eq!(engine.policy, Policy::default());
    assert_eq!(
        (engine.retention.event_days, engine.retention.audit_days),
        (30, 400)
    );
    assert_eq!(
        engine.remotes.anypoint_base_url.as_str(),
        "https://anypoint.mulesoft.com/"
    );
    let schedule = read(&complete(), ScheduleSettings::read).unwrap();
    assert_eq!(schedule.import, ImportMode::Report);
    assert_eq!(schedule.reconcile, Mode::Apply);
    assert_eq!(schedule.limit, DeactivationLimit::Percent(20.0));
    let hook = read(&complete(), HookSettings::read).unwrap();
    assert_eq!(hook.header, "authorization");
    assert_eq!(hook.secrets.current().len(), 1);
}

#[test]
fn one_message_names_every_variable_at_fault_and_no_value() {
    let mut variables = complete();
    variables.remove("OKTA_API_TOKEN");
    variables.insert("ANYPOINT_CLIENT_SECRET", "  ");
    variables.insert("OKTA_ORG_URL", "http://acme.okta.com/secret-path");
    variables.insert("ADOPT", "secret-word");
    variables.insert("EVENT_TTL_DAYS", "0");
    let message = read(&variables, EngineSettings::read)
        .unwrap_err()
        .to_string();
    for name in [
        "OKTA_API_TOKEN is missing",
        "ANYPOINT_CLIENT_SECRET is missing",
        "OKTA_ORG_URL is malformed",
        "ADOPT is malformed",
        "EVENT_TTL_DAYS is malformed",
        "`never`",
    ] {
        assert!(message.contains(name), "{name} not in {message}");
    }
    assert!(!message.contains("secret-"), "{message}");
}

fn fault_of<T>(
    name: &'static str,
    value: &'static str,
    settings: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Option<String> {
    let mut variables = complete();
    if name.starts_with("OKTA_") && !variables.contains_key(name) {
        variables.remove("OKTA_API_TOKEN");
        variables.extend([
            ("OKTA_CLIENT_ID", "0oaSERVICE"),
            ("OKTA_PRIVATE_KEY", PEM),
            ("OKTA_KEY_ID", "key-1"),
        ]);
    }
    variables.insert("TABLE_NAME", "table");
    variables.insert(name, value);
    let message = read(&variables, settings).err()?.to_string();
    assert!(!message.contains("planted"), "{message}");
    let mut lines = message.lines().filter(|line| line.contains(name));
    Some(
        lines
            .next()
            .unwrap_or_else(|| panic!("{name}: {message}"))
            .to_owned(),
    )
}

/// The service would only say that it refuses them.
#[test]
fn an_id_or_a_token_is_visible_ascii_in_one_piece() {
    let all = |reader: &mut Reader<'_>| {
        let engine = EngineSettings::read(reader);
        engine
            .zip(queue_url(reader))
            .zip(table_name(reader, "a table"))
    };
    for name in [
        "OKTA_APP_ID",
        "OKTA_API_TOKEN",
        "OKTA_CLIENT_ID",
        "OKTA_KEY_ID",
        "ANYPOINT_ORG_ID",
        "ANYPOINT_CLIENT_ID",
        "TABLE_NAME",
    ] {
        for value in [
            "planted value",
            "planted\nvalue",
            "planted\r\nvalue",
            "planted\tvalue",
            "planted\u{7f}value",
            "planted\0value",
            "planted\u{200b}value",
            "planted\u{a0}value",
            "planted\u{fffd}value",
        ] {
            let fault = fault_of(name, value, all).unwrap();
            assert!(fault.contains("has a blank, a line break or"), "{fault}");
        }
        // White space around it is not part of it. It may have any length and beginning.
        for value in [" planted-value\r\n", "x", "ABC_def-0123456789"] {
            assert_eq!(fault_of(name, value, all), None);
        }
        let fault = fault_of(name, " \r\n", all).unwrap();
        assert!(fault.contains("is missing"), "{fault}");
    }
    let token = fault_of("OKTA_API_TOKEN", "SSWS planted", all).unwrap();
    assert!(token.contains("without `SSWS` in front"), "{token}");
}

#[test]
fn every_other_value_is_text_in_one_line() {
    let all = |reader: &mut Reader<'_>| {
        let engine = EngineSettings::read(reader);
        let schedule = ScheduleSettings::read(reader);
        engine.zip(schedule).zip(queue_url(reader))
    };
    for name in [
        "ANYPOINT_CLIENT_SECRET",
        "OKTA_ORG_URL",
        "ANYPOINT_BASE_URL",
        "QUEUE_URL",
        "DEFAULT_PHONE",
        "EXCLUDE_USERS",
        "EXCLUDE_GROUPS",
        "PUSH_GROUPS",
        "MAX_DEACTIVATIONS",
        "MAX_REMOVALS_PER_HOUR",
        "EVENT_TTL_DAYS",
        "CHANGES",
        "ADOPT",
    ] {
        for value in [
            "https://planted\n.example",
            "name:planted\tvalue*",
            "planted\u{7f}*@value",
            "planted*\u{fffd}",
        ] {
            let fault = fault_of(name, value, all).unwrap();
            assert!(
                fault.contains("has a line break, a control character"),
                "{fault}"
            );
        }
    }
    // Only a key has several lines.
    assert_eq!(fault_of("OKTA_PRIVATE_KEY", PEM, all), None);
    assert_eq!(fault_of("ANYPOINT_CLIENT_SECRET", " a secret\n", all), None);
    assert_eq!(fault_of("DEFAULT_PHONE", "+1 555 0100\n", all), None);
    let phone = fault_of("DEFAULT_PHONE", "none", all).unwrap();
    assert!(phone.contains("expected a phone number"), "{phone}");
    assert_eq!(fault_of("EXCLUDE_GROUPS", "Break glass*", all), None);
}

/// Two logins that no comma separates would exclude nobody.
#[test]
fn excluded_logins_are_separated_by_commas() {
    for (users, taken) in [
        ("a@acme.example,b@acme.example", true),
        (" a@acme.example , svc-*", true),
        ("a@acme.example b@acme.example", false),
        ("svc-* 00uPLANTED", false),
        ("a@acme.example,,b@acme.example", false),
    ] {
        let fault = fault_of("EXCLUDE_USERS", users, EngineSettings::read);
        assert_eq!(fault.is_none(), taken, "{users}: {fault:?}");
    }
}

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
fn every_form_of_every_choice_is_read() {
    let mut variables = complete();
    variables.insert("PUSH_GROUPS", "ids:00g1, 00g2");
    variables.insert("ADOPT", "never");
    variables.insert("IMPORT_MODE", "create");
    let policy = read(&variables, EngineSettings::read).unwrap().policy;
    assert!(matches!(policy.groups, GroupSelection::Ids(ids) if ids.len() == 2));
    assert_eq!(policy.adopt, Adopt::Never);
    assert_eq!(policy.imported_names, ImportedNames::LastChangeDecides);
    variables.insert("PUSH_GROUPS", "name: Any team*");
    let policy = read(&variables, EngineSettings::read).unwrap().policy;
    assert!(matches!(policy.groups, GroupSelection::Named(pattern) if pattern == "Any team*"));
    for (groups, taken) in [
        ("assigned", true),
        ("none", true),
        ("all", true),
        ("name:Any*", true),
        ("name:", false),
        ("ids:", false),
        ("ids:a,,b", false),
        ("some", false),
    ] {
        variables.insert("PUSH_GROUPS", groups);
        assert_eq!(
            read(&variables, EngineSettings::read).is_ok(),
            taken,
            "{groups}"
        );
    }
    for (limit, expected) in [
        ("50", Some(DeactivationLimit::Count(50))),
        ("0", Some(DeactivationLimit::Count(0))),
        ("12.5%", Some(DeactivationLimit::Percent(12.5))),
        ("101%", None),
        ("-1", None),
        ("many", None),
    ] {
        variables.insert("MAX_DEACTIVATIONS", limit);
        assert_eq!(
            read(&variables, ScheduleSettings::read)
                .ok()
                .map(|s| s.limit),
            expected,
            "{limit}"
        );
    }
    assert_eq!(DeactivationLimit::Percent(20.0).allowed(10), 2);
    assert_eq!(DeactivationLimit::Percent(20.0).allowed(4), 0);
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

#[test]
fn the_second_look_follows_within_a_minute() {
    for (given, seconds) in [
        ("", Some(15)),
        ("1", Some(1)),
        ("60", Some(60)),
        ("0", None),
        ("61", None),
        ("1.5", None),
    ] {
        let mut variables = complete();
        variables.insert("CONFIRM_SECONDS", given);
        let confirm = read(&variables, EngineSettings::read)
            .ok()
            .map(|engine| engine.policy.confirm.0);
        assert_eq!(
            confirm,
            seconds.map(std::time::Duration::from_secs),
            "{given}"
        );
    }
}

#[test]
fn attributes_are_taken_from_known_places_or_refused_by_name() {
    let policy = |text: &'static str| {
        let mut variables = complete();
        variables.insert("ATTRIBUTES", text);
        read(&variables, EngineSettings::read).map(|engine| engine.policy.attributes)
    };
    assert!(policy("").unwrap().is_empty());
    let given =
        policy(" first_name=app.firstName , last_name = user.familyName,phone=app.mobilePhone")
            .unwrap();
    let sources = AccountField::ALL.map(|target| given.source(target).unwrap().to_string());
    assert_eq!(
        sources,
        ["app.firstName", "user.familyName", "app.mobilePhone"]
    );
    assert_eq!(
        policy("phone=app.x")
            .unwrap()
            .source(AccountField::LastName),
        None
    );
    for (text, faults) in [
        ("nickname=app.planted", &["names an unknown target"][..]),
        ("first_name", &["has a target without a source"]),
        ("first_name=", &["has a target without a source"]),
        ("first_name=planted", &["has a malformed source"]),
        ("first_name=app.planted name", &["has a malformed source"]),
        ("phone=app.a,phone=app.planted", &["names a target twice"]),
        ("email=app.planted", &["names `email`"]),
        ("username=app.planted", &["names `username`"]),
        ("phone=app.a,", &["has an entry without a target"]),
        (
            "email=app.a,x=app.planted",
            &["names `email`", "names an unknown target"],
        ),
    ] {
        let message = policy(text).unwrap_err().to_string();
        for fault in faults {
            assert!(
                message.contains(&format!("ATTRIBUTES {fault}")),
                "{message}"
            );
        }
        assert!(!message.contains("planted"), "{message}");
    }
}
