//! The doctor: each fault is named with its side and its fix. What it says about the table, the queue and the file:
//! `doctor_table.rs`.

use std::collections::BTreeMap;

use okta_anypoint::clock::{Clock as _, SystemClock};
use okta_anypoint::okta::PrivateKey;
use okta_anypoint::simulator::fault::{Fault, FaultKind, Refused};
use serde_json::Value;

use super::{APP, Desk, Ran};

const KEY: &str = include_str!("../data/test-only-p256.jwk.json");

/// Registers a correct hook, without a receiver.
pub(super) fn with_good_hook(desk: &Desk) {
    let mut world = desk.okta.world();
    let events = okta_anypoint::event::HOOK_EVENT_TYPES.map(str::to_owned);
    let filter: BTreeMap<_, _> = okta_anypoint::event::app_event_types()
        .map(|event| {
            (
                event,
                format!("event.target.?[type eq 'AppInstance' && id eq '{APP}'].size()>0"),
            )
        })
        .collect();
    let hook = serde_json::from_value(serde_json::json!({
        "filter": filter, "id": "whoCLI1", "name": "okta-anypoint", "description": null, "active": true, "verified": true,
        "events": events, "uri": "https://hooks.acme.example/okta", "headers": [],
        "auth_key": "Authorization", "auth_value": "x", "created": 0, "last_updated": 0,
    }));
    world.hooks.insert("whoCLI1".to_owned(), hook.unwrap());
}

