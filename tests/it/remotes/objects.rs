//! An answer about another object, or one that does not show the written values, does not count.

use http::Method;
use okta_anypoint::failure::{Cause, Class};
use okta_anypoint::ids::{OktaGroupId, OktaUserId, TeamId};
use okta_anypoint::ledger::Status;
use okta_anypoint::okta::NewUser;
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::simulator::traffic::{Fault, FaultId, FaultKind, Traffic};
use serde_json::{Value, json};

use crate::world::{APP, World, soon};

const NO_JSON: &str = "<html>Sign in</html>";

/// Delivers events to a world with a wrong answer. They fail as unreadable, and are retried.
async fn unreadable(world: &World, traffic: &Traffic, fault: FaultId, events: &[LogEvent]) {
    assert_eq!(world.deliver(events).await, 503);
    assert!(traffic.fired(fault) > 0);
    let record = world.record(&events[0]).await;
    let kept = (record.status, record.error_class, record.error_code);
    let expected = Cause::Unreadable.as_str().to_owned();
    assert_eq!(
        kept,
        (Status::Failed, Some(Class::Retryable), Some(expected)),
        "{:?}",
        record.error
    );
}

fn page(body: &str) -> FaultKind {
    FaultKind::Status {
        code: 200,
        headers: Vec::new(),
        body: body.to_owned(),
    }
}

/// Before: the account got the other one's state, and the team got the other group's name.
#[tokio::test]
async fn an_answer_about_another_object_is_unreadable() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ops = world.pushed_group("Ops").await;
    let (ann, bob) = (
        world.assigned_user("ann").await,
        world.assigned_user("bob").await,
    );
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    world.when(|okta| okta.suspend(&bob)).await;
    let ids = ["ann", "bob"].map(|name| world.account_id(name));
    let team = world.team_link(&devs).await.unwrap().team_id.to_string();
    let other = world.team_link(&ops).await.unwrap().team_id.to_string();
    let app = format!("/api/v1/apps/{APP}");
    let org = "/accounts/api/organizations/*";
    for (at_okta, path, pointer, id) in [
        (true, format!("/api/v1/users/{ann}"), "/id", &bob),
        (true, format!("{app}/users/{ann}"), "/id", &bob),
        (false, format!("{org}/users/{}", ids[0]), "/id", &ids[1]),
    ] {
        let traffic = if at_okta {
            world.okta.traffic()
        } else {
            world.anypoint.traffic()
        };
        let crossed = Fault::changed(&path, None, pointer, json!(id));
        let fault = traffic.inject(crossed.on(Method::GET));
        let events = [world.hint(&ann)];
        unreadable(&world, traffic, fault, &events).await;
        traffic.remove_fault(fault);
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.account("ann"), "ann Example - enabled", "{path}");
        assert_eq!(world.team("Devs"), "ann", "{path}");
    }
    let path = format!("/api/v1/groups/{devs}");
    let traffic = world.okta.traffic();
    let fault = traffic.inject(Fault::changed(&path, None, "/id", json!(ops)));
    let events = world.okta_does(|okta| okta.rename_group(&devs, "Builders"));
    unreadable(&world, traffic, fault, &events).await;
    traffic.remove_fault(fault);
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.team("Builders"), "ann");

    let path = format!("{org}/teams/{team}");
    let crossed = Fault::changed(&path, None, "/team_id", json!(other));
    world.anypoint.traffic().inject(crossed);
    let team = TeamId::parse(team).unwrap();
    let read = world.ports.anypoint.team(&team, soon()).await;
    assert!(read.unwrap_err().is_unreadable());
}

/// Before: any JSON counted as "assigned".
#[tokio::test]
async fn the_assignment_of_a_group_is_an_object_with_its_id() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let group = OktaGroupId::parse(devs.clone()).unwrap();
    let okta = &world.ports.okta;
    let path = format!("/api/v1/apps/{APP}/groups/{devs}");
    for body in ["null", "[]", "{}", "5", r#"{"id":"00gOTHER"}"#, r#""x""#] {
        let fault = world.okta.traffic().inject(Fault::new(&path, page(body)));
        let asked = okta.is_app_group(&world.ports.app, &group, soon()).await;
        assert!(asked.unwrap_err().is_unreadable(), "{body}");
        world.okta.traffic().remove_fault(fault);
    }
    assert!(
        okta.is_app_group(&world.ports.app, &group, soon())
            .await
            .unwrap()
    );
}

