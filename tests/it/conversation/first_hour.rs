//! The first hour: a dry run, a pause, exclusions, and failures that settle themselves.

use std::sync::Arc;

use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::{
    Changes, ExcludedGroups, ExcludedUsers, Exclusions, Policy, dry_runs,
};

use super::audit::history;
use crate::world::{APP, World, look_at, look_at_group, worker};

#[tokio::test]
async fn a_dry_run_writes_at_neither_side_and_says_what_it_would_do() {
    let world = World::with(Policy {
        changes: Changes::Report,
        ..Policy::default()
    })
    .await;
    world.forget_traffic();
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 204);
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    let assigned = world.okta_does(|okta| okta.assign_group(APP, &devs));
    assert_eq!(world.deliver(&assigned).await, 204);

    assert_eq!(world.writes().len(), 0, "{:?}", world.calls());
    assert_eq!(world.account("ann"), "none");
    let record = world.record(&events[0]).await;
    assert_eq!((record.status, record.dry_run), (Status::Done, Some(true)));
    assert_eq!(record.applied, Some(Vec::new()));
    assert_eq!(
        record.planned.unwrap(),
        ["create_account", "mail_reset", "link"]
    );
    assert_eq!(
        world.record(&assigned[0]).await.planned.unwrap(),
        ["create_team"]
    );
    assert!(dry_runs(&*world.table.documents).await.unwrap().is_some());
    assert_eq!(history(&world, &format!("user#{ann}")).await, []);
}

#[tokio::test]
async fn a_pause_sends_all_changes_back_to_the_queue() {
    let world = World::new().await;
    let mut ports = world.ports.clone();
    ports.policy = Arc::new(Policy {
        changes: Changes::Pause,
        ..Policy::default()
    });
    let ann = world.user("ann");
    world.forget_traffic();
    let subject = Subject::User(OktaUserId::parse(&*ann).unwrap());
    let verdict = look_at(&worker(&ports), subject).await;
    assert!(verdict.is_retry());
    assert_eq!(world.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_later_look_in_sync_settles_older_failures_of_its_subject() {
    let world = World::new().await;
    let ann = world.user("ann");
    world.okta_does(|okta| okta.assign(APP, &ann));
    let bad = world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann@acme.example"));
    drop(bad);
    let failed = vec![world.hint(&ann)];
    assert_eq!(world.deliver(&failed).await, 204);
    assert_eq!(world.record(&failed[0]).await.status, Status::Failed);

    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann"));
    let mended = vec![world.hint(&ann)];
    assert_eq!(world.deliver(&mended).await, 204);
    let record = world.record(&failed[0]).await;
    assert_eq!(record.status, Status::Resolved);
    assert_eq!(record.resolved_by.as_deref(), Some(&*mended[0].uuid));
    assert_eq!(record.error_code.as_deref(), Some("username_invalid"));
}

#[tokio::test]
async fn excluded_users_and_groups_are_left_alone() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let devs = world.pushed_group("Devs").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    let mut ports = world.ports.clone();
    ports.policy = Arc::new(Policy {
        excluded: Exclusions {
            users: ExcludedUsers {
                ids: [OktaUserId::parse(&*ann).unwrap()].into(),
                logins: vec!["svc-*".to_owned()],
            },
            groups: ExcludedGroups {
                ids: Default::default(),
                names: vec!["Break*".to_owned()],
            },
        },
        ..Policy::default()
    });
    let careful = worker(&ports);
    let service = world.user("svc-deploy");
    let other = world.user("bob");
    let glass = world.okta.world().create_group("Break glass").unwrap().id;
    for user in [&service, &other] {
        world.okta_does(|okta| okta.assign(APP, user));
        world.okta_does(|okta| okta.add_member(&devs, user));
    }
    world.okta_does(|okta| okta.assign_group(APP, &glass));
    world.okta_does(|okta| okta.suspend(&ann));
    world.okta_does(|okta| okta.remove_member(&devs, &ann));

    world.forget_traffic();
    let user = |id: &str| Subject::User(OktaUserId::parse(id).unwrap());
    look_at(&careful, user(&ann)).await;
    assert_eq!(
        world.calls(),
        Vec::<String>::new(),
        "an id is skipped unread"
    );
    look_at(&careful, user(&service)).await;
    look_at_group(&careful, &glass).await;
    assert_eq!(world.writes().len(), 0, "{:?}", world.calls());
    look_at(&careful, user(&other)).await;
    look_at_group(&careful, &devs).await;

    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.account("svc-deploy"), "none");
    assert_eq!(world.team("Break glass"), "none");
    assert_eq!(world.team("Devs"), "ann bob");
}
