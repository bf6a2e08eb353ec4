//! One link at a time.

use std::collections::HashMap;

use okta_anypoint::ledger::Memo;
use okta_anypoint::store::{AgreedProfile, Linked, Origin, TeamLink, Tenure, UserLink};

use super::{World, account, group, link_to, subject, team_link, user};
use crate::ledger::DAY_MS;

on_every!(
    store [dynamodb, sqlite]
    a_link_is_read_as_written,
    an_account_belongs_to_one_user,
    a_refused_link_changes_nothing,
    a_second_account_makes_the_first_a_former_one,
    a_former_account_can_be_linked_to_another_user,
    a_user_can_return_to_the_first_account,
    unlinking_removes_both_entries,
    unlinking_leaves_the_entry_of_another_user_alone,
    a_team_belongs_to_one_group,
    linking_another_team_frees_the_first,
    a_link_made_by_hand_works,
    links_do_not_expire,
    the_origin_is_the_last_one_written,
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
            world.link_as(&*world.store, n, &link).await,
            Linked::Written
        );
        assert_eq!(world.store.user_link(&user(n)).await.unwrap(), Some(link));
        assert_eq!(world.owner(n).await, Some((user(n), Tenure::Current)));
    }
    world.link_team(1, &team_link(1)).await;
    assert_eq!(
        world.store.team_link(&group(1)).await.unwrap(),
        Some(team_link(1))
    );
    assert_eq!(world.team_owner(1).await, Some(group(1)));

    // Written again with other values. Without names, the stored names are removed.
    let renamed = UserLink {
        username: "other".to_owned(),
        ..link_to(2)
    };
    assert_eq!(
        world.link_as(&*world.store, 2, &renamed).await,
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
    let lease = world.lease_user(2).await;
    let noted = world.ledger.write_memo(&lease, Some("wanted".to_owned()));
    noted.await.unwrap();
    let (link, before) = (link_to(1), link_to(2));
    let linked = world
        .store
        .link_user(&lease, &user(2), &link, Some(&before), Memo::Write(None))
        .await
        .unwrap();
    assert_eq!(linked, Linked::TakenBy(user(1)));
    assert_eq!(world.account_of(2).await, Some(account(2)));
    assert_eq!(world.owner(2).await, Some((user(2), Tenure::Current)));
    let memo = world.ledger.memo(&subject(2)).await.unwrap();
    assert_eq!(memo.as_deref(), Some("wanted"));
}

async fn a_second_account_makes_the_first_a_former_one(world: World) {
    world.link(1, 1).await;
    assert_eq!(world.link(1, 2).await, Linked::Written);
    assert_eq!(world.account_of(1).await, Some(account(2)));
    assert_eq!(world.owner(1).await, Some((user(1), Tenure::Former)));
    assert_eq!(world.owner(2).await, Some((user(1), Tenure::Current)));
}

async fn a_former_account_can_be_linked_to_another_user(world: World) {
    world.link(1, 1).await;
    world.link(1, 2).await;
    assert_eq!(world.link(2, 1).await, Linked::Written);
    assert_eq!(world.owner(1).await, Some((user(2), Tenure::Current)));
    // The first user moves on once more, and cannot return.
    world.link(1, 3).await;
    assert_eq!(world.owner(1).await, Some((user(2), Tenure::Current)));
    assert_eq!(world.owner(2).await, Some((user(1), Tenure::Former)));
    assert_eq!(world.link(1, 1).await, Linked::TakenBy(user(2)));
    assert_eq!(world.account_of(1).await, Some(account(3)));
}

async fn a_user_can_return_to_the_first_account(world: World) {
    for a in [1, 2, 1, 1] {
        assert_eq!(world.link(1, a).await, Linked::Written);
    }
    assert_eq!(world.owner(1).await, Some((user(1), Tenure::Current)));
    assert_eq!(world.owner(2).await, Some((user(1), Tenure::Former)));
}

async fn unlinking_removes_both_entries(world: World) {
    world.unlink(1).await;
    world.link(1, 1).await;
    world.link(2, 2).await;
    world.unlink(1).await;
    assert_eq!(world.account_of(1).await, None);
    assert_eq!(world.owner(1).await, None);
    assert_eq!(world.owner(2).await, Some((user(2), Tenure::Current)));
    assert_eq!(world.link(3, 1).await, Linked::Written);

    world.unlink_team(1).await;
    world.link_team(1, &team_link(1)).await;
    world.unlink_team(1).await;
    assert_eq!(world.store.team_link(&group(1)).await.unwrap(), None);
    assert_eq!(world.team_owner(1).await, None);
}

