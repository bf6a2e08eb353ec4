//! Contract §4, "User": an app username passes from one person to another, and the account with it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ledger::{Conclusion, Filter, Status};
use okta_anypoint::provision::{Adopt, Policy};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::simulator::traffic::{Absence, Fault, Moment};
use okta_anypoint::worker::Pace;

use crate::world::{APP, World, lease};

/// Two people, in the order of their ids, in one world.
async fn two_people(adopt: Adopt) -> (World, String, String) {
    let world = World::adopting(adopt).await;
    let ann = world.assigned_user("ann").await;
    let bob = world.assigned_user("bob").await;
    assert!(ann < bob);
    (world, ann, bob)
}

/// Okta gives `user` another app username, and writes that in two events that a hook delivers.
fn moves(world: &World, user: &str, username: &str) -> Vec<LogEvent> {
    let mut events = world.okta_does(|okta| okta.unassign(APP, user));
    events.extend(world.okta_does(|okta| okta.assign_with_username(APP, user, username)));
    events
}

/// Delivers events, and repeats those that Okta would repeat.
async fn delivered(world: &World, events: &[LogEvent]) {
    if world.deliver(events).await != 204 {
        assert_eq!(world.deliver(events).await, 204);
    }
    let records = world.table.ledger.records(&Filter::default()).await;
    for record in records.unwrap() {
        let is_settled = matches!(record.status, Status::Done | Status::Resolved);
        assert!(is_settled, "{record:?}");
    }
}

/// Checks that the user has this account, and that it is enabled.
async fn has(world: &World, user: &str, username: &str) {
    let state = world.account(username);
    assert!(state.ends_with("enabled"), "{username}: {state}");
    let link = world.user_link(user).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), world.account_id(username));
}

#[tokio::test]
async fn a_name_moves_to_another_person_whatever_the_order_of_events() {
    for heard_first in ["ann", "bob", "both"] {
        let (world, ann, bob) = two_people(Adopt::Username).await;
        let group = world.pushed_group("Devs").await;
        world.when(|okta| okta.add_member(&group, &bob)).await;
        let of_bob = moves(&world, &bob, "bob_z");
        let of_ann = moves(&world, &ann, "bob");
        match heard_first {
            "ann" => {
                delivered(&world, &of_ann).await;
                // Bob gets a look without an event of his own.
                has(&world, &bob, "bob_z").await;
                delivered(&world, &of_bob).await;
            }
            "bob" => {
                delivered(&world, &of_bob).await;
                delivered(&world, &of_ann).await;
            }
            _ => delivered(&world, &[of_bob, of_ann].concat()).await,
        }
        has(&world, &ann, "bob").await;
        has(&world, &bob, "bob_z").await;
        assert_eq!(world.account("ann"), "ann Example - disabled");
        assert_eq!(world.account("bob"), "ann Example - enabled");
        assert_eq!(world.team("Devs"), "bob_z", "{heard_first}");
    }
}

#[tokio::test]
async fn rotated_names_end_with_the_people_whom_okta_names() {
    let (world, ann, bob) = two_people(Adopt::Username).await;
    let cid = world.assigned_user("cid").await;
    let accounts = ["ann", "bob", "cid"].map(|name| world.account_id(name));
    let mut events = moves(&world, &ann, "bob");
    events.extend(moves(&world, &bob, "ann"));
    delivered(&world, &events).await;
    has(&world, &ann, "bob").await;
    has(&world, &bob, "ann").await;
    let mut events = moves(&world, &ann, "cid");
    events.extend(moves(&world, &bob, "bob"));
    events.extend(moves(&world, &cid, "ann"));
    // Each of them needs the account of the next, so open events are delivered again.
    for _ in 0..4 {
        if world.deliver(&events).await == 204 {
            break;
        }
    }
    delivered(&world, &events).await;
    has(&world, &ann, "cid").await;
    has(&world, &bob, "bob").await;
    has(&world, &cid, "ann").await;
    assert_eq!(
        accounts,
        ["ann", "bob", "cid"].map(|name| world.account_id(name))
    );
}

#[tokio::test]
async fn a_name_passes_on_from_an_unassigned_owner() {
    for deactivated in [false, true] {
        let (world, ann, bob) = two_people(Adopt::Username).await;
        world
            .when(|okta| match deactivated {
                true => okta.deactivate(&bob),
                false => okta.unassign(APP, &bob),
            })
            .await;
        assert_eq!(world.account("bob"), "bob Example - disabled");
        let events = moves(&world, &ann, "bob");
        delivered(&world, &events).await;
        has(&world, &ann, "bob").await;
        assert!(world.user_link(&bob).await.is_none());
    }
}

