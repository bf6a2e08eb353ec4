//! One team of a user cannot be left or joined: what follows anyway, and what the record says.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Method;
use okta_anypoint::failure::{Cause, Class};
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::provision::{Announced, Provisioner};
use okta_anypoint::simulator::fault::{Fault, FaultKind};
use okta_anypoint::store::Memory;
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::worker::{Pace, Worker};
use rstest::rstest;
use serde_json::json;

use super::meanwhile::{done, meanwhile};
use crate::schedule::Recorder;
use crate::world::{APP, World, look_at, soon};

/// Ann is in the teams A and B, and not in C.
async fn ann_in_two_teams(world: &World) -> (String, [String; 3]) {
    let ann = world.assigned_user("ann").await;
    let mut groups = Vec::new();
    for name in ["A", "B", "C"] {
        groups.push(world.pushed_group(name).await);
    }
    for group in &groups[..2] {
        world.when(|okta| okta.add_member(group, &ann)).await;
    }
    (ann, groups.try_into().unwrap())
}

async fn members_of(world: &World, group: &str) -> String {
    let link = world.team_link(group).await.unwrap();
    format!("/teams/{}/members", link.team_id)
}

/// Whichever team it is, and whether a retry may help or not.
#[rstest]
#[tokio::test]
async fn a_team_that_cannot_be_left_keeps_the_user_neither_in_nor_out_of_others(
    #[values(0, 1)] stuck: usize,
    #[values(400, 403, 500)] status: u16,
) {
    let world = World::new().await;
    let (ann, groups) = ann_in_two_teams(&world).await;
    let body = r#"{"status": 400, "message": "no"}"#;
    let refused = Fault::status(&members_of(&world, &groups[stuck]).await, status, body);
    let fault = world.anypoint.traffic().inject(refused.on(Method::DELETE));
    let mut events = world.okta_does(|okta| okta.remove_member(&groups[0], &ann));
    events.extend(world.okta_does(|okta| okta.remove_member(&groups[1], &ann)));
    events.extend(world.okta_does(|okta| okta.add_member(&groups[2], &ann)));
    let is_final = status == 400;
    assert_eq!(
        world.deliver(&events).await,
        if is_final { 204 } else { 503 }
    );
    assert_eq!(world.team(["A", "B"][stuck]), "ann");
    assert_eq!(world.team(["B", "A"][stuck]), "");
    assert_eq!(world.team("C"), "ann");
    let class = world.record(&events[0]).await.error_class.unwrap();
    assert_eq!(class == Class::Permanent, is_final);
    world.anypoint.traffic().remove_fault(fault);
    if !is_final {
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.team(["A", "B"][stuck]), "");
    }
}

/// The new account is there, and the old one is disabled: the user needs the link and the teams.
#[rstest]
#[tokio::test]
async fn an_old_account_that_stays_in_a_team_does_not_cost_the_new_one(
    #[values(400, 403)] status: u16,
) {
    let world = World::new().await;
    let (ann, groups) = ann_in_two_teams(&world).await;
    let old = world.account_id("ann");
    let body = r#"{"status": 400, "message": "no"}"#;
    let refused = Fault::status(&members_of(&world, &groups[0]).await, status, body);
    world.anypoint.traffic().inject(refused.on(Method::DELETE));
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    for _ in 0..3 {
        world.deliver(&[world.hint(&ann)]).await;
        assert_eq!(world.account("ann"), "ann Example - disabled");
        assert_eq!(world.account("ann_new"), "ann Example - enabled");
        let link = world.user_link(&ann).await.unwrap();
        assert_ne!(link.anypoint_id.as_str(), old);
        assert_eq!(world.team("B"), "ann_new");
    }
}

/// The team's new name is taken for good. The group's members still become follow-ups.
#[tokio::test]
async fn a_group_that_fails_for_good_still_looks_at_its_members() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    world.anypoint().add_team("Ops", None).unwrap();
    let ann = world.user("ann");
    // Okta delivers neither.
    world.okta_does(|okta| okta.assign(APP, &ann));
    world.okta_does(|okta| okta.add_member(&devs, &ann));
    let renamed = world.okta_does(|okta| okta.rename_group(&devs, "Ops"));
    assert_eq!(world.deliver(&renamed).await, 204);
    let record = world.record(&renamed[0]).await;
    assert_eq!(record.error_class, Some(Class::Permanent), "{record:?}");
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.team("Devs"), "ann");
}

