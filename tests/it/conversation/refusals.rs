//! Refusals and outages: what they stop, and what continues.

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::{Policy, TeamNamePolicy};
use okta_anypoint::simulator::traffic::{Fault, FaultKind};
use okta_anypoint::store::ResetMail;
use rstest::rstest;

use super::conflicts::{leave_orphan, refusal};
use crate::world::{APP, World, look_at, worker};

/// In any order, at least one of the two refused teams comes before the accepted one.
#[tokio::test]
async fn a_refused_team_does_not_stop_the_next_membership() {
    let world = World::with(Policy {
        team_names: TeamNamePolicy::Strict,
        ..Policy::default()
    })
    .await;
    let ann = world.assigned_user("ann").await;
    let mut events = Vec::new();
    for name in ["R&D", "Devs", "S&D"] {
        let group = world.okta.world().create_group(name).unwrap().id;
        world.okta_does(|okta| okta.assign_group(APP, &group));
        events = world.okta_does(|okta| okta.add_member(&group, &ann));
    }
    assert_eq!(world.deliver(&events).await, 204);
    // The name is the group's own failure.
    assert_eq!(world.record(&events[0]).await.status, Status::Done);
    assert_eq!(world.team("Devs"), "ann");
}

#[tokio::test]
async fn a_refused_account_does_not_cost_the_user_the_current_one() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    world.anypoint().native_accounts = false;
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    assert_eq!(world.deliver(&[world.hint(&ann)]).await, 503);
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.team("Devs"), "ann");
    let mails = world.anypoint.traffic().count(&Method::POST, "/recover");
    assert_eq!(mails, 1, "no new account, so no mail");
}

#[tokio::test]
async fn a_refused_reset_mail_does_not_stop_the_account_and_its_teams() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.user("ann");
    let refused = Fault::status("/recover/password", 400, "{}");
    world.anypoint.traffic().inject(refused);
    world.okta_does(|okta| okta.assign(APP, &ann));
    let events = world.okta_does(|okta| okta.add_member(&devs, &ann));
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.record(&events[0]).await.status, Status::Done);
    assert!(world.user_link(&ann).await.is_some());
    assert_eq!(world.team("Devs"), "ann");
}

/// Such a refusal may be temporary. The person already has the account and the teams, and the mail comes later, once.
#[tokio::test]
async fn a_temporarily_refused_reset_mail_is_sent_later() {
    for status in [401, 403] {
        let world = World::new().await;
        let devs = world.pushed_group("Devs").await;
        let ann = world.user("ann");
        let refused = Fault::status("/recover/password", status, "");
        world.anypoint.traffic().inject(refused);
        world.okta_does(|okta| okta.assign(APP, &ann));
        let events = world.okta_does(|okta| okta.add_member(&devs, &ann));
        for _ in 0..2 {
            assert_eq!(world.deliver(&events).await, 503, "{status}");
            let link = world.user_link(&ann).await.unwrap();
            assert_eq!(link.reset_mail, ResetMail::Owed, "{status}");
            assert_eq!(world.team("Devs"), "ann");
        }
        world.anypoint.traffic().remove_all_faults();
        let asked = || world.anypoint.traffic().count(&Method::POST, "/recover");
        let before = asked();
        for _ in 0..2 {
            assert_eq!(world.deliver(&events).await, 204, "{status}");
            let link = world.user_link(&ann).await.unwrap();
            assert_eq!(link.reset_mail, ResetMail::Settled, "{status}");
            assert_eq!(asked(), before + 1, "{status}");
        }
        assert_eq!(world.deliver(&[world.hint(&ann)]).await, 204);
        assert_eq!(asked(), before + 1, "{status}");
        // The second link only forgets that the mail is owed.
        let subject = format!("user#{ann}");
        let entries = world.table.ledger.history(&subject, 0).await.unwrap();
        let links = entries.iter().filter(|entry| entry.action == "link");
        let states: Vec<_> = links.filter_map(|entry| entry.before.as_deref()).collect();
        assert_eq!(states, ["not linked", "linked"], "{status}");
    }
}