/// One strange answer about the owner does not count.
#[tokio::test]
async fn one_answer_without_the_assignment_does_not_cost_the_owner_the_account() {
    let (world, ann, bob) = two_people(Adopt::Username).await;
    let path = format!("/api/v1/apps/{APP}/users/{bob}");
    let gone = Fault::not_found(&path, Absence::Service).on(Method::GET);
    let gone = world.okta.traffic().inject(gone.once());
    let events = moves(&world, &ann, "bob");
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.okta.traffic().fired(gone), 1);
    has(&world, &bob, "bob").await;
    assert!(world.record(&events[1]).await.error.unwrap().contains(&bob));
}

/// An owner who still has the app username keeps the account, even suspended or with an unusable name.
#[tokio::test]
async fn an_owner_who_still_has_the_name_keeps_the_account() {
    for what in ["assigned", "suspended", "invalid"] {
        let (world, ann, bob) = two_people(Adopt::Username).await;
        match what {
            "suspended" => world.when(|okta| okta.suspend(&bob)).await,
            "invalid" => {
                let _ = world.okta_does(|okta| okta.set_app_username(APP, &bob, "not valid"));
            }
            _ => {}
        }
        let before = world.account_id("bob");
        let events = moves(&world, &ann, "bob");
        assert_eq!(world.deliver(&events).await, 204);
        let record = world.record(events.last().unwrap()).await;
        assert_eq!(
            record.error_code.as_deref(),
            Some("username_taken"),
            "{what}"
        );
        let link = world.user_link(&bob).await.unwrap();
        assert_eq!(link.anypoint_id.as_str(), before, "{what}");
        assert!(world.account("bob").starts_with("bob Example"), "{what}");
        // Ann keeps hers until then.
        has(&world, &ann, "ann").await;
    }
}

#[tokio::test]
async fn a_freed_account_is_adopted_only_as_adopt_allows() {
    let (world, ann, bob) = two_people(Adopt::UsernameAndEmail).await;
    let _ = moves(&world, &bob, "bob_z");
    let events = moves(&world, &ann, "bob");
    assert_eq!(world.deliver(&events).await, 204);
    let record = world.record(events.last().unwrap()).await;
    assert_eq!(record.error_code.as_deref(), Some("adoption_refused"));
    has(&world, &bob, "bob").await;
    has(&world, &ann, "ann").await;
}

/// The look at the owner comes before the lease on the owner. Under the lease the worker asks Okta once more.
#[tokio::test]
async fn an_owner_who_regains_the_name_meanwhile_keeps_the_account() {
    let (world, ann, bob) = two_people(Adopt::Username).await;
    let world = Arc::new(world);
    world.okta_does(|okta| okta.set_app_username(APP, &bob, "bob_z"));
    let events = moves(&world, &ann, "bob");
    world.forget_traffic();
    let (seen, of_bob) = (Arc::downgrade(&world), format!("/users/{bob}"));
    let owner = bob.clone();
    world.okta.traffic().on_request(move |call| {
        if call.path.contains("/apps/") && call.path.ends_with(&of_bob) {
            let world = seen.upgrade().unwrap();
            world.okta_does(|okta| okta.set_app_username(APP, &owner, "bob"));
        }
    });
    assert_eq!(world.deliver(&events).await, 204);
    let record = world.record(events.last().unwrap()).await;
    assert_eq!(record.error_code.as_deref(), Some("username_taken"));
    has(&world, &bob, "bob").await;
    has(&world, &ann, "ann").await;
    assert_eq!(world.writes(), Vec::<String>::new());
}

/// Only the run that took the account knows that the former owner now has none.
#[tokio::test]
async fn the_former_owner_gets_a_look_even_if_the_adopting_run_failed() {
    let (world, ann, bob) = two_people(Adopt::Username).await;
    let group = world.pushed_group("Devs").await;
    world.okta_does(|okta| okta.add_member(&group, &ann));
    world.okta_does(|okta| okta.set_app_username(APP, &bob, "bob_z"));
    let fault = Fault::status("/members", 400, "{}");
    let fault = world.anypoint.traffic().inject(fault.on(Method::PATCH));
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "bob"));
    let events = [world.hint(&ann)];
    assert_eq!(world.deliver(&events).await, 503);
    assert!(world.anypoint.traffic().fired(fault) > 0);
    world.anypoint.traffic().remove_all_faults();
    has(&world, &ann, "bob").await;
    has(&world, &bob, "bob_z").await;
    delivered(&world, &events).await;
    assert_eq!(world.team("Devs"), "bob");
}

