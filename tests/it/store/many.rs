//! Many keys, many writers, lists and documents.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use okta_anypoint::ledger::Memo;
use okta_anypoint::store::{Linked, Stored, Tenure};

use super::{World, account, group, link_to, team_link, user};

on_every!(
    store [dynamodb, sqlite]
    one_read_returns_hundreds_of_keys,
    each_list_holds_only_its_own_kind,
    lists_continue_past_a_page,
    only_one_of_many_concurrent_writers_writes_a_document,
    missing_reverse_entries_are_repaired,
    a_repair_overwrites_no_other_link,
    two_users_at_once_get_one_account,
    concurrent_links_of_one_user_end_consistent,
);

async fn one_read_returns_hundreds_of_keys(world: World) {
    let users: HashMap<_, _> = (0..230).map(|n| (user(n), link_to(n))).collect();
    for n in 0..230 {
        assert_eq!(world.link(n, n).await, Linked::Written);
    }
    // With missing ones in between, and one named twice.
    let mut asked: Vec<_> = (0..300).map(user).collect();
    asked.push(user(7));
    assert_eq!(world.store.user_links(&asked).await.unwrap(), users);
    assert_eq!(world.store.user_links(&[]).await.unwrap(), HashMap::new());
    let accounts: Vec<_> = (0..300).map(account).collect();
    let owners = world.store.account_owners(&accounts).await.unwrap();
    assert_eq!(owners.len(), 230);
    assert_eq!(owners[&account(229)].okta_user, user(229));
    assert_eq!(world.store.all_user_links().await.unwrap(), users);
}

async fn each_list_holds_only_its_own_kind(world: World) {
    world.link(1, 1).await;
    world.link_team(1, &team_link(1)).await;
    world.link_team(2, &team_link(2)).await;
    let lease = world.lease_user(5).await;
    let noted = world.ledger.write_memo(&lease, Some("x".to_owned()));
    noted.await.unwrap();
    let (owner, orphan) = (user(5), account(5));
    let noted = world
        .store
        .record_orphan(&lease, &owner, &orphan, Memo::Keep);
    noted.await.unwrap();
    world
        .documents
        .put_document("cursor", "{}", 0)
        .await
        .unwrap();
    let users = world.store.all_user_links().await.unwrap();
    assert_eq!(users, HashMap::from([(user(1), link_to(1))]));
    let teams = HashMap::from([(group(1), team_link(1)), (group(2), team_link(2))]);
    assert_eq!(world.store.all_team_links().await.unwrap(), teams);
    let some = world.store.team_links(&[group(2), group(3)]).await.unwrap();
    assert_eq!(some, HashMap::from([(group(2), team_link(2))]));
}

/// DynamoDB returns at most 1 MiB per page of a scan.
async fn lists_continue_past_a_page(world: World) {
    let big = "x".repeat(300_000);
    for n in 0..30 {
        let name = format!("report-{n}");
        world.documents.put_document(&name, &big, 0).await.unwrap();
        world.link(n, n).await;
    }
    assert_eq!(world.store.all_user_links().await.unwrap().len(), 30);
}

async fn only_one_of_many_concurrent_writers_writes_a_document(world: World) {
    let store = &world.documents;
    assert_eq!(store.document("cursor").await.unwrap(), None);
    assert_eq!(
        store.put_document("cursor", "1", 5).await.unwrap(),
        Stored::Conflict
    );
    assert_eq!(
        store.put_document("cursor", "1", 0).await.unwrap(),
        Stored::Written
    );
    assert_eq!(
        store.put_document("cursor", "2", 0).await.unwrap(),
        Stored::Conflict
    );
    let document = store.document("cursor").await.unwrap().unwrap();
    assert_eq!((document.json.as_str(), document.version), ("1", 1));

    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let store = [store, &world.other_documents][n % 2].clone();
        tasks.spawn(async move {
            store
                .put_document("cursor", &n.to_string(), 1)
                .await
                .unwrap()
        });
    }
    let written = tasks
        .join_all()
        .await
        .into_iter()
        .filter(|s| *s == Stored::Written)
        .count();
    assert_eq!(written, 1);
    assert_eq!(store.document("cursor").await.unwrap().unwrap().version, 2);
    assert_eq!(
        store.put_document("other", "1", 0).await.unwrap(),
        Stored::Written
    );
}

