//! What one run leaves for the next: a write and its memo are stored together.

use okta_anypoint::clock::Clock as _;
use okta_anypoint::ledger::{Conclusion, Lease, Memo};
use okta_anypoint::store::{
    AccountOwner, FreshWrite, Intent, LastWrite, Linked, Memory, Origin, Recalled, Tenure,
};

use super::{World, account, link_to, subject, team, user};
use crate::ledger::{DAY_MS, START_MS};

on_every!(
    store [dynamodb, sqlite]
    a_link_removes_the_intent,
    the_next_owner_finds_the_intent,
    an_intent_expires,
    a_lease_without_a_memo_expires_after_a_week,
    fresh_memberships_are_remembered_for_a_minute,
    a_memo_belongs_to_its_subject_alone,
    an_orphan_is_on_record_until_it_is_linked,
    an_orphan_record_takes_no_linked_account,
    an_unreadable_memo_counts_as_empty,
    recall_user_returns_the_link_without_an_old_intent,
);

fn intending(username: &str) -> Memory {
    Memory {
        intent: Some(Intent {
            username: username.to_owned(),
            account: None,
            new: None,
        }),
        ..Memory::default()
    }
}

async fn memory(world: &World, u: usize) -> Memory {
    let memo = world.ledger.memo(&subject(u)).await.unwrap();
    Memory::from_text(memo.as_deref(), world.clock.now_ms())
}

async fn leave(world: &World, u: usize, memory: &Memory) {
    let lease = world.lease(&subject(u)).await;
    give_back(world, lease, memory.to_memo()).await;
}

async fn give_back(world: &World, lease: Lease, memo: Memo) {
    let conclusion = Conclusion {
        memo,
        ..Conclusion::default()
    };
    world.ledger.conclude(lease, conclusion).await.unwrap();
}

async fn a_link_removes_the_intent(world: World) {
    let lease = world.lease(&subject(1)).await;
    assert_eq!(Memory::of(&lease, START_MS), Memory::default());
    let written = world.ledger.write_memo(&lease, intending("ann").to_text());
    written.await.unwrap();
    assert_eq!(memory(&world, 1).await, intending("ann"));
    let memo = Memory::default().to_memo();
    let linked = world
        .store
        .link_user(&lease, &user(1), &link_to(1), None, memo)
        .await;
    assert_eq!(linked.unwrap(), Linked::Written);
    assert_eq!(memory(&world, 1).await, Memory::default());
}

/// The run died between creating the account and linking it.
async fn the_next_owner_finds_the_intent(world: World) {
    let dead = world.lease(&subject(1)).await;
    let written = world.ledger.write_memo(&dead, intending("ann").to_text());
    written.await.unwrap();
    world.clock.advance(10_000);
    let next = world.lease(&subject(1)).await;
    assert!(next.took_over());
    assert_eq!(Memory::of(&next, world.clock.now_ms()), intending("ann"));
}

async fn an_intent_expires(world: World) {
    leave(&world, 1, &intending("ann")).await;
    world.clock.advance(3_650 * DAY_MS - 1_000);
    assert_eq!(memory(&world, 1).await, intending("ann"));
    world.clock.advance(1_000);
    assert_eq!(memory(&world, 1).await, Memory::default());
    let lease = world.lease(&subject(1)).await;
    assert_eq!(lease.memo(), None);
}

/// However the lease is given back. A memo keeps it, whichever write left that.
async fn a_lease_without_a_memo_expires_after_a_week(world: World) {
    let days = async |u: usize| {
        let expires_at = world.lease_expires_at(&subject(u)).await;
        (expires_at - world.clock.now_ms() / 1000) / 86_400
    };
    let memo = || intending("ann").to_memo();
    for (u, how, expected) in [
        (1, Memo::Keep, 7),
        (2, Memo::Write(None), 7),
        (3, memo(), 3_650),
    ] {
        let lease = world.lease(&subject(u)).await;
        assert_eq!(days(u).await, 3_650, "a run may die");
        give_back(&world, lease, how).await;
        assert_eq!(days(u).await, expected, "{u}");
    }
    for (how, expected) in [(Memo::Keep, 3_650), (Memo::Write(None), 7), (Memo::Keep, 7)] {
        let lease = world.lease(&subject(3)).await;
        give_back(&world, lease, how).await;
        assert_eq!(days(3).await, expected);
    }
    // Written under the lease.
    let lease = world.lease(&subject(4)).await;
    let written = world.ledger.write_memo(&lease, intending("ann").to_text());
    written.await.unwrap();
    give_back(&world, lease, Memo::Keep).await;
    assert_eq!(days(4).await, 3_650);
    let lease = world.lease(&subject(5)).await;
    let (owner, orphan) = (user(5), account(5));
    let noted = world.store.record_orphan(&lease, &owner, &orphan, memo());
    noted.await.unwrap();
    give_back(&world, lease, Memo::Keep).await;
    assert_eq!(days(5).await, 3_650);
}

