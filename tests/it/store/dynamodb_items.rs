//! What other programs may rely on in the table, and what happens with unexpected items.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use okta_anypoint::clock::ManualClock;
use okta_anypoint::failure::Cause;
use okta_anypoint::ledger::{
    Conclusion, DynamoDbLedger, Filter, Leased, Ledger as _, Memo, Reason, Work,
};
use okta_anypoint::store::{DynamoDbStore, Linked, Origin, Recalled, Store, UserLink};

use super::{LEASE, Raw, World, account, link_to, subject, team_link, user};
use crate::ledger::{START_MS, ours, work};
use crate::servers;

/// Templates, scripts and people may rely on the names of keys and attributes.
#[tokio::test]
async fn dynamodb_items_have_the_names_of_the_contract() {
    let world = super::dynamodb().await;
    let link = UserLink {
        origin: Origin::Imported,
        ..link_to(1)
    };
    world.link_as(&*world.store, 1, &link).await;
    world.link_team(1, &team_link(1)).await;
    let lease = world.lease(&subject(2)).await;
    let memo = Memo::Write(Some("later".to_owned()));
    let (owner, orphan) = (user(2), account(2));
    let noted = world.store.record_orphan(&lease, &owner, &orphan, memo);
    noted.await.unwrap();
    let item = async |pk: &str| item(&world, pk).await.unwrap();
    assert_eq!(
        item("user#00u1").await,
        "anypoint_id=acc-1 origin=imported pk=user#00u1 username=name1"
    );
    assert_eq!(
        item("group#00g1").await,
        "origin=adopted pk=group#00g1 team_id=team-1 team_name=Team 1"
    );
    assert_eq!(
        item("account#acc-1").await,
        "okta_user=00u1 pk=account#acc-1 tenure=current"
    );
    assert_eq!(item("team#team-1").await, "okta_group=00g1 pk=team#team-1");
    assert_eq!(
        item("account#acc-2").await,
        "okta_user=00u2 origin=created pk=account#acc-2 tenure=former"
    );
    let expires_at = START_MS / 1000 + 3_650 * 86_400;
    // A returned lease.
    assert_eq!(
        item("lease#user#00u1").await,
        format!(
            "expires_at={} pk=lease#user#00u1 updated_at_ms={START_MS}",
            START_MS / 1000 + 7 * 86_400
        )
    );
    // A current lease with a memo.
    assert_eq!(
        item("lease#user#00u2").await,
        format!(
            "expires_at={expires_at} lease_until_ms={} memo=later owner=… pk=lease#user#00u2 \
             updated_at_ms={START_MS}",
            START_MS + 10_000,
        )
    );
    // Two events with one id.
    for (u, pk) in [(1, "event#e1"), (2, "event#e1#user#00u2")] {
        let work = Work {
            subject: subject(u),
            ..work("e1")
        };
        let claimed = world.ledger.claim(&work, &lease, Reason::Delivery).await;
        claimed.unwrap();
        assert_eq!(
            item(pk).await,
            format!(
                "attempts=1 event_type=user.lifecycle.create expires_at={} lease_until_ms={} \
                 owner=… pk={pk} published=2026-09-21T14:13:20.123Z status=in_progress \
                 subject=user#00u{u} unfinished=1 updated_at_ms={START_MS}",
                START_MS / 1000 + 30 * 86_400,
                START_MS + 10_000,
            )
        );
    }
}

/// An item's attributes in order, without the random owner.
async fn item(world: &World, pk: &str) -> Option<String> {
    let Raw::DynamoDb(client, table) = &world.raw else {
        panic!("another store");
    };
    let key = AttributeValue::S(pk.to_owned());
    let get = client.get_item().table_name(table).key("pk", key);
    let mut attributes: Vec<_> = get.send().await.unwrap().item?.into_iter().collect();
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    let words = attributes.into_iter().map(|(name, value)| match value {
        AttributeValue::S(_) if name == "owner" => "owner=…".to_owned(),
        AttributeValue::S(text) | AttributeValue::N(text) => format!("{name}={text}"),
        other => format!("{name}={other:?}"),
    });
    Some(words.collect::<Vec<_>>().join(" "))
}

