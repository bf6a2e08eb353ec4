//! One link, one intent at a time.

use std::collections::HashMap;

use okta_anypoint::store::{
    AgreedProfile, FreshTeams, Intended, LastWrite, Linked, Origin, TeamLink, Tenure, UserLink,
    UserMemory,
};

use super::{LEASE, World, account, group, link_to, team, team_link, user};
use crate::ledger::{DAY_MS, START_MS};

on_every_store!(
    a_link_is_read_as_written,
    an_account_belongs_to_one_user,
    a_refused_link_changes_nothing,
    another_account_leaves_the_first_as_former,
    a_former_account_may_be_taken_and_is_then_left_alone,
    back_to_the_first_account,
    unlinking_removes_both_entries,
    unlinking_leaves_a_foreign_entry_alone,
    an_intent_goes_with_the_link,
    an_intent_does_not_last,
    one_holder_intends_at_a_time,
    fresh_memberships_are_remembered_for_a_minute,
    fresh_memberships_are_their_users_alone,
    a_team_belongs_to_one_group,
    another_team_frees_the_first,
    a_link_made_by_hand_works,
    adopting_what_we_made_does_not_change_its_origin,
);

async fn a_link_is_read_as_written(world: World) {
    assert_eq!(world.store.user_link(&user(1)).await.unwrap(), None);
    assert_eq!(world.store.team_link(&group(1)).await.unwrap(), None);
    for (n, origin) in [Origin::Created, Origin::Adopted, Origin::Imported]
        .into_iter()
        .enumerate()
    {
        let link = UserLink {
            origin,
            agreed: (origin == Origin::Imported).then(|| AgreedProfile {
                first_name: "Zoë".to_owned(),
                last_name: String::new(),
            }),
            ..link_to(n)
        };
        assert_eq!(
            world.store.link_user(&user(n), &link).await.unwrap(),
            Linked::Written
        );
        assert_eq!(world.store.user_link(&user(n)).await.unwrap(), Some(link));
        assert_eq!(world.owner(n).await, Some((user(n), Tenure::Current)));
    }
    world
        .store
        .link_team(&group(1), &team_link(1))
        .await
        .unwrap();
    assert_eq!(
        world.store.team_link(&group(1)).await.unwrap(),
        Some(team_link(1))
    );
    assert_eq!(world.team_owner(1).await, Some(group(1)));

    // Written again with other values: the agreed names go when they are not given.
    let renamed = UserLink {
        username: "other".to_owned(),
        ..link_to(2)
    };
    assert_eq!(
        world.store.link_user(&user(2), &renamed).await.unwrap(),
        Linked::Written
    );
    assert_eq!(
        world.store.user_link(&user(2)).await.unwrap(),
        Some(renamed)
    );
}

async fn an_account_belongs_to_one_user(world: World) {
    assert_eq!(world.link(1, 1).await, Linked::Written);
    assert_eq!(world.link(2, 1).await, Linked::TakenBy(user(1)));
    assert_eq!(world.account_of(2).await, None);
    assert_eq!(world.owner(1).await, Some((user(1), Tenure::Current)));
    assert_eq!(world.owner(9).await, None);
}

async fn a_refused_link_changes_nothing(world: World) {
    world.link(1, 1).await;
    world.link(2, 2).await;
    world
        .store
        .intend_account(&user(2), "wanted", "event-1", LEASE)
        .await
        .unwrap();
    assert_eq!(world.link(2, 1).await, Linked::TakenBy(user(1)));
    assert_eq!(world.account_of(2).await, Some(account(2)));
    assert_eq!(world.owner(2).await, Some((user(2), Tenure::Current)));
    let intent = world.intent(2).await;
    assert_eq!(intent.as_deref(), Some("wanted"));
}

async fn another_account_leaves_the_first_as_former(world: World) {
    world.link(1, 1).await;
    assert_eq!(world.link(1, 2).await, Linked::Written);
    assert_eq!(world.account_of(1).await, Some(account(2)));
    assert_eq!(world.owner(1).await, Some((user(1), Tenure::Former)));
    assert_eq!(world.owner(2).await, Some((user(1), Tenure::Current)));
}

async fn a_former_account_may_be_taken_and_is_then_left_alone(world: World) {
    world.link(1, 1).await;
    world.link(1, 2).await;
    assert_eq!(world.link(2, 1).await, Linked::Written);
    assert_eq!(world.owner(1).await, Some((user(2), Tenure::Current)));
    // The first user moves on once more, and back is barred.
    world.link(1, 3).await;
    assert_eq!(world.owner(1).await, Some((user(2), Tenure::Current)));
    assert_eq!(world.owner(2).await, Some((user(1), Tenure::Former)));
    assert_eq!(world.link(1, 1).await, Linked::TakenBy(user(2)));
    assert_eq!(world.account_of(1).await, Some(account(3)));
}

