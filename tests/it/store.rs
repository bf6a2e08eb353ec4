//! What every store owes its callers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use okta_anypoint::clock::ManualClock;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::{
    AgreedProfile, DynamoDbStore, Linked, Origin, SqliteStore, Store, Stored, TeamLink, Tenure,
    UserLink,
};

use crate::ledger::START_MS;
use crate::servers;

const DAY_MS: i64 = 86_400_000;

struct World {
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    _folder: Option<tempfile::TempDir>,
}

async fn dynamodb() -> World {
    let (client, table) = servers::table().await;
    let clock = Arc::new(ManualClock::at(START_MS));
    World {
        store: Arc::new(DynamoDbStore::new(client, table, clock.clone())),
        clock,
        _folder: None,
    }
}

async fn sqlite() -> World {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("store.db")).unwrap();
    let clock = Arc::new(ManualClock::at(START_MS));
    World {
        store: Arc::new(SqliteStore::new(database, clock.clone())),
        clock,
        _folder: Some(folder),
    }
}

macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        on_every_store!(@ dynamodb: $($test),+);
        on_every_store!(@ sqlite: $($test),+);
    };
    (@ $adapter:ident: $($test:ident),+) => {
        mod $adapter {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    super::$test(super::$adapter().await).await;
                }
            )+
        }
    };
}

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
    a_team_belongs_to_one_group,
    another_team_frees_the_first,
    hundreds_of_keys_in_one_question,
    lists_hold_their_kind_only,
    lists_go_on_past_a_page,
    documents_are_written_by_one_of_many,
    missing_reverse_entries_are_repaired,
    two_users_at_once_get_one_account,
    one_user_linked_twice_at_once,
);

fn user(n: usize) -> OktaUserId {
    OktaUserId::parse(format!("00u{n}")).unwrap()
}

fn group(n: usize) -> OktaGroupId {
    OktaGroupId::parse(format!("00g{n}")).unwrap()
}

fn account(n: usize) -> AccountId {
    AccountId::parse(format!("acc-{n}")).unwrap()
}

fn team(n: usize) -> TeamId {
    TeamId::parse(format!("team-{n}")).unwrap()
}

fn link_to(n: usize) -> UserLink {
    UserLink {
        anypoint_id: account(n),
        username: format!("name{n}"),
        origin: Origin::Created,
        agreed: None,
    }
}

fn team_link(n: usize) -> TeamLink {
    TeamLink {
        team_id: team(n),
        team_name: format!("Team {n}"),
        origin: Origin::Adopted,
    }
}

impl World {
    async fn link(&self, u: usize, a: usize) -> Linked<OktaUserId> {
        self.store.link_user(&user(u), &link_to(a)).await.unwrap()
    }

    async fn owner(&self, a: usize) -> Option<(OktaUserId, Tenure)> {
        let mut owners = self.store.account_owners(&[account(a)]).await.unwrap();
        owners
            .remove(&account(a))
            .map(|owner| (owner.okta_user, owner.tenure))
    }

    async fn team_owner(&self, t: usize) -> Option<OktaGroupId> {
        self.store
            .team_owners(&[team(t)])
            .await
            .unwrap()
            .remove(&team(t))
    }

    async fn account_of(&self, u: usize) -> Option<AccountId> {
        let link = self.store.user_link(&user(u)).await.unwrap();
        link.map(|link| link.anypoint_id)
    }
}

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
        .intend_account(&user(2), "wanted")
        .await
        .unwrap();
    assert_eq!(world.link(2, 1).await, Linked::TakenBy(user(1)));
    assert_eq!(world.account_of(2).await, Some(account(2)));
    assert_eq!(world.owner(2).await, Some((user(2), Tenure::Current)));
    let intent = world.store.intended_account(&user(2)).await.unwrap();
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
    assert_eq!(store.intended_account(&user(1)).await.unwrap(), None);
    store.intend_account(&user(1), "first").await.unwrap();
    store.intend_account(&user(1), "second").await.unwrap();
    store.intend_account(&user(2), "other").await.unwrap();
    let intent = store.intended_account(&user(1)).await.unwrap();
    assert_eq!(intent.as_deref(), Some("second"));
    world.link(1, 1).await;
    assert_eq!(store.intended_account(&user(1)).await.unwrap(), None);
    assert!(store.intended_account(&user(2)).await.unwrap().is_some());
    store.forget_intent(&user(2)).await.unwrap();
    store.forget_intent(&user(2)).await.unwrap();
    assert_eq!(store.intended_account(&user(2)).await.unwrap(), None);
}

