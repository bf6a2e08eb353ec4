//! The intent of a create or an enabling, and what later runs do with it.

use std::sync::Arc;

use http::Method;
use okta_anypoint::ledger::Conclusion;
use okta_anypoint::provision::Adopt;
use okta_anypoint::simulator::fault::{Absence, Fault, FaultKind};

use super::conflicts::refusal;
use super::meanwhile::{LONG, MAIL, USERS, account_by_hand, done, meanwhile, policy};
use crate::world::{APP, World, intend, intent, lease};

/// The wanted username is refused. The worker disables the account that a dead run was about to enable under an
/// earlier username. It does not disable the current account, whatever the intent says.
#[tokio::test]
async fn an_intent_disables_the_former_account_but_never_the_present_one() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world.rename(&ann, "ann_new").await;
    for (name, stays) in [("ann", "disabled"), ("ann_new", "enabled")] {
        let account = world.account_id(name);
        world.anypoint().enable(&account).unwrap();
        intend(&world.table, &ann, name, None).await;
        world.rename(&ann, "no spaces").await;
        assert_eq!(world.account(name), format!("ann Example - {stays}"));
        world.rename(&ann, "ann_new").await;
    }
}

/// A dead run was about to enable the former account. The next list of accounts lacks it once.
#[tokio::test]
async fn an_intent_outlives_a_list_without_its_account() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world.rename(&ann, "ann_new").await;
    let former = world.account_id("ann");
    world.anypoint().enable(&former).unwrap();
    intend(&world.table, &ann, "ann", Some(&former)).await;
    let lacks = Fault::lacking(USERS, &[&former]).on(Method::GET);
    let lacks = world.anypoint.traffic().inject(lacks);
    world.look_again(&ann).await;
    world.anypoint.traffic().remove_fault(lacks);
    world.look_again(&ann).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(intent(&world.table, &ann).await, None);

    // If neither shows it, the account is gone.
    world.anypoint().delete_user(&former).unwrap();
    intend(&world.table, &ann, "ann", Some(&former)).await;
    world.look_again(&ann).await;
    assert_eq!(intent(&world.table, &ann).await, None);
}

/// The creation got no answer, the lists do not show the account yet, and the user is unassigned.
#[tokio::test]
async fn an_intent_outlives_lists_that_are_late() {
    let world = World::new().await;
    let ann = world.user("ann");
    let late = Fault::new(USERS, FaultKind::Frozen).on(Method::GET);
    let late = world.anypoint.traffic().inject(late);
    let unsure = Fault::status(USERS, 503, "{}").on(Method::POST);
    let unsure = world.anypoint.traffic().inject(unsure.after_effect());
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&assigned).await, 503);
    world.anypoint.traffic().remove_fault(unsure);
    world.when(|okta| okta.unassign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    world.anypoint.traffic().remove_fault(late);
    world.look_again(&ann).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(intent(&world.table, &ann).await, None);
}

/// The same, and the user gets the former username back. The run that writes their link again, because of a mail that was
/// owed, leaves the intent as it is.
#[tokio::test]
async fn an_intent_outlives_a_link_to_another_account() {
    let world = World::new().await;
    let ann = world.user("ann");
    let no_mail = Fault::status("/recover/password", 503, "{}");
    let no_mail = world.anypoint.traffic().inject(no_mail);
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&assigned).await, 503);
    assert!(world.user_link(&ann).await.is_some());
    let late = Fault::new(USERS, FaultKind::Frozen).on(Method::GET);
    let late = world.anypoint.traffic().inject(late);
    let unsure = Fault::status(USERS, 503, "{}").on(Method::POST);
    let unsure = world.anypoint.traffic().inject(unsure.after_effect());
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    assert_eq!(world.deliver(&[world.hint(&ann)]).await, 503);
    world.anypoint.traffic().remove_fault(unsure);
    world.anypoint.traffic().remove_fault(no_mail);
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann"));
    world.look_again(&ann).await;
    assert_eq!(world.account("ann_new"), "ann Example - enabled");
    world.anypoint.traffic().remove_fault(late);
    world.look_again(&ann).await;
    assert_eq!(world.account("ann_new"), "ann Example - disabled");
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

/// The run writes an intent before it enables a former account. If the run is killed, the next one finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_is_written_before_a_former_account_is_enabled() {
    let world = Arc::new(World::new().await);
    let ann = world.assigned_user("ann").await;
    world.rename(&ann, "ann_new").await;
    let opened = meanwhile(&world, Method::PUT, &world.account_id("ann"), {
        let ann = ann.clone();
        async move |world: Arc<World>| intent(&world.table, &ann).await
    });
    world.rename(&ann, "ann").await;
    assert_eq!(opened.try_recv(), Ok(Some("ann".to_owned())));
    assert_eq!(intent(&world.table, &ann).await, None);
    assert_eq!(world.account("ann"), "ann Example - enabled");
    done(world);
}

/// Another run works on the user.
#[tokio::test]
async fn a_run_does_nothing_while_another_run_has_the_lease() {
    let world = World::new().await;
    let (ann, account) = (world.user("ann"), account_by_hand(&world, "ann"));
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let held = lease(&*world.table.ledger, &ann, LONG).await;
    world.forget_traffic();
    assert_eq!(world.deliver(&assigned).await, 503);
    assert_eq!(world.calls(), Vec::<String>::new());
    assert_eq!(world.user_link(&ann).await, None);
    let given_back = world.table.ledger.conclude(held, Conclusion::default());
    given_back.await.unwrap();
    assert_eq!(world.deliver(&assigned).await, 204);
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), account);
}