async fn back_to_the_first_account(world: World) {
    for a in [1, 2, 1, 1] {
        assert_eq!(world.link(1, a).await, Linked::Written);
    }
    assert_eq!(world.owner(1).await, Some((user(1), Tenure::Current)));
    assert_eq!(world.owner(2).await, Some((user(1), Tenure::Former)));
}

async fn unlinking_removes_both_entries(world: World) {
    world.store.unlink_user(&user(1)).await.unwrap();
    world.link(1, 1).await;
    world.link(2, 2).await;
    world.store.unlink_user(&user(1)).await.unwrap();
    assert_eq!(world.account_of(1).await, None);
    assert_eq!(world.owner(1).await, None);
    assert_eq!(world.owner(2).await, Some((user(2), Tenure::Current)));
    assert_eq!(world.link(3, 1).await, Linked::Written);

    world.store.unlink_team(&group(1)).await.unwrap();
    world
        .store
        .link_team(&group(1), &team_link(1))
        .await
        .unwrap();
    world.store.unlink_team(&group(1)).await.unwrap();
    assert_eq!(world.store.team_link(&group(1)).await.unwrap(), None);
    assert_eq!(world.team_owner(1).await, None);
}

/// Two links to one account can only be made by hand; whoever owns the reverse entry keeps it.
async fn unlinking_leaves_a_foreign_entry_alone(world: World) {
    world.link(1, 1).await;
    world.link(1, 2).await;
    world.link(2, 1).await;
    // As if the first user's link had been turned back by hand: only repair can write such an entry.
    let by_hand = HashMap::from([(user(1), link_to(1))]);
    world
        .store
        .repair_reverse_entries(&by_hand, &HashMap::new())
        .await
        .unwrap();
    assert_eq!(world.owner(1).await, Some((user(2), Tenure::Current)));
    world.store.unlink_user(&user(1)).await.unwrap();
    assert_eq!(world.owner(1).await, Some((user(2), Tenure::Current)));
    assert_eq!(world.owner(2).await, None);
}

async fn an_intent_goes_with_the_link(world: World) {
    let store = &world.store;
    assert_eq!(world.intent(1).await, None);
    store
        .intend_account(&user(1), "first", "event-1", LEASE)
        .await
        .unwrap();
    store
        .intend_account(&user(1), "second", "event-1", LEASE)
        .await
        .unwrap();
    store
        .intend_account(&user(2), "other", "event-1", LEASE)
        .await
        .unwrap();
    let intent = world.intent(1).await;
    assert_eq!(intent.as_deref(), Some("second"));
    world.link(1, 1).await;
    assert_eq!(world.intent(1).await, None);
    assert!(world.intent(2).await.is_some());
    store.forget_intent(&user(2)).await.unwrap();
    store.forget_intent(&user(2)).await.unwrap();
    assert_eq!(world.intent(2).await, None);
}

async fn one_holder_intends_at_a_time(world: World) {
    let store = &world.store;
    let intend = async |holder: &str| {
        store
            .intend_account(&user(1), "name", holder, LEASE)
            .await
            .unwrap()
    };
    let held = Intended::Held {
        until_ms: START_MS + 10_000,
    };
    assert_eq!(intend("event-1").await, Intended::Noted);
    assert_eq!(intend("event-2").await, held);
    assert_eq!(
        intend("event-1").await,
        Intended::Noted,
        "a retry of the same event"
    );
    world.clock.advance(9_999);
    assert_eq!(intend("event-2").await, held);
    world.clock.advance(1);
    assert_eq!(
        intend("event-2").await,
        Intended::Noted,
        "the lease is over"
    );
    store.release_intent(&user(1), "event-1").await.unwrap();
    assert!(
        matches!(intend("event-3").await, Intended::Held { .. }),
        "not the holder's word"
    );
    store.release_intent(&user(1), "event-2").await.unwrap();
    assert_eq!(
        world.intent(1).await.as_deref(),
        Some("name"),
        "the note itself stays"
    );
    assert_eq!(intend("event-3").await, Intended::Noted);
    store.release_intent(&user(2), "event-3").await.unwrap();
    assert_eq!(world.intent(2).await, None, "releasing makes no note");
}

async fn fresh_memberships_are_remembered_for_a_minute(world: World) {
    let store = &world.store;
    let fresh = async || store.user_memory(&user(1)).await.unwrap().fresh_teams;
    let first = FreshTeams::from([(team(1), LastWrite::Joined), (team(2), LastWrite::Left)]);
    let second = FreshTeams::from([(team(3), LastWrite::Joined)]);
    assert_eq!(fresh().await, FreshTeams::new());
    store.note_memberships(&user(1), &first).await.unwrap();
    assert_eq!(fresh().await, first);
    store.note_memberships(&user(1), &second).await.unwrap();
    world.clock.advance(59_999);
    assert_eq!(fresh().await, second);
    world.clock.advance(1);
    assert_eq!(fresh().await, FreshTeams::new());
    assert_eq!(
        store.user_memory(&user(1)).await.unwrap(),
        UserMemory::default()
    );
}

