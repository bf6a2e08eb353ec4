//! What others may rely on in the table, and what happens when they put something odd there.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use okta_anypoint::clock::ManualClock;
use okta_anypoint::store::{DynamoDbStore, FreshTeams, LastWrite, Origin, Store, UserLink};

use super::{group, link_to, team, team_link, user};
use crate::ledger::START_MS;
use crate::servers;

/// What templates, scripts and people may rely on: names of keys and attributes.
#[tokio::test]
async fn dynamodb_items_are_spelled_as_the_contract_says() {
    let (client, table) = servers::table().await;
    let clock = Arc::new(ManualClock::at(START_MS));
    let store = DynamoDbStore::new(client.clone(), &table, clock);
    let link = UserLink {
        origin: Origin::Imported,
        ..link_to(1)
    };
    store.link_user(&user(1), &link).await.unwrap();
    store.link_team(&group(1), &team_link(1)).await.unwrap();
    let lease = std::time::Duration::from_secs(10);
    store
        .intend_account(&user(2), "x", "event-1", lease)
        .await
        .unwrap();
    let joined = FreshTeams::from([(team(1), LastWrite::Joined)]);
    store.note_memberships(&user(2), &joined).await.unwrap();
    let item = async |pk: &str| {
        let key = AttributeValue::S(pk.to_owned());
        let answer = client
            .get_item()
            .table_name(&table)
            .key("pk", key)
            .send()
            .await;
        let mut attributes: Vec<_> = answer.unwrap().item.unwrap().into_iter().collect();
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        attributes
            .into_iter()
            .map(|(name, value)| match value {
                AttributeValue::S(text) | AttributeValue::N(text) => format!("{name}={text}"),
                other => format!("{name}={other:?}"),
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
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
        item("intent#00u2").await,
        format!(
            "expires_at={} holder=event-1 pk=intent#00u2 until_ms={} username=x",
            START_MS / 1000 + 7 * 86_400,
            START_MS + 10_000
        )
    );
    let until_ms = START_MS + 60_000;
    assert_eq!(
        item("fresh#00u2").await,
        format!(
            "expires_at={} pk=fresh#00u2 teams={:?} until_ms={until_ms}",
            until_ms / 1000 + 60,
            AttributeValue::M(
                [("team-1".to_owned(), AttributeValue::S("joined".to_owned()))].into()
            ),
        )
    );
}

/// "Could not read" is never "nobody there".
#[tokio::test]
async fn a_broken_item_stops_the_answer() {
    let (client, table) = servers::table().await;
    let store = DynamoDbStore::new(client.clone(), &table, Arc::new(ManualClock::at(START_MS)));
    store.link_user(&user(1), &link_to(1)).await.unwrap();
    client
        .put_item()
        .table_name(&table)
        .item("pk", AttributeValue::S("user#00u2".to_owned()))
        .item("username", AttributeValue::S("secret name".to_owned()))
        .send()
        .await
        .unwrap();
    for failure in [
        store.user_link(&user(2)).await.unwrap_err(),
        store.user_links(&[user(1), user(2)]).await.unwrap_err(),
        store.all_user_links().await.unwrap_err(),
        store.link_user(&user(2), &link_to(2)).await.unwrap_err(),
        store.unlink_user(&user(2)).await.unwrap_err(),
    ] {
        assert!(!failure.is_retryable());
        assert!(failure.message.contains("user#00u2"), "{failure}");
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
}

/// A failure names the table and the setting, and whether waiting helps.
#[tokio::test]
async fn a_missing_table_is_named() {
    let (client, _) = servers::table().await;
    let store = DynamoDbStore::new(client, "no-such-table", Arc::new(ManualClock::at(START_MS)));
    for failure in [
        store.user_link(&user(1)).await.unwrap_err(),
        store.link_user(&user(1), &link_to(1)).await.unwrap_err(),
        store.all_user_links().await.unwrap_err(),
        store.user_links(&[user(1)]).await.unwrap_err(),
    ] {
        assert!(!failure.is_retryable(), "{failure}");
        let text = failure.to_string();
        assert!(
            text.contains("no-such-table") && text.contains("TABLE_NAME"),
            "{text}"
        );
    }
}

/// A server that is gone, or that answers nothing, is retryable, and within the limits.
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
