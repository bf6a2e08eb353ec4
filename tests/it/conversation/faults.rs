//! Remotes that refuse, stall, lie or lose answers. Tokens that expire. Runs that are cut off.

use std::time::{Duration, Instant};

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::{Policy, ResetEmail};
use okta_anypoint::simulator::traffic::{Fault, FaultKind};
use okta_anypoint::store::Origin;
use okta_anypoint::worker::Pace;

use crate::world::{APP, World, pass};

fn status(code: u16, headers: &[(&str, &str)]) -> FaultKind {
    FaultKind::Status {
        code,
        headers: headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        body: String::new(),
    }
}

/// A world whose deliveries take at most `ms`.
async fn hurried(ms: u64) -> World {
    World::with_pace(Policy::default(), Pace::INLINE, Duration::from_millis(ms)).await
}

/// Okta's retry heals every fault of a remote, and applies nothing twice.
#[tokio::test]
async fn the_retry_heals_every_fault() {
    for side in ["okta", "anypoint"] {
        let paths: &[&str] = if side == "okta" {
            &["/api/v1/users/", "/api/v1/apps/", "/groups"]
        } else {
            &["/oauth2/token", "/users"]
        };
        for path in paths {
            for kind in [
                status(500, &[]),
                status(503, &[]),
                status(429, &[("retry-after", "120")]),
                FaultKind::DropConnection,
                FaultKind::TruncatedBody,
                FaultKind::WrongJson,
                FaultKind::Delay(Duration::from_secs(30)),
            ] {
                let case = format!("{side} {path} {kind:?}");
                let world = hurried(900).await;
                let ann = world.user("ann");
                let events = world.okta_does(|okta| okta.assign(APP, &ann));
                let traffic = if side == "okta" {
                    world.okta.traffic()
                } else {
                    world.anypoint.traffic()
                };
                let fault = traffic.inject(Fault::new(path, kind));
                let began = Instant::now();
                assert_eq!(world.deliver(&events).await, 503, "{case}");
                assert!(began.elapsed() < Duration::from_millis(2_500), "{case}");
                assert!(traffic.fired(fault) > 0, "{case}");
                let record = world.record(&events[0]).await;
                assert_eq!(
                    (record.status, record.error_class),
                    (Status::Failed, Some(Class::Retryable)),
                    "{case}"
                );
                traffic.remove_all_faults();
                let mut answer = 0;
                for _ in 0..3 {
                    answer = world.deliver(&events).await;
                    if answer == 204 {
                        break;
                    }
                }
                assert_eq!(answer, 204, "{case}");
                assert_eq!(world.account("ann"), "ann Example - enabled", "{case}");
                assert_eq!(world.anypoint().users.len(), 1, "{case}");
                assert_eq!(
                    world.record(&events[0]).await.status,
                    Status::Done,
                    "{case}"
                );
            }
        }
    }
}

