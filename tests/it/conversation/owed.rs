//! What a run without a queue owes: the subjects that the next run would not find again.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::ledger::{Conclusion, Leased, Ledger};
use okta_anypoint::simulator::traffic::Fault;
use okta_anypoint::store::Memory;

use super::meanwhile::{LONG, done, meanwhile_at_okta};
use crate::world::{APP, World, lease, look_at_group, worker};

/// Ann and Ben are in the group "Devs", whose events were lost. Returns Ann and the group.
async fn without_a_team(world: &World) -> (String, String) {
    let ann = world.assigned_user("ann").await;
    let ben = world.assigned_user("ben").await;
    let group = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &group));
    for user in [&ann, &ben] {
        world.okta_does(|okta| okta.add_member(&group, user));
    }
    (ann, group)
}

fn group_of(id: &str) -> Subject {
    Subject::Group(OktaGroupId::parse(id).unwrap())
}

async fn memory(world: &World, subject: &str) -> Memory {
    let memo = world.table.ledger.memo(subject).await.unwrap();
    Memory::from_text(memo.as_deref(), 0)
}

/// What a user owes.
async fn owed(world: &World, user: &str) -> Vec<Subject> {
    memory(world, &format!("user#{user}")).await.owed
}

/// Another run leaves this as owed.
async fn owes(world: &World, subject: &str, owed: Subject) {
    let ledger: &dyn Ledger = &*world.table.ledger;
    let time = Duration::from_secs(60);
    let Leased::Ours(lease) = ledger.lease(subject, time).await.unwrap() else {
        panic!("{subject} is leased");
    };
    let mut memory = memory(world, subject).await;
    memory.owed.push(owed);
    let conclusion = Conclusion {
        memo: memory.to_memo(),
        ..Conclusion::default()
    };
    ledger.conclude(lease, conclusion).await.unwrap();
}

/// The group's look fails, and another run takes Ann meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_follow_up_stays_owed_while_another_run_has_the_user() {
    let world = Arc::new(World::new().await);
    let (ann, group) = without_a_team(&world).await;
    // Only the group's own look lists its members.
    let members = format!("/groups/{group}/users");
    let down = Fault::status(&members, 500, "{}");
    let down = world.okta.traffic().inject(down);
    let user = ann.clone();
    let taken = meanwhile_at_okta(&world, Method::GET, &members, async move |world| {
        lease(&*world.table.ledger, &user, LONG).await
    });
    let hint = world.hint(&ann);
    assert_eq!(world.deliver(std::slice::from_ref(&hint)).await, 503);
    assert_eq!(world.team("Devs"), "ann");
    assert_eq!(owed(&world, &ann).await, [group_of(&group)]);

    let theirs = taken.try_recv().unwrap();
    let ended = world.table.ledger.conclude(theirs, Conclusion::default());
    ended.await.unwrap();
    world.okta.traffic().remove_fault(down);
    assert_eq!(world.deliver(&[hint]).await, 204);
    assert_eq!(world.team("Devs"), "ann ben");
    assert_eq!(owed(&world, &ann).await, []);
    done(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_run_owes_meanwhile_stays_owed() {
    let world = Arc::new(World::new().await);
    let (ann, group) = without_a_team(&world).await;
    let members = format!("/groups/{group}/users");
    let subject = format!("user#{ann}");
    let other = group_of("00gOTHER");
    let owing = other.clone();
    let told = meanwhile_at_okta(&world, Method::GET, &members, async move |world| {
        owes(&world, &subject, owing).await;
    });
    assert_eq!(world.deliver(&[world.hint(&ann)]).await, 204);
    assert_eq!(told.try_recv(), Ok(()));
    assert_eq!(world.team("Devs"), "ann ben");
    assert_eq!(owed(&world, &ann).await, [other]);
    done(world);
}

#[tokio::test]
async fn what_a_follow_up_owes_in_turn_is_done_too() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let (devs, ops) = (
        world.pushed_group("Devs").await,
        world.pushed_group("Ops").await,
    );
    let user = Subject::User(OktaUserId::parse(&ann).unwrap());
    owes(&world, &user.to_string(), group_of(&devs)).await;
    owes(&world, &group_of(&devs).to_string(), group_of(&ops)).await;
    world.forget_traffic();
    assert_eq!(world.deliver(&[world.hint(&ann)]).await, 204);
    let members = format!("/groups/{ops}/users");
    assert!(world.calls().iter().any(|call| call.contains(&members)));
    assert_eq!(memory(&world, &group_of(&devs).to_string()).await.owed, []);
    assert_eq!(owed(&world, &ann).await, []);
}

/// A subject that serves follow-ups is not served again for what is owed. That is left to its own next run.
#[tokio::test]
async fn two_subjects_that_owe_each_other_are_looked_at_once() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let devs = world.pushed_group("Devs").await;
    let user = Subject::User(OktaUserId::parse(&ann).unwrap());
    let group = group_of(&devs);
    owes(&world, &user.to_string(), group.clone()).await;
    owes(&world, &group.to_string(), user.clone()).await;
    assert_eq!(world.deliver(&[world.hint(&ann)]).await, 204);
    assert_eq!(owed(&world, &ann).await, []);
    assert_eq!(memory(&world, &group.to_string()).await.owed, [user]);
    look_at_group(&worker(&world.ports), &devs).await;
    assert_eq!(memory(&world, &group.to_string()).await.owed, []);
}