pub(super) fn failed(ran: &Ran) -> BTreeMap<String, Value> {
    let result = ran.json();
    assert_eq!(result["ok"], ran.code == 0);
    let checks = result["checks"].as_array().unwrap();
    checks
        .iter()
        .filter(|check| check["state"] == "failed")
        .map(|check| {
            assert!(
                check["fix"].as_str().is_some_and(|fix| !fix.is_empty()),
                "{check}"
            );
            let name = |key: &str| check[key].as_str().unwrap().to_owned();
            (
                format!("{}/{}", name("group"), name("check")),
                check.clone(),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_healthy_installation_passes_the_doctor_without_a_write() {
    let desk = Desk::new().await;
    with_good_hook(&desk);
    let user = desk.assigned("lin", "lin_example");
    desk.pushed_group("Engineers", &user);
    desk.wrote();
    let ran = desk.on_file(&["doctor"]).await.expect(0);
    ran.says("\"Anypoint\", SAML_2_0, ACTIVE")
        .says("the root")
        .says("filter: assignments of this app only")
        .says("nothing is wrong");
    let ran = desk.on_file(&["doctor", "--json"]).await.expect(0);
    assert!(failed(&ran).is_empty());
    assert!(!desk.wrote(), "the doctor wrote something");
    // A hook without a filter works, but sends more events than needed.
    let mut world = desk.okta.world();
    world.hooks.values_mut().next().unwrap().filter.clear();
    drop(world);
    let ran = desk.on_file(&["doctor"]).await.expect(0);
    ran.says("filter: none: assignments of every app")
        .says("for fewer deliveries")
        .says("nothing is wrong");
}

/// The doctor's exit code, and what it says about the credential.
async fn credential(desk: &Desk, changes: &[(&str, &str)], code: i32) -> (String, String) {
    let data = desk.data.to_str().unwrap();
    let doctor = ["doctor", "--json", "--data", data];
    let ran = desk.run_with(changes, &doctor).await.expect(code).json();
    let mut checks = ran["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["check"] == "credential's end");
    let text = |key: &str| check.unwrap()[key].as_str().unwrap().to_owned();
    (text("state"), text("found"))
}

#[tokio::test]
async fn the_doctor_says_when_the_credential_expires() {
    let desk = Desk::new().await;
    with_good_hook(&desk);
    let left = |days: i64| {
        let mut world = desk.okta.world();
        // It lasts 30 days. Half an hour allows for the time the test takes.
        let used = SystemClock.now_ms() - (30 - days) * 86_400_000 + 1_800_000;
        world.api_tokens.values_mut().next().unwrap().last_used = Some(used);
    };
    left(20);
    let (state, found) = credential(&desk, &[], 0).await;
    assert_eq!(state, "ok");
    assert!(
        found.contains("last used 20") && found.contains("(20 days left)"),
        "{found}"
    );
    left(10);
    let (state, found) = credential(&desk, &[], 1).await;
    assert_eq!(state, "failed");
    assert!(found.contains("(10 days left)"), "{found}");

    // With a second token of the same user, the program cannot tell which one it uses.
    let mut world = desk.okta.world();
    let mut other = world.api_tokens.values().next().unwrap().clone();
    (other.id, other.last_used) = ("00Tother".to_owned(), None);
    world.api_tokens.insert(other.id.clone(), other);
    drop(world);
    let (state, found) = credential(&desk, &[], 0).await;
    assert_eq!(state, "not_checked");
    assert!(found.contains("one of 2 API tokens"), "{found}");

    let right = Fault::refused("/api/v1/api-tokens", Refused::Right);
    desk.okta.traffic().inject(right);
    let (state, found) = credential(&desk, &[], 0).await;
    assert_eq!(state, "not_checked");
    assert!(found.contains("is unknown"), "{found}");

    // The keys of a service app do not expire, so the doctor does not ask.
    desk.okta.traffic().clear();
    let key = PrivateKey::parse(&KEY.to_owned().into()).unwrap();
    let scopes = [
        "okta.users.read",
        "okta.groups.read",
        "okta.apps.read",
        "okta.logs.read",
        "okta.eventHooks.manage",
    ];
    desk.okta
        .world()
        .add_service_app("0oaSERVICE1", "key-1", key.public_jwk(), &scopes);
    let service = [
        ("OKTA_API_TOKEN", ""),
        ("OKTA_CLIENT_ID", "0oaSERVICE1"),
        ("OKTA_KEY_ID", "key-1"),
        ("OKTA_PRIVATE_KEY", KEY),
    ];
    let (state, found) = credential(&desk, &service, 0).await;
    assert_eq!(state, "ok");
    assert!(found.contains("do not expire"), "{found}");
    let tokens = desk.okta.traffic().count(&http::Method::GET, "api-tokens");
    assert_eq!(tokens, 0);
}

#[tokio::test]
async fn the_doctor_warns_about_single_sign_on() {
    let desk = Desk::new().await;
    with_good_hook(&desk);
    desk.on_file(&["doctor"])
        .await
        .expect(0)
        .says("single sign-on: the organization names no identity provider");
    let provider = "4a7c0f7e-0000-4000-8000-000000000001".to_owned();
    desk.anypoint.world().identity_provider = Some(provider);
    desk.on_file(&["doctor"])
        .await
        .expect(0)
        .says("a deactivation disables the native one only")
        .says("docs/single-sign-on.md");
}

type Break = fn(&Desk);

#[tokio::test]
async fn the_doctor_names_each_fault_with_its_side_and_fix() {
    let cases: [(&str, Break, &[&str], &str); 13] = [
        (
            "Okta/the app",
            |desk| desk.okta.world().apps.get_mut(APP).unwrap().active = false,
            &["Okta/the app"],
            "Activate",
        ),
        (
            "no app",
            |desk| desk.okta.world().apps.clear(),
            &["Okta/the app"],
            "OKTA_APP_ID",
        ),
        (
            "usernames",
            |desk| drop(desk.assigned("lin", "lin@acme.example")),
            &["Okta/app usernames"],
            "USERNAME_POLICY=sanitize",
        ),
        (
            "the System Log",
            |desk| {
                let fault = okta_anypoint::simulator::traffic::Fault::status(
                    "/api/v1/logs",
                    403,
                    r#"{"errorCode":"E0000006"}"#,
                );
                desk.okta.traffic().inject(fault);
            },
            &["Okta/reads the System Log"],
            "okta.logs.read",
        ),
        (
            "native accounts",
            |desk| desk.anypoint.world().native_accounts = false,
            &["Anypoint/native accounts"],
            "Identity Providers",
        ),
        (
            "reading users",
            |desk| {
                let mut world = desk.anypoint.world();
                world.scopes.remove("read:orgusers");
                world.scopes.remove("edit:orgusers");
            },
            &["Anypoint/reads accounts"],
            "View Users",
        ),
        (
            "reading teams",
            |desk| {
                let mut world = desk.anypoint.world();
                world.scopes.remove("view:access_controls");
                world.scopes.remove("admin:access_controls");
            },
            &["Anypoint/reads teams"],
            "Access Controls Viewer",
        ),
        (
            "the organization",
            |desk| {
                desk.anypoint.world().scopes.remove("read:organization");
            },
            &["Anypoint/organization"],
            "View Organization",
        ),
        (
            "no hook",
            |desk| desk.okta.world().hooks.clear(),
            &["event hook/registered"],
            "hook register",
        ),
        (
            "unverified hook",
            |desk| {
                let mut world = desk.okta.world();
                world.hooks.values_mut().next().unwrap().verified = false;
            },
            &["event hook/delivers"],
            "hook register",
        ),
        (
            "hook without all types",
            |desk| {
                let mut world = desk.okta.world();
                world.hooks.values_mut().next().unwrap().events.pop();
            },
            &["event hook/delivers"],
            "hook register",
        ),
        (
            "a filter that is not ours",
            |desk| {
                let mut world = desk.okta.world();
                let hook = world.hooks.values_mut().next().unwrap();
                let expression = "event.target.?[displayName eq 'Sales'].size()>0".to_owned();
                hook.filter
                    .insert("group.lifecycle.create".to_owned(), expression);
            },
            &["event hook/delivers"],
            "hook register",
        ),
        (
            "the hook's header",
            |desk| {
                let mut world = desk.okta.world();
                world.hooks.values_mut().next().unwrap().auth_key = "x-other".to_owned();
            },
            &["event hook/header"],
            "HOOK_AUTH_HEADER",
        ),
    ];
    for (what, break_it, expected, fix) in cases {
        let desk = Desk::new().await;
        with_good_hook(&desk);
        break_it(&desk);
        let ran = desk.on_file(&["doctor", "--json"]).await.expect(1);
        let found = failed(&ran);
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, expected, "{what}: {}", ran.out);
        let said = found.values().next().unwrap()["fix"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(said.contains(fix), "{what}: {said}");
        assert!(!ran.out.contains("lin@acme.example"), "{what}");
    }
}

#[tokio::test]
async fn the_doctor_names_ids_of_groups_that_okta_does_not_have() {
    let desk = Desk::new().await;
    with_good_hook(&desk);
    let user = desk.assigned("lin", "lin_example");
    let group = desk.pushed_group("Engineers", &user);
    let data = desk.data.display().to_string();
    let doctor = ["doctor", "--data", &data];
    let ids = format!("ids:{group}");
    let ran = desk.run_with(&[("PUSH_GROUPS", &ids)], &doctor).await;
    ran.expect(0).says("1 of 1 named by PUSH_GROUPS");
    let ids = format!("ids:{group},00gNOSUCH00001");
    let ran = desk.run_with(&[("PUSH_GROUPS", &ids)], &doctor).await;
    ran.expect(1)
        .says("1 of 2 named by PUSH_GROUPS; Okta does not show 00gNOSUCH00001");
}

/// An empty list is what a missing right looks like. It is also what an empty organization looks like.
#[tokio::test]
async fn the_doctor_vouches_for_no_list_that_is_empty() {
    let desk = Desk::new().await;
    with_good_hook(&desk);
    desk.assigned("lin", "lin_example");
    desk.okta
        .traffic()
        .inject(Fault::empty_list("/api/v1/groups"));
    desk.anypoint.traffic().inject(Fault::empty_list("/users"));
    let ran = desk.on_file(&["doctor", "--json"]).await.expect(0);
    let checks = ran.json()["checks"].clone();
    for (check, says) in [
        ("reads groups", "okta.groups.read"),
        ("reads accounts", "View Users"),
    ] {
        let mut checks = checks.as_array().unwrap().iter();
        let found = checks.find(|found| found["check"] == check).unwrap();
        assert_eq!(found["state"], "not_checked", "{found}");
        assert!(found["found"].as_str().unwrap().contains(says), "{found}");
    }
}

/// One unusable app user, or a list that needs smaller pages, does not hide the others.
#[tokio::test]
async fn the_doctor_names_unreadable_app_users_and_judges_the_others() {
    let desk = Desk::new().await;
    with_good_hook(&desk);
    let odd = desk.assigned("odd", "odd_example");
    desk.assigned("lin", "lin@acme.example");
    desk.assigned("kim", "kim_example");
    let users = format!("/api/v1/apps/{APP}/users");
    let fault = Fault::changed(&users, Some(&odd), "/status", serde_json::json!(7));
    desk.okta.traffic().inject(fault);
    let large = Fault::new(&users, FaultKind::PagesAbove(60));
    desk.okta.traffic().inject(large);
    let ran = desk.on_file(&["doctor", "--json"]).await.expect(1);
    let found = failed(&ran);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let both = ["Okta/app usernames", "Okta/unreadable app users"];
    assert_eq!(names, both, "{}", ran.out);
    let unread = found[both[1]]["found"].as_str().unwrap();
    assert!(unread.contains(&odd), "{unread}");
    let refused = found[both[0]]["found"].as_str().unwrap();
    assert!(refused.starts_with("1 of 2 looked at"), "{refused}");
}

#[tokio::test]
async fn the_doctor_names_every_broken_setting() {
    let desk = Desk::new().await;
    with_good_hook(&desk);
    let data = desk.data.to_str().unwrap().to_owned();
    let cases: [(&str, &str, &str); 11] = [
        (
            "OKTA_ORG_URL",
            "http://acme.okta.com",
            "settings/OKTA_ORG_URL",
        ),
        ("OKTA_APP_ID", "", "settings/OKTA_APP_ID"),
        ("OKTA_API_TOKEN", "", "settings/OKTA_API_TOKEN"),
        ("ANYPOINT_ORG_ID", "", "settings/ANYPOINT_ORG_ID"),
        (
            "ANYPOINT_CLIENT_SECRET",
            "",
            "settings/ANYPOINT_CLIENT_SECRET",
        ),
        ("HOOK_SECRET", "", "settings/HOOK_SECRET"),
        ("PUSH_GROUPS", "some", "settings/PUSH_GROUPS"),
        ("MAX_DEACTIVATIONS", "many", "settings/MAX_DEACTIVATIONS"),
        ("OKTA_API_TOKEN", "stale", "Okta/credentials"),
        ("ANYPOINT_CLIENT_SECRET", "stale", "Anypoint/token"),
        ("ANYPOINT_ORG_ID", "another", "Anypoint/organization"),
    ];
    for (variable, value, expected) in cases {
        let ran = desk
            .run_with(&[(variable, value)], &["doctor", "--json", "--data", &data])
            .await
            .expect(1);
        let found = failed(&ran);
        assert!(
            found.contains_key(expected),
            "{variable}={value}: {}",
            ran.out
        );
    }
    let ran = desk
        .run(&["doctor", "--json", "--data", "/no/such/file.db"])
        .await
        .expect(1);
    assert!(failed(&ran).contains_key("table and queue/file"));
    desk.run(&["doctor"]).await.expect(1).says("TABLE_NAME");
}

#[tokio::test]
async fn the_doctor_shows_the_source_of_names_without_values() {
    let desk = Desk::new().await;
    with_good_hook(&desk);
    let user = desk.assigned("lin", "lin_example");
    let profile = serde_json::from_value(serde_json::json!({"givenName": "Mapped"})).unwrap();
    let mut world = desk.okta.world();
    world.update_app_profile(APP, &user, profile).unwrap();
    drop(world);
    let data = desk.data.to_str().unwrap();
    let doctor = async |setting: &str| {
        let doctor = ["doctor", "--json", "--data", data];
        desk.run_with(&[("ATTRIBUTES", setting)], &doctor).await
    };

    let ran = doctor("first_name=app.givenName").await.expect(0);
    assert!(!ran.out.contains("Mapped") && !ran.out.contains("Family"));
    ran.says(&format!(
        "user {user}: first_name from app.givenName, last_name from user.lastName, no phone"
    ));
    let ran = doctor("first_name=app.givenNmae").await.expect(1);
    let failed = failed(&ran);
    assert_eq!(failed.keys().collect::<Vec<_>>(), ["Okta/attributes"]);
    ran.says("none of 1 looked at has a text in app.givenNmae")
        .says("first_name from user.firstName (app.givenNmae has no text)");
    doctor("first_name=app.givenName,email=app.email")
        .await
        .expect(1)
        .says("names `email`");
    let ran = doctor("").await.expect(0);
    assert!(!ran.out.contains("attributes"), "{}", ran.out);
}