/// Items of earlier builds: an intent, fresh memberships, the lease of a schedule.
async fn old_items(world: &World, expires_at: i64) {
    let Raw::DynamoDb(client, table) = &world.raw else {
        panic!("another store");
    };
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let number = |value: i64| AttributeValue::N(value.to_string());
    let teams = AttributeValue::M([("team-1".to_owned(), text("joined"))].into());
    let until_ms = number(START_MS + 60_000);
    let put = || client.put_item().table_name(table);
    let intent = put()
        .item("pk", text("intent#00u1"))
        .item("username", text("ann"))
        .item("holder", text("event-1"))
        .item("until_ms", until_ms.clone())
        .item("expires_at", number(expires_at));
    let fresh = put()
        .item("pk", text("fresh#00u1"))
        .item("teams", teams)
        .item("until_ms", until_ms)
        .item("expires_at", number(START_MS / 1000 + 120));
    let schedule = put()
        .item("pk", text("document#lease#reconcile"))
        .item(
            "json",
            text("{\"holder\":\"x\",\"until_ms\":9999999999999}"),
        )
        .item("version", number(4));
    for put in [intent, fresh, schedule] {
        put.send().await.unwrap();
    }
}

/// The worker finds the account that an older version was creating. The link removes the intent.
#[tokio::test]
async fn the_intent_of_an_older_version_is_read_and_removed_with_the_link() {
    let world = super::dynamodb().await;
    let week = START_MS / 1000 + 7 * 86_400;
    old_items(&world, week).await;
    let intended = Recalled {
        link: None,
        old_intent: Some("ann".to_owned()),
    };
    let recalled = async |u: usize| world.store.recall_user(&user(u)).await.unwrap();
    assert_eq!(recalled(1).await, intended);
    assert_eq!(recalled(2).await, Recalled::default());
    // It neither blocks the new lease nor becomes part of it.
    let lease = world.lease(&subject(1)).await;
    assert_eq!((lease.memo(), lease.took_over()), (None, false));
    // A refused link keeps it.
    world.link(2, 2).await;
    let refused = world
        .store
        .link_user(&lease, &user(1), &link_to(2), None, Memo::Keep)
        .await;
    assert_eq!(refused.unwrap(), Linked::TakenBy(user(2)));
    assert_eq!(recalled(1).await, intended);
    let linked = world
        .store
        .link_user(&lease, &user(1), &link_to(1), None, Memo::Keep)
        .await;
    assert_eq!(linked.unwrap(), Linked::Written);
    assert_eq!(item(&world, "intent#00u1").await, None);
    assert_eq!(recalled(1).await.link, Some(link_to(1)));
    assert_eq!(recalled(1).await.old_intent, None);
}

#[tokio::test]
async fn a_settled_or_old_intent_of_an_older_version_is_forgotten() {
    let world = super::dynamodb().await;
    old_items(&world, START_MS / 1000 + 60).await;
    let intent = async || {
        let recalled = world.store.recall_user(&user(1)).await.unwrap();
        recalled.old_intent
    };
    assert_eq!(intent().await.as_deref(), Some("ann"));
    world.clock.advance(60_000);
    assert_eq!(intent().await, None, "its time is over");
    old_items(&world, START_MS / 1000 + 86_400).await;
    assert_eq!(intent().await.as_deref(), Some("ann"));
    for _ in 0..2 {
        world.store.forget_old_intent(&user(1)).await.unwrap();
        assert_eq!(intent().await, None);
    }
    assert_eq!(item(&world, "intent#00u1").await, None);
}