/// Before: the link named somebody else's account, and unassigning disabled it.
#[tokio::test]
async fn an_account_in_the_answer_to_another_create_is_not_linked() {
    let world = World::new().await;
    let stranger = world
        .anypoint()
        .add_user("ernie", "Ernie", "Extern", "ernie@acme.example")
        .unwrap();
    let body = json!({"id": stranger, "username": "ernie", "enabled": true}).to_string();
    let crossed = FaultKind::Status {
        code: 201,
        headers: Vec::new(),
        body,
    };
    let crossed = Fault::new("/users", crossed)
        .on(Method::POST)
        .after_effect();
    let fault = world.anypoint.traffic().inject(crossed.once());
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    if world.deliver(&events).await != 204 {
        assert_eq!(world.deliver(&events).await, 204);
    }
    assert_eq!(world.anypoint.traffic().fired(fault), 1);
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), world.account_id("ann"));
    world.when(|okta| okta.unassign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("ernie"), "Ernie Extern - enabled");
}

/// Possible answers to writes.
async fn disabled_by(body: &str) -> (World, Vec<LogEvent>, FaultId) {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let path = format!(
        "/accounts/api/organizations/*/users/{}",
        world.account_id("ann")
    );
    let body = body.replace("ANN", &world.account_id("ann"));
    let fault = Fault::new(&path, page(&body)).on(Method::PUT).once();
    let fault = world.anypoint.traffic().inject(fault);
    let events = world.okta_does(|okta| okta.suspend(&ann));
    (world, events, fault)
}

/// Before: done, and the account stayed enabled.
#[tokio::test]
async fn an_answer_that_does_not_confirm_the_write_is_no_success() {
    for body in [
        NO_JSON,
        "OK",
        r#"{"id":"ANN","enabled":true}"#,
        r#"{"id":"0b0e2f5c-0000-4000-8000-0000000000ff","enabled":false}"#,
        r#"{"unexpected":true}"#,
        "{}",
        "null",
        "[]",
        r#"{"id":"ANN"}"#,
        r#"{"id":"ANN","enabled":null}"#,
        r#"{"enabled":false}"#,
    ] {
        let (world, events, fault) = disabled_by(body).await;
        unreadable(&world, world.anypoint.traffic(), fault, &events).await;
        assert_eq!(world.account("ann"), "ann Example - enabled", "{body}");
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.account("ann"), "ann Example - disabled", "{body}");
    }
    // An empty answer counts like the account itself.
    for body in ["", r#"{"id":"ANN","enabled":false}"#] {
        let (world, events, _) = disabled_by(body).await;
        assert_eq!(world.deliver(&events).await, 204, "{body}");
        assert_eq!(
            world.record(&events[0]).await.status,
            Status::Done,
            "{body}"
        );
    }
}

#[tokio::test]
async fn names_and_phone_that_differ_in_the_answer_are_sent_again() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let path = format!(
        "/accounts/api/organizations/*/users/{}",
        world.account_id("ann")
    );
    let traffic = world.anypoint.traffic();
    let id = world.account_id("ann");
    let answer = |mut body: Value| {
        body["id"] = json!(id);
        Fault::new(&path, page(&body.to_string())).on(Method::PUT)
    };
    let rename = |first: &str| {
        let change = [("firstName", first.into())];
        world.okta_does(|okta| okta.update_profile(&ann, &change))
    };
    let events = rename("Anna");
    let fault = traffic.inject(answer(json!({"firstName": "ann"})).once());
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(traffic.fired(fault), 1);
    assert_eq!(world.account("ann"), "Anna Example - enabled");

    // Differences in white space and in the notation of a phone number do not count.
    let call = |phone: &str| {
        let change = [("mobilePhone", phone.into())];
        world.okta_does(|okta| okta.update_profile(&ann, &change))
    };
    let events = call("+49 (30) 1234");
    let same = answer(json!({"firstName": " Anna ", "phoneNumber": "+49301234"}));
    let fault = traffic.inject(same.after_effect().once());
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(traffic.fired(fault), 1);

    // A phone number missing in the answer is sent once more.
    let events = call("+49 30 5678");
    let fault = traffic.inject(answer(json!({"phoneNumber": "+49301234"})).once());
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(traffic.fired(fault), 1);
    assert_eq!(world.account("ann"), "Anna Example +49 30 5678 enabled");

    // The phone number never blocks the rest.
    let events = call("+49 30 9999");
    let fault = traffic.inject(answer(json!({"phoneNumber": "+49301234"})));
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(traffic.fired(fault), 2);
    assert_eq!(world.record(&events[0]).await.status, Status::Done);
}