/// The queue once does not take the group as a follow-up of the user whose run made its team.
#[tokio::test]
async fn a_follow_up_that_the_queue_refused_is_sent_by_the_next_run() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &devs));
    world.okta_does(|okta| okta.add_member(&devs, &ann));
    let queue = Arc::new(Recorder::default());
    let metrics = Arc::new(Metrics::new("test"));
    let worker = Worker::new(
        world.ports.clone(),
        Some(queue.clone()),
        metrics,
        Pace::BY_HAND,
    );
    let user = Subject::User(OktaUserId::parse(&ann).unwrap());
    queue.refuses.store(true, Ordering::SeqCst);
    assert!(look_at(&worker, user.clone()).await.is_retry());
    assert_eq!(world.team("Devs"), "ann");
    queue.refuses.store(false, Ordering::SeqCst);
    assert!(!look_at(&worker, user.clone()).await.is_retry());
    let group = Subject::Group(OktaGroupId::parse(&devs).unwrap());
    assert_eq!(queue.subjects(), [group.to_string()]);
    // It is owed once.
    assert!(!look_at(&worker, user).await.is_retry());
    assert_eq!(queue.subjects(), [""; 0]);
}

/// The new app username is taken for good, and a team cannot be left now. The retry leaves it.
#[tokio::test]
async fn a_failure_for_good_does_not_hide_what_a_retry_may_heal() {
    let world = World::new().await;
    let (ann, groups) = ann_in_two_teams(&world).await;
    world.assigned_user("bob").await;
    world.rename(&ann, "bob").await;
    let paths = [
        members_of(&world, &groups[0]).await,
        members_of(&world, &groups[1]).await,
    ];
    let down = Fault::status(&paths[0], 403, "{}").on(Method::DELETE);
    let body = r#"{"status": 400, "message": "no"}"#;
    let refused = Fault::status(&paths[1], 400, body).on(Method::DELETE);
    world.anypoint.traffic().inject(refused);
    let down = world.anypoint.traffic().inject(down);
    let mut events = world.okta_does(|okta| okta.remove_member(&groups[1], &ann));
    events.extend(world.okta_does(|okta| okta.remove_member(&groups[0], &ann)));
    assert_eq!(world.deliver(&events).await, 503);
    let class = world.record(&events[0]).await.error_class;
    assert_eq!(class, Some(Class::Retryable));
    world.anypoint.traffic().remove_fault(down);
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.team("A"), "");
    let record = world.record(&events[0]).await;
    assert_eq!(record.error_class, Some(Class::Permanent), "{record:?}");
}

/// The retry knows the new account only. The group's own look takes the old one out.
#[tokio::test]
async fn an_old_account_leaves_its_team_when_it_can() {
    let world = World::new().await;
    let (ann, groups) = ann_in_two_teams(&world).await;
    let path = members_of(&world, &groups[0]).await;
    let down = Fault::status(&path, 403, "{}").on(Method::DELETE);
    let down = world.anypoint.traffic().inject(down);
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    let hint = world.hint(&ann);
    assert_eq!(world.deliver(std::slice::from_ref(&hint)).await, 503);
    assert_eq!(world.team("A"), "ann ann_new");
    world.anypoint.traffic().remove_fault(down);
    assert_eq!(world.deliver(&[hint]).await, 204);
    assert_eq!(world.team("A"), "ann_new");
}

