//! What an operator chooses: whom to push and to leave out, limits, times, and where names come from.

use super::*;
use crate::provision::{AccountField, Adopt, GroupSelection, ImportedNames};

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