/// Memberships and teams: a sign-in page or other JSON confirms nothing.
#[tokio::test]
async fn a_web_page_instead_of_a_confirmation_changes_nothing() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    let traffic = world.anypoint.traffic();
    for (method, members, body) in [
        (Method::PATCH, "ann", NO_JSON),
        (Method::DELETE, "", NO_JSON),
        (Method::PATCH, "ann", "{}"),
        (Method::DELETE, "", r#"{"unexpected":true}"#),
    ] {
        let fault = traffic.inject(Fault::new("/members", page(body)).on(method.clone()).once());
        let events = match method {
            Method::PATCH => world.okta_does(|okta| okta.add_member(&devs, &ann)),
            _ => world.okta_does(|okta| okta.remove_member(&devs, &ann)),
        };
        unreadable(&world, traffic, fault, &events).await;
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.team("Devs"), members);
    }
    let path = format!(
        "/accounts/api/organizations/*/teams/{}",
        world.team_link(&devs).await.unwrap().team_id
    );
    let id = world.team_link(&devs).await.unwrap().team_id;
    let unchanged = json!({"team_id": id, "team_name": "Devs"}).to_string();
    for (name, body) in [
        ("Builders", NO_JSON),
        ("Makers", unchanged.as_str()),
        ("Movers", "{}"),
    ] {
        let fault = traffic.inject(Fault::new(&path, page(body)).on(Method::PATCH).once());
        let events = world.okta_does(|okta| okta.rename_group(&devs, name));
        unreadable(&world, traffic, fault, &events).await;
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.team(name), "", "{body}");
    }
}

/// The writes of an import, at Okta.
#[tokio::test]
async fn oktas_answers_to_writes_confirm_them_or_fail() {
    let world = World::new().await;
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let id = OktaUserId::parse(ann.clone()).unwrap();
    let (okta, traffic) = (&world.ports.okta, world.okta.traffic());
    let struck = |path: &str, body: &str| {
        let body = body.replace("ANN", &ann).replace("BOB", &bob);
        traffic.inject(Fault::new(path, page(&body)).on(Method::POST).once());
    };
    let users = "/api/v1/users";
    let user = format!("{users}/{ann}");
    let assignments = format!("/api/v1/apps/{APP}/users");
    for body in [
        NO_JSON,
        r#"{"id":"BOB","profile":{"firstName":"Anna"}}"#,
        r#"{"id":"ANN","profile":{"firstName":"ann"}}"#,
        "{}",
    ] {
        struck(&user, body);
        let updated = okta.update_names(&id, Some("Anna"), None, soon()).await;
        assert!(updated.unwrap_err().is_unreadable(), "{body}");
    }
    for body in ["", r#"{"id":"ANN","profile":{"firstName":" Anna"}}"#] {
        struck(&user, body);
        let updated = okta.update_names(&id, Some("Anna"), None, soon()).await;
        updated.unwrap();
    }
    for body in [NO_JSON, r#"{"id":"BOB","credentials":{"userName":"ann"}}"#] {
        struck(&assignments, body);
        let assigned = okta.assign(&world.ports.app, &id, "ann", soon()).await;
        assert!(assigned.unwrap_err().is_unreadable(), "{body}");
    }
    let new = NewUser {
        login: "eve@acme.example".to_owned(),
        email: "eve@acme.example".to_owned(),
        first_name: "Eve".to_owned(),
        last_name: "Example".to_owned(),
    };
    for body in [
        NO_JSON,
        r#"{"id":"BOB","status":"STAGED","profile":{"login":"bob@acme.example"}}"#,
    ] {
        struck(users, body);
        let created = okta.create_staged_user(&new, soon()).await;
        assert!(created.unwrap_err().is_unreadable(), "{body}");
    }
    okta.create_staged_user(&new, soon()).await.unwrap();
}

/// Before: `permanent username_invalid`. A missing or empty name is an incomplete answer. Only an invalid name is
/// permanent.
#[tokio::test]
async fn an_app_user_without_a_username_is_retried_and_an_invalid_one_fails() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let path = format!("/api/v1/apps/{APP}/users/{ann}");
    let traffic = world.okta.traffic();
    for missing in [
        Fault::removed(&path, None, "/credentials"),
        Fault::removed(&path, None, "/credentials/userName"),
        Fault::changed(&path, None, "/credentials", Value::Null),
        Fault::changed(&path, None, "/credentials/userName", Value::Null),
        Fault::changed(&path, None, "/credentials/userName", json!("")),
        Fault::changed(&path, None, "/credentials/userName", json!("  ")),
    ] {
        let what = format!("{missing:?}");
        let fault = traffic.inject(missing.on(Method::GET));
        let events = [world.hint(&ann)];
        assert_eq!(world.deliver(&events).await, 503, "{what}");
        let record = world.record(&events[0]).await;
        assert_eq!(record.error_class, Some(Class::Retryable), "{what}");
        assert_eq!(record.error_code.as_deref(), Some("username_invalid"));
        assert!(traffic.fired(fault) > 0);
        traffic.remove_fault(fault);
        assert_eq!(world.deliver(&events).await, 204, "{what}");
        assert_eq!(world.account("ann"), "ann Example - enabled", "{what}");
    }
    let invalid = Fault::changed(&path, None, "/credentials/userName", json!("not valid"));
    traffic.inject(invalid.on(Method::GET));
    let events = [world.hint(&ann)];
    assert_eq!(world.deliver(&events).await, 204);
    let record = world.record(&events[0]).await;
    let kept = (record.status, record.error_class);
    assert_eq!(kept, (Status::Failed, Some(Class::Permanent)));
}