#[tokio::test]
async fn one_delivery_survives_short_faults() {
    for kind in [
        status(500, &[]),
        status(503, &[]),
        status(429, &[("retry-after", "0")]),
        FaultKind::DropConnection,
    ] {
        let world = World::new().await;
        let ann = world.user("ann");
        world
            .okta
            .traffic()
            .inject(Fault::new("/api/v1/users/", kind.clone()).once());
        world
            .anypoint
            .traffic()
            .inject(Fault::new("/users", kind.clone()).once());
        world.when(|okta| okta.assign(APP, &ann)).await;
        assert_eq!(world.account("ann"), "ann Example - enabled", "{kind:?}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_renewed_once_and_a_missing_scope_is_reported() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world.anypoint().revoke_tokens();
    world.forget_traffic();
    world.look_again(&ann).await;
    let tokens = world
        .anypoint
        .traffic()
        .count(&Method::POST, "/oauth2/token");
    assert_eq!(tokens, 1, "many calls met the revoked token, one fetched");
    // A lasting 401 does not mean an expired token.
    world
        .anypoint
        .traffic()
        .inject(Fault::new("/users", status(401, &[])));
    let events = world.okta_does(|okta| okta.suspend(&ann));
    assert_eq!(world.deliver(&events).await, 503);
    let record = world.record(&events[0]).await;
    assert_eq!(record.error_class, Some(Class::Retryable));
    assert!(record.error.unwrap().contains("Access Controls Admin"));
}

#[tokio::test]
async fn refused_credentials_are_named_and_heal() {
    let world = World::new().await;
    let ann = world.user("ann");
    world.anypoint().client_secret = "rotated".to_owned();
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 503);
    let error = world.record(&events[0]).await.error.unwrap();
    assert!(error.contains("connected app's id and secret"), "{error}");
    assert!(!error.contains("simulated-secret"), "{error}");
    // The event succeeds as soon as the secret is right again, without a replay.
    world.anypoint().client_secret = "simulated-secret".to_owned();
    pass(Duration::from_secs(5)).await;
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

#[tokio::test]
async fn a_lost_answer_to_a_create_makes_no_second_account() {
    let world = World::new().await;
    let ann = world.user("ann");
    world.anypoint.traffic().inject(
        Fault::new("/users", FaultKind::DropConnection)
            .on(Method::POST)
            .after_effect()
            .once(),
    );
    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.anypoint().users.len(), 1);
    assert_eq!(world.user_link(&ann).await.unwrap().origin, Origin::Created);
    assert_eq!(world.anypoint().mails.len(), 1);
}

/// ADOPT=never would refuse the account that a cut-off run created. The intent says that it belongs to this user.
#[tokio::test]
async fn a_run_cut_off_between_create_and_record_is_finished_by_the_next() {
    for adopt in [
        okta_anypoint::provision::Adopt::UsernameAndEmail,
        okta_anypoint::provision::Adopt::Never,
    ] {
        let policy = Policy {
            adopt,
            ..Policy::default()
        };
        let world = World::with_pace(policy, Pace::INLINE, Duration::from_millis(900)).await;
        let ann = world.user("ann");
        let events = world.okta_does(|okta| okta.assign(APP, &ann));
        let slow = FaultKind::Delay(Duration::from_secs(30));
        let fault = Fault::new("/users", slow)
            .on(Method::POST)
            .after_effect()
            .once();
        world.anypoint.traffic().inject(fault);
        assert_eq!(world.deliver(&events).await, 503);
        assert_eq!(world.anypoint().users.len(), 1, "the account was made");
        assert!(world.user_link(&ann).await.is_none(), "and not recorded");
        assert_eq!(world.deliver(&events).await, 204, "{adopt:?}");
        assert_eq!(world.anypoint().users.len(), 1);
        assert_eq!(world.user_link(&ann).await.unwrap().origin, Origin::Created);
        assert_eq!(world.anypoint().mails.len(), 1);
        let record = world.record(&events[0]).await;
        assert_eq!((record.status, record.attempts), (Status::Done, 2));
    }
}

#[tokio::test]
async fn an_orphaned_account_of_a_user_who_left_is_disabled() {
    let world = hurried(900).await;
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    let slow = FaultKind::Delay(Duration::from_secs(30));
    world.anypoint.traffic().inject(
        Fault::new("/users", slow)
            .on(Method::POST)
            .after_effect()
            .once(),
    );
    assert_eq!(world.deliver(&events).await, 503);
    assert_eq!(world.account("ann"), "ann Example - enabled");
    world.when(|okta| okta.unassign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert!(
        world.user_link(&ann).await.is_none(),
        "nobody has the account"
    );
}

/// The run that created the account was cut off before the mail, and the account was disabled before another run sent
/// it. The mail comes once, when the account is enabled.
#[tokio::test]
async fn a_mail_lost_with_a_cut_off_run_is_sent_when_the_account_is_enabled() {
    for (reset_email, mails) in [(ResetEmail::Send, 1), (ResetEmail::Skip, 0)] {
        let policy = Policy {
            reset_email,
            ..Policy::default()
        };
        let world = World::with_pace(policy, Pace::INLINE, Duration::from_millis(900)).await;
        let ann = world.user("ann");
        let events = world.okta_does(|okta| okta.assign(APP, &ann));
        let slow = FaultKind::Delay(Duration::from_secs(30));
        let fault = Fault::new("/users", slow).on(Method::POST).after_effect();
        world.anypoint.traffic().inject(fault.once());
        assert_eq!(world.deliver(&events).await, 503);
        world.when(|okta| okta.suspend(&ann)).await;
        assert_eq!(world.account("ann"), "ann Example - disabled");
        world.look_again(&ann).await;
        assert_eq!(world.anypoint().mails.len(), 0, "it would be of no use yet");
        world.when(|okta| okta.unsuspend(&ann)).await;
        assert_eq!(world.account("ann"), "ann Example - enabled");
        assert_eq!(world.anypoint().mails.len(), mails);
        world.forget_traffic();
        world.look_again(&ann).await;
        assert_eq!(world.writes().len(), 0, "no mail is missing");
        assert_eq!(world.user_link(&ann).await.unwrap().origin, Origin::Created);
    }
}

/// A run that ended after its intent does not make the next run wait for the end of the lease.
#[tokio::test]
async fn a_finished_run_lets_the_next_one_create_at_once() {
    // Cut off before the create. By the retry the user is no longer wanted.
    let world = World::new().await;
    let ann = world.user("ann");
    let first = world.okta_does(|okta| okta.assign(APP, &ann));
    world.okta_does(|okta| okta.unassign(APP, &ann));
    crate::world::intend(&world.table, &ann, "ann", None).await;
    assert_eq!(world.deliver(&first).await, 204);
    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");

    // Failed after the create.
    let world = World::new().await;
    let ann = world.user("ann");
    let mail = Fault::new("password", status(503, &[("retry-after", "60")])).on(Method::POST);
    let fault = world.anypoint.traffic().inject(mail);
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 503);
    assert!(world.anypoint.traffic().fired(fault) > 0);
    world.anypoint.traffic().remove_fault(fault);
    world.look_again(&ann).await;
    assert!(world.user_link(&ann).await.is_some());
    assert_eq!(world.anypoint().mails.len(), 1);
}

#[tokio::test]
async fn an_incomplete_list_never_counts_as_complete() {
    let world = hurried(900).await;
    {
        let mut anypoint = world.anypoint();
        for n in 0..30 {
            let email = format!("x{n}@acme.example");
            anypoint
                .add_user(&format!("ann{n}"), "X", "Y", &email)
                .unwrap();
        }
        anypoint
            .add_user("ann", "Ann", "Other", "other@acme.example")
            .unwrap();
    }
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    world
        .anypoint
        .traffic()
        .inject(Fault::new("/users", FaultKind::ShortPage(0)).on(Method::GET));
    assert_eq!(world.deliver(&events).await, 503);
    assert_eq!(
        world.record(&events[0]).await.error_class,
        Some(Class::Retryable)
    );
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn a_failing_subject_does_not_stop_others_in_its_delivery() {
    let world = World::new().await;
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    world.anypoint().foreign_usernames.insert("ann".to_owned());
    let mut events = world.okta_does(|okta| okta.assign(APP, &ann));
    events.extend(world.okta_does(|okta| okta.assign(APP, &bob)));
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("bob"), "bob Example - enabled");
    // A retryable failure makes Okta send all events again. The good one is not applied twice.
    let eve = world.user("eve");
    let path = format!("/api/v1/users/{eve}");
    world
        .okta
        .traffic()
        .inject(Fault::new(&path, status(404, &[])).times(0));
    let id = world
        .okta
        .traffic()
        .inject(Fault::new(&path, FaultKind::WrongJson));
    let mut events = world.okta_does(|okta| okta.assign(APP, &eve));
    events.extend(world.okta_does(|okta| okta.suspend(&bob)));
    assert_eq!(world.deliver(&events).await, 503);
    assert_eq!(world.account("bob"), "bob Example - disabled");
    world.okta.traffic().remove_fault(id);
    world.forget_traffic();
    assert_eq!(world.deliver(&events).await, 204);
    assert!(
        world.calls().iter().all(|call| !call.contains(&bob)),
        "{:?}",
        world.calls()
    );
    assert_eq!(world.account("eve"), "eve Example - enabled");
}
