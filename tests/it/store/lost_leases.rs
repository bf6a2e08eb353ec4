//! A run that lost its lease writes nothing, and learns why.

use okta_anypoint::failure::{Cause, Failure};
use okta_anypoint::ledger::{Lease, Memo};
use okta_anypoint::store::{Store, TeamLink, Tenure};

use super::{LEASE, World, account, group, link_to, subject, team_link, user};

on_every!(
    store [dynamodb, sqlite]
    a_lost_lease_changes_nothing,
    a_returned_lease_changes_nothing,
    an_expired_lease_writes_until_another_takes_it,
    the_lease_of_another_subject_does_not_allow_a_write,
);

#[track_caller]
fn lost<T>(written: Result<T, Failure>) {
    let Err(failure) = written else {
        panic!("written")
    };
    assert_eq!(failure.cause, Cause::LostLease, "{failure}");
    assert!(failure.is_retryable(), "{failure}");
}

/// Every call that needs a lease, on user 1 and group 1, with that lease.
async fn write_all(world: &World, lease: &Lease) {
    let memo = || Memo::Write(Some("late".to_owned()));
    let store: &dyn Store = &*world.other;
    let there = link_to(1);
    for (link, before) in [(link_to(3), Some(&there)), (link_to(1), Some(&there))] {
        lost(
            store
                .link_user(lease, &user(1), &link, before, memo())
                .await,
        );
    }
    lost(
        store
            .link_user(lease, &user(2), &link_to(4), None, memo())
            .await,
    );
    lost(store.unlink_user(lease, &user(1)).await);
    lost(
        store
            .record_orphan(lease, &user(1), &account(9), memo())
            .await,
    );
    let renamed = TeamLink {
        team_name: "New".to_owned(),
        ..team_link(1)
    };
    for link in [team_link(2), renamed] {
        let before = team_link(1);
        lost(
            store
                .link_team(lease, &group(1), &link, Some(&before))
                .await,
        );
    }
    lost(store.unlink_team(lease, &group(1)).await);
}

async fn begin(world: &World) {
    world.link(1, 1).await;
    world.link_team(1, &team_link(1)).await;
}

async fn all_is_as_it_was(world: &World, memo: Option<&str>) {
    assert_eq!(world.store.all_user_links().await.unwrap().len(), 1);
    assert_eq!(
        world.store.user_link(&user(1)).await.unwrap(),
        Some(link_to(1))
    );
    assert_eq!(world.owner(1).await, Some((user(1), Tenure::Current)));
    for other in [3, 4, 9] {
        assert_eq!(world.owner(other).await, None);
    }
    assert_eq!(
        world.store.team_link(&group(1)).await.unwrap(),
        Some(team_link(1))
    );
    assert_eq!(world.team_owner(1).await, Some(group(1)));
    assert_eq!(world.team_owner(2).await, None);
    let there = world.ledger.memo(&subject(1)).await.unwrap();
    assert_eq!(there.as_deref(), memo);
}

async fn a_lost_lease_changes_nothing(world: World) {
    begin(&world).await;
    let slow = world.lease(&subject(1)).await;
    world.clock.advance(10_000);
    let next = world.lease(&subject(1)).await;
    let noted = world
        .ledger
        .write_memo(&next, Some("the next one's".to_owned()));
    noted.await.unwrap();
    write_all(&world, &slow).await;
    all_is_as_it_was(&world, Some("the next one's")).await;
    // The owner is unaffected.
    let removed = world.store.unlink_user(&next, &user(1)).await;
    removed.unwrap();
    assert_eq!(world.account_of(1).await, None);
}

async fn a_returned_lease_changes_nothing(world: World) {
    begin(&world).await;
    let slow = world.lease(&subject(1)).await;
    world.clock.advance(10_000);
    let next = world.lease(&subject(1)).await;
    world.give_back(next).await;
    write_all(&world, &slow).await;
    all_is_as_it_was(&world, None).await;
}

/// No other run looked meanwhile, so the write does no harm. The run itself decides whether it still has time.
async fn an_expired_lease_writes_until_another_takes_it(world: World) {
    let slow = world.lease(&subject(1)).await;
    world.clock.advance(60_000);
    assert!(slow.check().is_err());
    let memo = Memo::Write(Some("linked".to_owned()));
    let linked = world
        .store
        .link_user(&slow, &user(1), &link_to(1), None, memo)
        .await;
    linked.unwrap();
    assert_eq!(world.account_of(1).await, Some(account(1)));
    let renewed = world.ledger.renew(&slow, &[], LEASE).await;
    renewed.unwrap();
    slow.check().unwrap();
}

/// A write depends on its own lease, whatever the write is about.
async fn the_lease_of_another_subject_does_not_allow_a_write(world: World) {
    let slow = world.lease(&subject(7)).await;
    begin(&world).await;
    world.clock.advance(10_000);
    let _next = world.lease(&subject(7)).await;
    let _mine = world.lease(&subject(1)).await;
    write_all(&world, &slow).await;
    all_is_as_it_was(&world, None).await;
}