async fn missing_reverse_entries_are_repaired(world: World) {
    world.link(1, 1).await;
    world.link(1, 2).await;
    let users: HashMap<_, _> = (1..=150).map(|n| (user(n), link_to(n))).collect();
    let teams: HashMap<_, _> = (1..=3).map(|n| (group(n), team_link(n))).collect();
    for _ in 0..2 {
        world
            .store
            .repair_reverse_entries(&users, &teams)
            .await
            .unwrap();
        // Existing entries are unchanged.
        assert_eq!(world.owner(1).await, Some((user(1), Tenure::Former)));
        assert_eq!(world.owner(2).await, Some((user(1), Tenure::Current)));
        for n in [3, 77, 150] {
            assert_eq!(world.owner(n).await, Some((user(n), Tenure::Current)));
        }
        assert_eq!(world.team_owner(3).await, Some(group(3)));
    }
    assert_eq!(world.link(200, 77).await, Linked::TakenBy(user(77)));
}

/// Another user takes the account during the repair.
async fn a_repair_overwrites_no_other_link(world: World) {
    for round in 0..40 {
        let by_hand = HashMap::from([(user(round), link_to(round))]);
        let (nobody, rival) = (HashMap::new(), 1_000 + round);
        let lease = world.lease_user(rival).await;
        let (link, rival) = (link_to(round), user(rival));
        let (repaired, linked) = tokio::join!(
            world.store.repair_reverse_entries(&by_hand, &nobody),
            world
                .other
                .link_user(&lease, &rival, &link, None, Memo::Keep),
        );
        repaired.unwrap();
        let owner = match linked.unwrap() {
            Linked::Written => rival,
            Linked::TakenBy(owner) => owner,
        };
        assert_eq!(world.owner(round).await, Some((owner, Tenure::Current)));
    }
}

async fn two_users_at_once_get_one_account(world: World) {
    let world = Arc::new(world);
    for round in 0..5 {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..10 {
            let store = [&world.store, &world.other][n % 2].clone();
            let (world, n) = (world.clone(), round * 10 + n);
            tasks.spawn(async move {
                let linked = world.link_as(&*store, n, &link_to(round)).await;
                (user(n), linked)
            });
        }
        let results = tasks.join_all().await;
        let winners: HashSet<_> = results
            .iter()
            .filter(|(_, linked)| *linked == Linked::Written)
            .map(|(user, _)| user.clone())
            .collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        let (owner, _) = world.owner(round).await.unwrap();
        assert!(winners.contains(&owner));
    }
}

/// Each waits for the lease. In any order, the link and the reverse entries match in the end.
async fn concurrent_links_of_one_user_end_consistent(world: World) {
    let world = Arc::new(world);
    for round in 0..5 {
        let mut tasks = tokio::task::JoinSet::new();
        for a in 0..4 {
            let store = [&world.store, &world.other][a % 2].clone();
            let world = world.clone();
            tasks.spawn(async move {
                let link = link_to(round * 10 + a);
                world.link_as(&*store, round, &link).await
            });
        }
        for linked in tasks.join_all().await {
            assert_eq!(linked, Linked::Written);
        }
        let now = world.account_of(round).await.unwrap();
        for a in 0..4 {
            let (owner, tenure) = world.owner(round * 10 + a).await.unwrap();
            assert_eq!(owner, user(round));
            let expected = if account(round * 10 + a) == now {
                Tenure::Current
            } else {
                Tenure::Former
            };
            assert_eq!(tenure, expected);
        }
    }
}