/// A run goes back without a change if another run works on the owner of the account it needs.
#[tokio::test]
async fn an_account_is_not_adopted_while_another_run_works_on_its_owner() {
    let policy = Policy {
        adopt: Adopt::Username,
        ..Policy::default()
    };
    let world = World::with_pace(policy, Pace::INLINE, Duration::from_secs(60)).await;
    let ann = world.assigned_user("ann").await;
    let bob = world.assigned_user("bob").await;
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_z"));
    world.okta_does(|okta| okta.set_app_username(APP, &bob, "ann"));
    let held = lease(&*world.table.ledger, &ann, Duration::from_secs(60)).await;
    let events = [world.hint(&bob)];
    assert_eq!(world.deliver(&events).await, 503);
    let record = world.record(&events[0]).await;
    assert_eq!(record.error_code.as_deref(), Some("busy"));
    has(&world, &bob, "bob").await;
    let ledger = &world.table.ledger;
    ledger.conclude(held, Conclusion::default()).await.unwrap();
    delivered(&world, &events).await;
    has(&world, &bob, "ann").await;
    has(&world, &ann, "ann_z").await;
}

/// Delivers `slower`. When its run is about to write to the account, `faster` is delivered first.
async fn overtaken(world: &World, account: &str, slower: &[LogEvent], faster: &[LogEvent]) {
    let path = format!("/users/{account}");
    let slow = world.held(Method::PUT, &path, Moment::BeforeEffect);
    let overtakes = async {
        slow.reached().await;
        assert_eq!(world.deliver(faster).await, 204);
        slow.release();
    };
    let (status, ()) = tokio::join!(world.deliver(slower), overtakes);
    assert_eq!(status, 204);
}

/// Both looks find the account free. The advice to unlink the other user would only turn the two around.
#[tokio::test]
async fn the_slower_of_two_users_with_one_app_username_is_advised_to_change_it() {
    let world = World::adopting(Adopt::Username).await;
    let account = world
        .anypoint()
        .add_user("ann", "Other", "Name", "other@acme.example")
        .unwrap();
    let (ann, ben) = (world.user("ann"), world.user("ben"));
    let slower = world.okta_does(|okta| okta.assign(APP, &ann));
    let faster = world.okta_does(|okta| okta.assign_with_username(APP, &ben, "ANN"));
    overtaken(&world, &account, &slower, &faster).await;
    let link = world.user_link(&ben).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), account);
    assert!(world.user_link(&ann).await.is_none());
    let record = world.record(&slower[0]).await;
    assert_eq!(record.error_code.as_deref(), Some("username_taken"));
    let error = record.error.unwrap();
    assert!(error.contains(&ben), "{error}");
    assert!(
        error.contains("Give one of the two users another app username in Okta."),
        "{error}"
    );
}

/// The slower one had an account, and the run ended it before it knew. The next look gives it back.
#[tokio::test]
async fn the_slower_of_two_users_with_one_app_username_keeps_the_old_account() {
    let world = World::adopting(Adopt::Username).await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    let account = world
        .anypoint()
        .add_user("both", "Other", "Name", "other@acme.example")
        .unwrap();
    let ben = world.user("ben");
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "both"));
    let faster = world.okta_does(|okta| okta.assign_with_username(APP, &ben, "both"));
    let slower = world.hint(&ann);
    overtaken(&world, &account, std::slice::from_ref(&slower), &faster).await;
    let record = world.record(&slower).await;
    assert_eq!(record.error_code.as_deref(), Some("username_taken"));
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.team("Devs"), "ann");
}

/// Okta does not say the app username of the person who has the wanted account. The rest is done meanwhile.
#[tokio::test]
async fn an_owner_who_cannot_be_read_delays_only_the_adoption() {
    for says in ["came without a username", "500"] {
        let (world, ann, bob) = two_people(Adopt::Username).await;
        let devs = world.pushed_group("Devs").await;
        let of_bob = format!("/api/v1/apps/*/users/{bob}");
        let fault = match says {
            "500" => Fault::status(&of_bob, 500, "{}"),
            _ => Fault::removed(&of_bob, None, "/credentials/userName"),
        };
        let fault = world.okta.traffic().inject(fault);
        world.okta_does(|okta| okta.set_app_username(APP, &ann, "bob"));
        let joined = world.okta_does(|okta| okta.add_member(&devs, &ann));
        assert_eq!(world.deliver(&joined).await, 503);
        assert_eq!(world.team("Devs"), "ann", "{says}");
        let error = world.record(&joined[0]).await.error.unwrap();
        assert!(error.contains(says), "{error}");

        world.okta.traffic().remove_fault(fault);
        assert_eq!(world.deliver(&joined).await, 204);
        let record = world.record(&joined[0]).await;
        assert_eq!(record.error_class, Some(Class::Permanent), "{record:?}");
        assert_eq!(world.team("Devs"), "ann");
    }
}