/// Only people can make two links to one account. The owner of the reverse entry keeps it.
async fn unlinking_leaves_the_entry_of_another_user_alone(world: World) {
    world.link(1, 1).await;
    world.link(1, 2).await;
    world.link(2, 1).await;
    // As if somebody had reset the first user's link by hand. Only a repair can write such an entry.
    let by_hand = HashMap::from([(user(1), link_to(1))]);
    world
        .store
        .repair_reverse_entries(&by_hand, &HashMap::new())
        .await
        .unwrap();
    assert_eq!(world.owner(1).await, Some((user(2), Tenure::Current)));
    world.unlink(1).await;
    assert_eq!(world.owner(1).await, Some((user(2), Tenure::Current)));
    assert_eq!(world.owner(2).await, None);
}

async fn a_team_belongs_to_one_group(world: World) {
    let store = &world.store;
    assert_eq!(world.link_team(1, &team_link(1)).await, Linked::Written);
    let taken = world.link_team(2, &team_link(1)).await;
    assert_eq!(taken, Linked::TakenBy(group(1)));
    assert_eq!(store.team_link(&group(2)).await.unwrap(), None);
    // A rename.
    let renamed = TeamLink {
        team_name: "New".to_owned(),
        ..team_link(1)
    };
    assert_eq!(world.link_team(1, &renamed).await, Linked::Written);
    assert_eq!(store.team_link(&group(1)).await.unwrap(), Some(renamed));
}

async fn linking_another_team_frees_the_first(world: World) {
    world.link_team(1, &team_link(1)).await;
    assert_eq!(world.link_team(1, &team_link(2)).await, Linked::Written);
    assert_eq!(world.team_owner(1).await, None);
    assert_eq!(world.team_owner(2).await, Some(group(1)));
    assert_eq!(world.link_team(2, &team_link(1)).await, Linked::Written);
}

/// A link made by hand has no reverse entry, but can be changed and removed like any other.
async fn a_link_made_by_hand_works(world: World) {
    world.by_hand("00u1", "acc-1").await;
    assert_eq!(world.link(1, 2).await, Linked::Written);
    assert_eq!(world.owner(1).await, Some((user(1), Tenure::Former)));
    world.by_hand("00u3", "acc-3").await;
    world.unlink(3).await;
    assert_eq!(world.account_of(3).await, None);
    // Two users on one account: the owner of the reverse entry keeps it, and the other can be moved away.
    assert_eq!(world.link(4, 4).await, Linked::Written);
    world.by_hand("00u5", "acc-4").await;
    assert_eq!(world.link(5, 5).await, Linked::Written);
    assert_eq!(world.owner(4).await, Some((user(4), Tenure::Current)));
    world.by_hand("00u6", "acc-4").await;
    world.unlink(6).await;
    assert_eq!(world.account_of(6).await, None);
    assert_eq!(world.owner(4).await, Some((user(4), Tenure::Current)));
}

async fn links_do_not_expire(world: World) {
    world.link(2, 2).await;
    world.link_team(2, &team_link(2)).await;
    world.clock.advance(3_650 * DAY_MS);
    // By now all expired items are swept.
    world.link(1, 1).await;
    assert_eq!(world.account_of(2).await, Some(account(2)));
    assert_eq!(world.owner(2).await, Some((user(2), Tenure::Current)));
    assert_eq!(world.team_owner(2).await, Some(group(2)));
}

/// Only the owner of the lease writes, and it knows the origin.
async fn the_origin_is_the_last_one_written(world: World) {
    for origin in [
        Origin::Created,
        Origin::Adopted,
        Origin::Created,
        Origin::Imported,
    ] {
        let link = UserLink {
            origin,
            ..link_to(1)
        };
        world.link_as(&*world.store, 1, &link).await;
        let written = world.store.user_link(&user(1)).await.unwrap().unwrap();
        assert_eq!(written.origin, origin);
        let link = TeamLink {
            origin,
            ..team_link(1)
        };
        world.link_team(1, &link).await;
        let written = world.store.team_link(&group(1)).await.unwrap().unwrap();
        assert_eq!(written.origin, origin);
    }
}