/// Anypoint gives no reliable answer. After four attempts the change goes back.
#[tokio::test]
async fn a_create_without_a_clear_answer_is_tried_four_times() {
    let world = World::new().await;
    let down = Fault::status("/users", 503, "{}").on(Method::POST);
    world.anypoint.traffic().inject(down);
    let ann = world.user("ann");
    world.okta_does(|okta| okta.assign(APP, &ann));
    let subject = Subject::User(OktaUserId::parse(ann).unwrap());
    let worker = worker(&world.ports);
    assert!(look_at(&worker, subject).await.is_retry());
    let tries = world.anypoint.traffic().count(&Method::POST, "/users");
    assert_eq!(tries, 4);
}

/// Anypoint asks for a pause of two seconds, and no more time is left for the answer to Okta. The event goes back at
/// once and says why, so that the run is not cut off.
#[tokio::test]
async fn a_create_is_not_retried_when_the_requested_pause_leaves_no_time() {
    let world = World::new().await;
    let down = FaultKind::Status {
        code: 503,
        headers: vec![("retry-after".to_owned(), "2".to_owned())],
        body: "{}".to_owned(),
    };
    let down = Fault::new("/users", down).on(Method::POST);
    world.anypoint.traffic().inject(down);
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 503);
    let text = world.record(&events[0]).await.error.unwrap();
    assert!(text.contains("503"), "{text}");
    let tries = world.anypoint.traffic().count(&Method::POST, "/users");
    assert_eq!(tries, 1);
}

/// The user can have no account under the new username.
#[tokio::test]
async fn an_orphaned_account_ends_although_the_wanted_username_is_refused() {
    let world = World::new().await;
    let ann = world.user("ann");
    world.okta_does(|okta| okta.assign(APP, &ann));
    leave_orphan(&world, &ann, "ann").await;
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "in valid"));
    let hint = [world.hint(&ann)];
    assert_eq!(world.deliver(&hint).await, 204);
    assert_eq!(world.account("ann"), "Left Behind - disabled");
    assert_eq!(world.writes().len(), 1);
    let record = world.record(&hint[0]).await;
    assert_eq!(record.error_code.as_deref(), Some("username_invalid"));
}

/// Also if the team has to be created first.
#[tokio::test]
async fn a_permanently_refused_membership_is_tried_twice() {
    for team_is_there in [true, false] {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let devs = world.okta.world().create_group("Devs").unwrap().id;
        let pushed = world.okta_does(|okta| okta.assign_group(APP, &devs));
        if team_is_there {
            assert_eq!(world.deliver(&pushed).await, 204);
        }
        let own = r#"{"status":400,"message":"no"}"#;
        let refused = Fault::status("/members", 400, own).on(Method::PATCH);
        world.anypoint.traffic().inject(refused);
        let events = world.okta_does(|okta| okta.add_member(&devs, &ann));
        assert_eq!(world.deliver(&events).await, 204);
        let text = refusal(&world, &events[0]).await;
        assert!(text.contains("400"), "{text}");
        let tries = world.anypoint.traffic().count(&Method::PATCH, "/members");
        // One refusal proves nothing, because the call has no value that could be refused. The look at the group of a new
        // team tries twice, too.
        assert_eq!(tries, if team_is_there { 2 } else { 4 });
        assert_eq!(world.team("Devs"), "");
    }
}

