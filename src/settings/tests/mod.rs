//! What programs read from their variables: the defaults, and the messages when a variable is at fault.

mod addresses;
mod choices;
mod credentials;
mod texts;

use std::collections::HashMap;

use super::*;

const PEM: &str = include_str!("../../../tests/it/data/test-only-p256.pkcs8.pem");

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