/// Obsolete items are harmless: they show in no list, and no lease waits for them.
#[tokio::test]
async fn items_of_an_older_version_show_nowhere() {
    let world = super::dynamodb().await;
    old_items(&world, START_MS / 1000 + 7 * 86_400).await;
    let records = world.ledger.records(&Filter::default()).await.unwrap();
    assert_eq!(records, []);
    assert_eq!(world.store.all_user_links().await.unwrap(), HashMap::new());
    assert_eq!(world.store.all_team_links().await.unwrap(), HashMap::new());
    for subject in ["user#00u1", "reconcile", "schedule#reconcile"] {
        let lease = ours(world.ledger.lease(subject, LEASE).await.unwrap());
        assert_eq!((lease.memo(), lease.took_over()), (None, false));
    }
}

/// An unreadable item never counts as missing.
#[tokio::test]
async fn an_unreadable_item_fails_the_read() {
    let world = super::dynamodb().await;
    let Raw::DynamoDb(client, table) = &world.raw else {
        panic!("another store");
    };
    let store = &world.store;
    world.link(1, 1).await;
    client
        .put_item()
        .table_name(table)
        .item("pk", AttributeValue::S("user#00u2".to_owned()))
        .item("username", AttributeValue::S("secret name".to_owned()))
        .send()
        .await
        .unwrap();
    let lease = world.lease(&subject(2)).await;
    for failure in [
        store.user_link(&user(2)).await.unwrap_err(),
        store.user_links(&[user(1), user(2)]).await.unwrap_err(),
        store.all_user_links().await.unwrap_err(),
        store.recall_user(&user(2)).await.unwrap_err(),
        store.unlink_user(&lease, &user(2)).await.unwrap_err(),
    ] {
        assert!(!failure.is_retryable());
        assert!(failure.message.contains("user#00u2"), "{failure}");
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
}

/// A failure names the table and the setting. It is retryable, because the table may exist the next time.
#[tokio::test]
async fn a_missing_table_is_named() {
    let (client, table) = servers::table().await;
    let clock = Arc::new(ManualClock::at(START_MS));
    let ledger = |table: &str| DynamoDbLedger::new(client.clone(), table, 30, clock.clone());
    let leased = ledger(&table).lease(&subject(1), LEASE).await.unwrap();
    let Leased::Ours(lease) = leased else {
        panic!("busy")
    };
    let store = DynamoDbStore::new(client.clone(), "no-such-table", clock.clone());
    let gone = ledger("no-such-table");
    let (owner, link) = (user(1), link_to(1));
    let linked = store.link_user(&lease, &owner, &link, None, Memo::Keep);
    for failure in [
        store.user_link(&user(1)).await.unwrap_err(),
        linked.await.unwrap_err(),
        store.all_user_links().await.unwrap_err(),
        store.user_links(&[user(1)]).await.unwrap_err(),
        gone.lease(&subject(1), LEASE).await.unwrap_err(),
        gone.conclude(lease, Conclusion::default())
            .await
            .unwrap_err(),
    ] {
        assert!(failure.is_retryable(), "{failure}");
        assert_eq!(failure.cause, Cause::NotFound, "{failure}");
        let text = failure.to_string();
        assert!(
            text.contains("no-such-table") && text.contains("TABLE_NAME"),
            "{text}"
        );
    }
}

/// A stopped or silent server causes a retryable failure in time.
#[tokio::test]
async fn an_unreachable_table_is_retryable() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for address in [silent.local_addr().unwrap(), gone] {
        let config = servers::config_within(
            &format!("http://{address}"),
            std::time::Duration::from_millis(600),
        )
        .await;
        let client = aws_sdk_dynamodb::Client::new(&config);
        let store = DynamoDbStore::new(client, "people", Arc::new(ManualClock::at(START_MS)));
        let begun = std::time::Instant::now();
        let failure = store.user_link(&user(1)).await.unwrap_err();
        assert!(failure.is_retryable(), "{failure}");
        assert!(begun.elapsed().as_millis() < 1_500, "{:?}", begun.elapsed());
    }
}