/// The new account joins no team for good, and its reset mail fails for now. The retry asks for the mail.
#[tokio::test]
async fn a_team_that_refuses_the_account_does_not_cost_the_reset_mail() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.user("ann");
    let body = r#"{"status": 400, "message": "no"}"#;
    let no_team = Fault::status(&members_of(&world, &devs).await, 400, body).on(Method::PATCH);
    world.anypoint.traffic().inject(no_team);
    let no_mail = Fault::status("/recover/password", 503, "{}").on(Method::POST);
    let no_mail = world.anypoint.traffic().inject(no_mail);
    let assigned = world.okta_does(|okta| okta.add_member(&devs, &ann));
    assert_eq!(world.deliver(&assigned).await, 503);
    let class = world.record(&assigned[0]).await.error_class;
    assert_eq!(class, Some(Class::Retryable));
    world.anypoint.traffic().remove_fault(no_mail);
    assert_eq!(world.deliver(&assigned).await, 204);
    assert_eq!(world.anypoint().mails.len(), 1);
    let record = world.record(&assigned[0]).await;
    assert_eq!(record.error_class, Some(Class::Permanent), "{record:?}");
}

/// The team's new name is taken for good, and the kind of a membership that has to end cannot be read.
#[tokio::test]
async fn a_preview_shows_the_failure_that_the_run_ends_with() {
    let world = World::new().await;
    let (ann, groups) = ann_in_two_teams(&world).await;
    world.anypoint().add_team("Ops", None).unwrap();
    world.okta_does(|okta| okta.rename_group(&groups[0], "Ops"));
    world.okta_does(|okta| okta.remove_member(&groups[0], &ann));
    let path = members_of(&world, &groups[0]).await;
    let unread = Fault::changed(&path, None, "/membership_type", json!(7)).on(Method::GET);
    world.anypoint.traffic().inject(unread);
    let provisioner = Provisioner::new(world.ports.clone());
    let group = OktaGroupId::parse(&groups[0]).unwrap();
    let preview = provisioner.preview_group(&group, Announced::everything(), soon());
    let failure = preview.await.unwrap().forecast.failure.unwrap();
    assert_eq!(failure.class, Class::Retryable, "{failure}");
    assert_eq!(failure.cause, Cause::Unreadable);
}

/// No call to Anypoint would end otherwise, so the other teams wait for the retry.
#[tokio::test]
async fn a_lost_connection_ends_the_run() {
    let world = World::new().await;
    let (ann, groups) = ann_in_two_teams(&world).await;
    let mut events = world.okta_does(|okta| okta.remove_member(&groups[0], &ann));
    events.extend(world.okta_does(|okta| okta.remove_member(&groups[1], &ann)));
    let lost = Fault::new("/teams/", FaultKind::DropConnection).on(Method::DELETE);
    let lost = world.anypoint.traffic().inject(lost);
    world.forget_traffic();
    assert_eq!(world.deliver(&events).await, 503);
    let mut asked = HashSet::new();
    for call in world.anypoint.traffic().log() {
        if call.method == Method::DELETE {
            asked.insert(call.path);
        }
    }
    assert_eq!(asked.len(), 1, "{asked:?}");
    let record = world.record(&events[0]).await;
    assert_eq!(record.error_code.as_deref(), Some("unreachable"));
    world.anypoint.traffic().remove_fault(lost);
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(
        (world.team("A"), world.team("B")),
        (String::new(), String::new())
    );
}

/// A run that dies after it linked the new account leaves in the table which group's team the old one is in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_of_a_new_account_remembers_the_team_that_the_old_one_could_not_leave() {
    let world = Arc::new(World::new().await);
    let (ann, groups) = ann_in_two_teams(&world).await;
    let path = members_of(&world, &groups[0]).await;
    let down = Fault::status(&path, 403, "{}").on(Method::DELETE);
    world.anypoint.traffic().inject(down);
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    let owed = async |world: Arc<World>, ann: String| {
        let memo = world
            .table
            .ledger
            .memo(&format!("user#{ann}"))
            .await
            .unwrap();
        Memory::from_text(memo.as_deref(), 0).owed
    };
    let joins = members_of(&world, &groups[1]).await;
    let linked = meanwhile(&world, Method::PATCH, &joins, {
        let ann = ann.clone();
        async move |world: Arc<World>| {
            assert!(world.user_link(&ann).await.unwrap().username == "ann_new");
            owed(world, ann).await
        }
    });
    assert_eq!(world.deliver(&[world.hint(&ann)]).await, 503);
    let group = Subject::Group(OktaGroupId::parse(&groups[0]).unwrap());
    assert_eq!(linked.try_recv().unwrap(), [group]);
    done(world);
}