async fn fresh_memberships_are_their_users_alone(world: World) {
    let store = &world.store;
    for n in 1..=2 {
        let joined = FreshTeams::from([(team(n), LastWrite::Joined)]);
        store.note_memberships(&user(n), &joined).await.unwrap();
    }
    for (n, teams) in [(1, vec![team(1)]), (2, vec![team(2)]), (3, vec![])] {
        let fresh = store.user_memory(&user(n)).await.unwrap().fresh_teams;
        assert_eq!(fresh.into_keys().collect::<Vec<_>>(), teams, "{n}");
    }
}

async fn an_intent_does_not_last(world: World) {
    world
        .store
        .intend_account(&user(1), "name", "event-1", LEASE)
        .await
        .unwrap();
    world.link(2, 2).await;
    world.clock.advance(7 * DAY_MS - 1_000);
    assert!(world.intent(1).await.is_some());
    world.clock.advance(1_000);
    assert_eq!(world.intent(1).await, None);
    world.clock.advance(3_650 * DAY_MS);
    assert_eq!(world.account_of(2).await, Some(account(2)));
}

async fn a_team_belongs_to_one_group(world: World) {
    let store = &world.store;
    assert_eq!(
        store.link_team(&group(1), &team_link(1)).await.unwrap(),
        Linked::Written
    );
    let taken = store.link_team(&group(2), &team_link(1)).await.unwrap();
    assert_eq!(taken, Linked::TakenBy(group(1)));
    assert_eq!(store.team_link(&group(2)).await.unwrap(), None);
    // A rename.
    let renamed = TeamLink {
        team_name: "New".to_owned(),
        ..team_link(1)
    };
    assert_eq!(
        store.link_team(&group(1), &renamed).await.unwrap(),
        Linked::Written
    );
    assert_eq!(store.team_link(&group(1)).await.unwrap(), Some(renamed));
}

async fn another_team_frees_the_first(world: World) {
    let store = &world.store;
    store.link_team(&group(1), &team_link(1)).await.unwrap();
    assert_eq!(
        store.link_team(&group(1), &team_link(2)).await.unwrap(),
        Linked::Written
    );
    assert_eq!(world.team_owner(1).await, None);
    assert_eq!(world.team_owner(2).await, Some(group(1)));
    assert_eq!(
        store.link_team(&group(2), &team_link(1)).await.unwrap(),
        Linked::Written
    );
}

/// A link made by hand, without a reverse entry, can be changed and removed like any other.
async fn a_link_made_by_hand_works(world: World) {
    world.by_hand("00u1", "acc-1").await;
    assert_eq!(world.link(1, 2).await, Linked::Written);
    assert_eq!(world.owner(1).await, Some((user(1), Tenure::Former)));
    world.by_hand("00u3", "acc-3").await;
    world.store.unlink_user(&user(3)).await.unwrap();
    assert_eq!(world.account_of(3).await, None);
    // Two users on one account: the reverse entry's owner keeps it, the other can be moved away.
    assert_eq!(world.link(4, 4).await, Linked::Written);
    world.by_hand("00u5", "acc-4").await;
    assert_eq!(world.link(5, 5).await, Linked::Written);
    assert_eq!(world.owner(4).await, Some((user(4), Tenure::Current)));
    world.by_hand("00u6", "acc-4").await;
    world.store.unlink_user(&user(6)).await.unwrap();
    assert_eq!(world.account_of(6).await, None);
    assert_eq!(world.owner(4).await, Some((user(4), Tenure::Current)));
}

/// Two runs at once: one made the object, the other found it. Whoever writes last, it was made.
async fn adopting_what_we_made_does_not_change_its_origin(world: World) {
    let store = &world.store;
    let origin = async |first: Origin, second: Origin, second_account: usize| {
        for (account, origin) in [(1, first), (second_account, second)] {
            let link = UserLink {
                origin,
                ..link_to(account)
            };
            store.link_user(&user(1), &link).await.unwrap();
        }
        let user_origin = store.user_link(&user(1)).await.unwrap().unwrap().origin;
        for (team, origin) in [(1, first), (second_account, second)] {
            let link = TeamLink {
                origin,
                ..team_link(team)
            };
            store.link_team(&group(1), &link).await.unwrap();
        }
        let team_origin = store.team_link(&group(1)).await.unwrap().unwrap().origin;
        store.unlink_user(&user(1)).await.unwrap();
        store.unlink_team(&group(1)).await.unwrap();
        assert_eq!(user_origin, team_origin);
        user_origin
    };
    let (created, adopted, imported) = (Origin::Created, Origin::Adopted, Origin::Imported);
    assert_eq!(origin(created, adopted, 1).await, created);
    assert_eq!(origin(adopted, created, 1).await, created);
    assert_eq!(origin(created, imported, 1).await, imported);
    assert_eq!(origin(created, adopted, 2).await, adopted, "another object");
}