/// An intent for one name does not cover an account with another name.
#[tokio::test]
async fn an_intent_for_another_name_claims_no_account() {
    let world = World::with(policy(Adopt::Never)).await;
    let ann = world.user("ann");
    account_by_hand(&world, "ann");
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    intend(&world.table, &ann, "ann_new", None).await;
    assert_eq!(world.deliver(&assigned).await, 204);
    let text = refusal(&world, &assigned[0]).await;
    assert!(text.contains("ADOPT=never"), "{text}");
    assert_eq!(world.user_link(&ann).await, None);
}

/// The create fails, and then an account of somebody else has the username.
#[tokio::test]
async fn an_account_of_somebody_else_is_not_taken_for_the_intended_one() {
    for is_assigned in [true, false] {
        let world = World::with(policy(Adopt::Never)).await;
        let ann = world.user("ann");
        let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
        let down = Fault::status(USERS, 503, "{}").on(Method::POST);
        let down = world.anypoint.traffic().inject(down);
        assert_eq!(world.deliver(&assigned).await, 503);
        world.anypoint.traffic().remove_fault(down);
        let made = world
            .anypoint()
            .add_user("ann", "An", "Other", "other@acme.example");
        made.unwrap();
        if is_assigned {
            world.look_again(&ann).await;
        } else {
            world.when(|okta| okta.unassign(APP, &ann)).await;
        }
        assert_eq!(world.account("ann"), "An Other - enabled");
        assert_eq!(world.user_link(&ann).await, None);
        assert_eq!(world.anypoint().mails.len(), 0);
        assert_eq!(intent(&world.table, &ann).await, None);
    }
}

/// The account works without the mail.
#[tokio::test]
async fn a_failed_mail_delays_neither_the_link_nor_the_teams() {
    for status in [404, 500, 503] {
        let world = World::new().await;
        let devs = world.pushed_group("Devs").await;
        let ann = world.user("ann");
        let assigned = world.okta_does(|okta| okta.add_member(&devs, &ann));
        let fails = Fault::status(MAIL, status, "{}").on(Method::POST);
        let fails = world.anypoint.traffic().inject(fails);
        world.deliver(&assigned).await;
        assert!(world.user_link(&ann).await.is_some(), "{status}");
        assert_eq!(world.team("Devs"), "ann");
        world.anypoint.traffic().remove_fault(fails);
        world.forget_traffic();
        world.look_again(&ann).await;
        assert_eq!(world.anypoint().mails.len(), 1);
        assert_eq!(world.writes().len(), 1, "{:?}", world.writes());
    }
}

/// Anypoint does not let the old account be disabled, so the new one cannot be linked yet.
#[tokio::test]
async fn an_old_account_that_stays_leaves_the_new_one_alone() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let old = world.account_id("ann");
    let stuck = Fault::status(&format!("/users/{old}"), 500, "{}").on(Method::PUT);
    let stuck = world.anypoint.traffic().inject(stuck);
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    for _ in 0..3 {
        assert_eq!(world.deliver(&[world.hint(&ann)]).await, 503);
    }
    let new = world.account_id("ann_new");
    let writes = world.writes();
    assert!(!writes.iter().any(|call| call.contains(&new)), "{writes:?}");
    assert_eq!(world.anypoint().mails.len(), 1);
    world.anypoint.traffic().remove_fault(stuck);
    world.look_again(&ann).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("ann_new"), "ann Example - enabled");
    assert_eq!(world.anypoint().mails.len(), 2);
}

/// Once neither the account nor the list shows the linked account. It is there again for the second read.
#[tokio::test]
async fn a_linked_account_that_is_missing_once_is_neither_replaced_nor_forgotten() {
    for is_renamed in [true, false] {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let old = world.account_id("ann");
        let hidden = [
            Fault::not_found(&format!("/users/{old}"), Absence::Service).once(),
            Fault::not_found(&format!("/users/{old}/teams"), Absence::Service).once(),
            Fault::new(USERS, FaultKind::Lacks(vec![old.clone()])).once(),
        ];
        for fault in hidden {
            world.anypoint.traffic().inject(fault);
        }
        if is_renamed {
            world.rename(&ann, "ann_new").await;
            assert_eq!(world.account("ann_new"), "ann Example - enabled");
        } else {
            world.when(|okta| okta.unassign(APP, &ann)).await;
        }
        assert_eq!(world.account("ann"), "ann Example - disabled");
    }
}

/// The team is deleted, and deleted again as soon as the worker creates it.
#[tokio::test]
async fn a_team_that_disappears_twice_is_looked_up_again() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    let joined = world.okta_does(|okta| okta.add_member(&devs, &ann));
    let gone = Fault::status("/members", 404, "{}").on(Method::PATCH);
    let gone = world.anypoint.traffic().inject(gone.times(2));
    assert_eq!(world.deliver(&joined).await, 503);
    assert_eq!(world.anypoint.traffic().fired(gone), 2);
    assert_eq!(world.deliver(&joined).await, 204);
    assert_eq!(world.team("Devs"), "ann");
}