async fn an_intent_does_not_last(world: World) {
    world.store.intend_account(&user(1), "name").await.unwrap();
    world.link(2, 2).await;
    world.clock.advance(7 * DAY_MS - 1_000);
    assert!(
        world
            .store
            .intended_account(&user(1))
            .await
            .unwrap()
            .is_some()
    );
    world.clock.advance(1_000);
    assert_eq!(world.store.intended_account(&user(1)).await.unwrap(), None);
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

async fn hundreds_of_keys_in_one_question(world: World) {
    let users: HashMap<_, _> = (0..230).map(|n| (user(n), link_to(n))).collect();
    for n in 0..230 {
        assert_eq!(world.link(n, n).await, Linked::Written);
    }
    // Absent ones between, and one named twice.
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

async fn lists_hold_their_kind_only(world: World) {
    world.link(1, 1).await;
    world
        .store
        .link_team(&group(1), &team_link(1))
        .await
        .unwrap();
    world
        .store
        .link_team(&group(2), &team_link(2))
        .await
        .unwrap();
    world.store.intend_account(&user(5), "x").await.unwrap();
    world.store.put_document("cursor", "{}", 0).await.unwrap();
    let users = world.store.all_user_links().await.unwrap();
    assert_eq!(users, HashMap::from([(user(1), link_to(1))]));
    let teams = HashMap::from([(group(1), team_link(1)), (group(2), team_link(2))]);
    assert_eq!(world.store.all_team_links().await.unwrap(), teams);
    let some = world.store.team_links(&[group(2), group(3)]).await.unwrap();
    assert_eq!(some, HashMap::from([(group(2), team_link(2))]));
}

/// DynamoDB answers a scan with at most 1 MiB a page.
async fn lists_go_on_past_a_page(world: World) {
    let big = "x".repeat(300_000);
    for n in 0..30 {
        let name = format!("report-{n}");
        world.store.put_document(&name, &big, 0).await.unwrap();
        world.link(n, n).await;
    }
    assert_eq!(world.store.all_user_links().await.unwrap().len(), 30);
}

async fn documents_are_written_by_one_of_many(world: World) {
    let store = &world.store;
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
        let store = store.clone();
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
        // What exists is left alone.
        assert_eq!(world.owner(1).await, Some((user(1), Tenure::Former)));
        assert_eq!(world.owner(2).await, Some((user(1), Tenure::Current)));
        for n in [3, 77, 150] {
            assert_eq!(world.owner(n).await, Some((user(n), Tenure::Current)));
        }
        assert_eq!(world.team_owner(3).await, Some(group(3)));
    }
    assert_eq!(world.link(200, 77).await, Linked::TakenBy(user(77)));
}

async fn two_users_at_once_get_one_account(world: World) {
    for round in 0..5 {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..10 {
            let store = world.store.clone();
            let user = user(round * 10 + n);
            tasks.spawn(async move {
                let linked = store.link_user(&user, &link_to(round)).await.unwrap();
                (user, linked)
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

/// Whatever the order, the link and the reverse entries agree in the end.
async fn one_user_linked_twice_at_once(world: World) {
    for round in 0..5 {
        let mut tasks = tokio::task::JoinSet::new();
        for a in 0..4 {
            let store = world.store.clone();
            tasks.spawn(async move {
                store
                    .link_user(&user(round), &link_to(round * 10 + a))
                    .await
                    .unwrap()
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
    store.intend_account(&user(2), "x").await.unwrap();
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
            "expires_at={} pk=intent#00u2 username=x",
            START_MS / 1000 + 7 * 86_400
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

/// A made-by-hand link without a reverse entry can be changed, removed and repaired like any other.
#[tokio::test]
async fn a_link_made_by_hand_works() {
    let (client, table) = servers::table().await;
    let world = World {
        clock: Arc::new(ManualClock::at(START_MS)),
        store: Arc::new(DynamoDbStore::new(
            client.clone(),
            &table,
            Arc::new(ManualClock::at(START_MS)),
        )),
        _folder: None,
    };
    let by_hand = async |u: &str, a: &str| {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let put = client.put_item().table_name(&table);
        put.item("pk", text(&format!("user#{u}")))
            .item("anypoint_id", text(a))
            .item("username", text("name"))
            .item("origin", text("adopted"))
            .send()
            .await
            .unwrap();
    };
    by_hand("00u1", "acc-1").await;
    assert_eq!(world.link(1, 2).await, Linked::Written);
    assert_eq!(world.owner(1).await, Some((user(1), Tenure::Former)));
    by_hand("00u3", "acc-3").await;
    world.store.unlink_user(&user(3)).await.unwrap();
    assert_eq!(world.account_of(3).await, None);
    // Two users on one account: the reverse entry's owner keeps it, the other can be moved away.
    assert_eq!(world.link(4, 4).await, Linked::Written);
    by_hand("00u5", "acc-4").await;
    assert_eq!(world.link(5, 5).await, Linked::Written);
    assert_eq!(world.owner(4).await, Some((user(4), Tenure::Current)));
    by_hand("00u6", "acc-4").await;
    world.store.unlink_user(&user(6)).await.unwrap();
    assert_eq!(world.account_of(6).await, None);
    assert_eq!(world.owner(4).await, Some((user(4), Tenure::Current)));
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