/// Okta does not show one member's assignment. The others join, and the one member's own look follows.
#[tokio::test]
async fn one_member_who_cannot_be_read_keeps_nobody_else_out_of_the_team() {
    for (status, body) in [(403, r#"{"errorCode":"E0000006"}"#), (500, "{}"), (404, "")] {
        let world = World::new().await;
        let devs = world.okta.world().create_group("Devs").unwrap().id;
        let mut people = Vec::new();
        for n in 0..3 {
            let person = world.assigned_user(&format!("pat{n}")).await;
            world.okta_does(|okta| okta.add_member(&devs, &person));
            people.push(person);
        }
        let hides = Fault::status(&format!("/api/v1/apps/*/users/{}", people[1]), status, body);
        let hides = world.okta.traffic().inject(hides);
        let pushed = world.okta_does(|okta| okta.assign_group(APP, &devs));
        assert_eq!(world.deliver(&pushed).await, 503, "{status}");
        assert_eq!(world.team("Devs"), "pat0 pat2", "{status}");
        world.okta.traffic().remove_fault(hides);
        assert_eq!(world.deliver(&pushed).await, 204, "{status}");
        assert_eq!(world.team("Devs"), "pat0 pat1 pat2", "{status}");
    }
}

/// Another change of the organization is under way. Anypoint's 409 looks like that of a taken username.
#[tokio::test]
async fn one_conflict_takes_no_username() {
    let world = World::new().await;
    let busy = r#"{"status":409,"message":"Another operation is in progress"}"#;
    let busy = Fault::status("/users", 409, busy).on(Method::POST);
    world.anypoint.traffic().inject(busy.once());
    let ann = world.user("ann");
    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

/// Anypoint refuses once to disable an account. No value in the call could be refused for good.
#[tokio::test]
async fn one_refusal_leaves_no_account_enabled() {
    for status in [400, 409, 422] {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let own = format!(r#"{{"status":{status},"message":"Bad Request"}}"#);
        let refused = Fault::status("/users/", status, &own).on(Method::PUT);
        world.anypoint.traffic().inject(refused.once());
        world.when(|okta| okta.unassign(APP, &ann)).await;
        assert_eq!(world.account("ann"), "ann Example - disabled", "{status}");
    }
}

/// Why Ann cannot get her new app username.
#[derive(Clone, Copy, PartialEq)]
enum Refusing {
    /// It is not a valid username.
    Policy,
    /// Another account has it, and may not be adopted.
    Adoption,
    /// Anypoint refuses the account.
    Anypoint,
}

/// A refused username does not stop the rest: teams and status continue with the current account.
#[rstest]
#[tokio::test]
async fn a_user_without_the_new_username_keeps_using_the_old_account(
    #[values(Refusing::Policy, Refusing::Adoption, Refusing::Anypoint)] refusing: Refusing,
) {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let (devs, ops) = (
        world.pushed_group("Devs").await,
        world.pushed_group("Ops").await,
    );
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    let name = match refusing {
        Refusing::Policy => "ann@new",
        Refusing::Adoption | Refusing::Anypoint => "ann_new",
    };
    if refusing == Refusing::Adoption {
        let mut anypoint = world.anypoint();
        let stranger = anypoint.add_user(name, "Ann", "Other", "other@acme.example");
        stranger.unwrap();
    }
    if refusing == Refusing::Anypoint {
        let refused = Fault::status("/users", 400, r#"{"status":400,"message":"no"}"#);
        world.anypoint.traffic().inject(refused.on(Method::POST));
    }
    world.okta_does(|okta| okta.set_app_username(APP, &ann, name));
    for (leaves, joins) in [(true, false), (false, true)] {
        let events = match leaves {
            true => world.okta_does(|okta| okta.remove_member(&devs, &ann)),
            false => world.okta_does(|okta| okta.add_member(&ops, &ann)),
        };
        assert_eq!(world.deliver(&events).await, 204);
        let record = world.record(&events[0]).await;
        assert_eq!(record.error_class, Some(Class::Permanent), "{record:?}");
        assert_eq!(world.team("Devs"), "");
        assert_eq!(world.team("Ops"), if joins { "ann" } else { "" });
    }
    world.when(|okta| okta.suspend(&ann)).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    world.when(|okta| okta.unsuspend(&ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.team("Ops"), "ann");
}

/// A refused first name does not stop a removal from a team, nor the enabling of an account.
#[tokio::test]
async fn a_refused_name_does_not_stop_status_and_teams() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let (devs, ops) = (
        world.pushed_group("Devs").await,
        world.pushed_group("Ops").await,
    );
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    world.when(|okta| okta.suspend(&ann)).await;
    world.okta_does(|okta| okta.unsuspend(&ann));
    world.okta_does(|okta| okta.update_profile(&ann, &[("firstName", "Anna".into())]));
    world.okta_does(|okta| okta.remove_member(&devs, &ann));
    let events = world.okta_does(|okta| okta.add_member(&ops, &ann));
    // Anypoint refuses updates with a name, and accepts the rest.
    let refused = Fault::status("/users/", 400, r#"{"status":400,"message":"no"}"#);
    let refused = refused.on(Method::PUT).once();
    world.anypoint.traffic().inject(refused);
    assert_eq!(world.deliver(&events).await, 204);
    let record = world.record(&events[0]).await;
    assert_eq!(record.error_class, Some(Class::Permanent), "{record:?}");
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.team("Ops"), "ann");
}