async fn fresh_memberships_are_remembered_for_a_minute(world: World) {
    let last_write = |seen: &Memory, n| seen.fresh_teams.get(&team(n)).map(|fresh| fresh.written);
    let mut left = Memory::default();
    left.note_membership(team(1), LastWrite::Joined, START_MS);
    left.note_membership(team(2), LastWrite::Joined, START_MS);
    left.note_membership(team(2), LastWrite::Left, START_MS + 10);
    leave(&world, 1, &left).await;
    let fresh = |written, until_ms| FreshWrite { written, until_ms };
    let seen = memory(&world, 1).await;
    assert_eq!(
        seen.fresh_teams.into_iter().collect::<Vec<_>>(),
        [
            (team(1), fresh(LastWrite::Joined, START_MS + 60_000)),
            (team(2), fresh(LastWrite::Left, START_MS + 60_010)),
        ]
    );
    world.clock.advance(59_999);
    let seen = memory(&world, 1).await;
    assert_eq!(last_write(&seen, 1), Some(LastWrite::Joined));
    assert_eq!(last_write(&seen, 2), Some(LastWrite::Left));
    assert_eq!(last_write(&seen, 3), None);
    world.clock.advance(1);
    let seen = memory(&world, 1).await;
    assert_eq!(last_write(&seen, 1), None);
    assert_eq!(last_write(&seen, 2), Some(LastWrite::Left));
    world.clock.advance(10);
    let seen = memory(&world, 1).await;
    assert_eq!((seen.to_text(), seen), (None, Memory::default()));
}

async fn a_memo_belongs_to_its_subject_alone(world: World) {
    for n in 1..=2 {
        leave(&world, n, &intending(&format!("name{n}"))).await;
    }
    assert_eq!(memory(&world, 1).await, intending("name1"));
    assert_eq!(memory(&world, 2).await, intending("name2"));
    assert_eq!(memory(&world, 3).await, Memory::default());
}

async fn an_orphan_is_on_record_until_it_is_linked(world: World) {
    leave(&world, 1, &intending("ann")).await;
    let lease = world.lease(&subject(1)).await;
    let owner = async || {
        let owners = world.store.account_owners(&[account(1)]).await.unwrap();
        owners.into_values().next()
    };
    for _ in 0..2 {
        let memo = Memory::default().to_memo();
        let noted = world
            .store
            .record_orphan(&lease, &user(1), &account(1), memo)
            .await;
        noted.unwrap();
        let orphan = AccountOwner {
            okta_user: user(1),
            tenure: Tenure::Former,
            origin: Some(Origin::Created),
        };
        assert_eq!(owner().await, Some(orphan));
        assert_eq!(memory(&world, 1).await, Memory::default());
    }
    assert_eq!(world.account_of(1).await, None);
    world.give_back(lease).await;
    assert_eq!(world.link(1, 1).await, Linked::Written);
    let linked = AccountOwner {
        okta_user: user(1),
        tenure: Tenure::Current,
        origin: None,
    };
    assert_eq!(owner().await, Some(linked));
}

async fn an_orphan_record_takes_no_linked_account(world: World) {
    world.link(2, 1).await;
    let lease = world.lease(&subject(1)).await;
    let memo = intending("later").to_memo();
    let noted = world
        .store
        .record_orphan(&lease, &user(1), &account(1), memo)
        .await;
    noted.unwrap();
    assert_eq!(world.owner(1).await, Some((user(2), Tenure::Current)));
    let memo = memory(&world, 1).await;
    assert_eq!(memo, intending("later"), "the memo is written all the same");
}

async fn an_unreadable_memo_counts_as_empty(world: World) {
    let lease = world.lease(&subject(1)).await;
    for text in ["", "null", "{\"intent\":1}", "[]"] {
        let written = world.ledger.write_memo(&lease, Some(text.to_owned()));
        written.await.unwrap();
        assert_eq!(memory(&world, 1).await, Memory::default(), "{text}");
    }
    // Unknown fields of a later version are ignored.
    let text = "{\"intent\":{\"username\":\"ann\"},\"more\":1}";
    let written = world.ledger.write_memo(&lease, Some(text.to_owned()));
    written.await.unwrap();
    assert_eq!(memory(&world, 1).await, intending("ann"));
}

async fn recall_user_returns_the_link_without_an_old_intent(world: World) {
    let recalled = async || world.store.recall_user(&user(1)).await.unwrap();
    assert_eq!(recalled().await, Recalled::default());
    world.link(1, 1).await;
    let there = Recalled {
        link: Some(link_to(1)),
        old_intent: None,
    };
    assert_eq!(recalled().await, there);
    world.store.forget_old_intent(&user(1)).await.unwrap();
    assert_eq!(recalled().await, there);
    assert_eq!(
        world.store.recall_user(&user(2)).await.unwrap(),
        Recalled::default()
    );
    let lease = world.lease(&subject(1)).await;
    let link = link_to(1);
    let relinked = world
        .store
        .link_user(&lease, &user(1), &link, Some(&link), Memo::Keep)
        .await;
    assert_eq!(relinked.unwrap(), Linked::Written);
    assert_eq!(recalled().await, there);
}
