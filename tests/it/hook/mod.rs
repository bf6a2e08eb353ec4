//! The real `hook` binary under the Runtime API, without a queue: DynamoDB Local and both simulators
//! behind it. Contract §3, §4 and §5 from the outside.

mod failures;
mod shapes;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::simulator::traffic::Fault;
use serde_json::Value;

use crate::runtime_api::{Function, Lambda, Request};
use crate::servers;
use crate::world::{APP, SECRET, World};

struct Hook {
    world: World,
    lambda: Lambda,
    client: aws_sdk_dynamodb::Client,
    table: String,
}

fn environment(world: &World, table: &str) -> Vec<(&'static str, String)> {
    let mut environment = world.environment();
    let more = [
        ("HOOK_SECRET", SECRET),
        ("HOOK_SECRET_PREVIOUS", "previous-secret"),
        ("TABLE_NAME", table),
        ("AWS_ENDPOINT_URL_DYNAMODB", servers::dynamodb_url()),
        ("RUST_LOG", "trace"),
    ];
    environment.extend(more.map(|(name, value)| (name, value.to_owned())));
    environment
}

/// A request of Okta's hook.
fn delivery(world: &World, events: &[LogEvent]) -> Value {
    let body = world.okta.world().delivery(events).to_string();
    let request = Request::new("POST", "/okta").header("authorization", SECRET);
    request.body(body).http_api()
}

impl Hook {
    async fn new() -> Self {
        let world = World::new().await;
        let (client, table) = servers::table().await;
        let lambda = Lambda::start(Function::Hook, &environment(&world, &table)).await;
        lambda.ready(Duration::from_secs(20)).await.unwrap();
        Self {
            world,
            lambda,
            client,
            table,
        }
    }

    async fn ask(&self, event: Value) -> (u64, Value) {
        let answer = self
            .lambda
            .invoke(event, Duration::from_secs(10))
            .await
            .unwrap();
        (answer["statusCode"].as_u64().unwrap(), answer)
    }

    async fn deliver(&self, events: &[LogEvent]) -> u64 {
        self.ask(delivery(&self.world, events)).await.0
    }

    async fn record(&self, event: &LogEvent) -> HashMap<String, AttributeValue> {
        let record = self.item(&format!("event#{}", event.uuid)).await;
        record.unwrap()
    }

    async fn item(&self, pk: &str) -> Option<HashMap<String, AttributeValue>> {
        let key = AttributeValue::S(pk.to_owned());
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", key)
            .send()
            .await;
        answer.unwrap().item
    }
}

/// The status of a record, and one of its attributes.
fn status_and(record: &HashMap<String, AttributeValue>, name: &str) -> [String; 2] {
    [text(record, "status"), text(record, name)]
}

fn text(item: &HashMap<String, AttributeValue>, name: &str) -> String {
    match item.get(name) {
        Some(AttributeValue::S(text) | AttributeValue::N(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_leaves_the_records_of_the_contract() {
    let hook = Hook::new().await;
    let ann = hook.world.user("ann");
    let events = hook.world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(hook.deliver(&events).await, 204);
    assert_eq!(hook.world.account("ann"), "ann Example - enabled");

    let link = hook.item(&format!("user#{ann}")).await.unwrap();
    assert_eq!(text(&link, "anypoint_id"), hook.world.account_id("ann"));
    assert_eq!(
        (text(&link, "username"), text(&link, "origin")),
        ("ann".into(), "created".into())
    );

    let record = hook.record(&events[0]).await;
    assert_eq!(text(&record, "status"), "done");
    assert_eq!(
        text(&record, "event_type"),
        "application.user_membership.add"
    );
    assert_eq!(text(&record, "subject"), format!("user#{ann}"));
    assert_eq!(text(&record, "attempts"), "1");
    assert!(text(&record, "published").starts_with("20"));
    let left = text(&record, "expires_at").parse::<i64>().unwrap() - now_s();
    assert!((29 * 86_400..=30 * 86_400 + 60).contains(&left), "{left}");

    // A repeated delivery reads and writes nothing at Okta and Anypoint.
    hook.world.forget_traffic();
    assert_eq!(hook.deliver(&events).await, 204);
    assert_eq!(hook.world.calls(), Vec::<String>::new());

    // A permanent failure says what and why, and is acknowledged.
    hook.world
        .anypoint()
        .foreign_usernames
        .insert("bob".to_owned());
    let bob = hook.world.user("bob");
    let events = hook.world.okta_does(|okta| okta.assign(APP, &bob));
    assert_eq!(hook.deliver(&events).await, 204);
    let record = hook.record(&events[0]).await;
    assert_eq!(status_and(&record, "error_class"), ["failed", "permanent"]);
    assert!(text(&record, "error").contains("What to do"));
    assert!(hook.item(&format!("user#{bob}")).await.is_none());

    // A retryable one is a 503, and the retry heals it.
    let eve = hook.world.user("eve");
    let events = hook.world.okta_does(|okta| okta.assign(APP, &eve));
    hook.world
        .anypoint
        .traffic()
        .inject(Fault::status("/users", 503, ""));
    assert_eq!(hook.deliver(&events).await, 503);
    let record = hook.record(&events[0]).await;
    assert_eq!(status_and(&record, "error_class"), ["failed", "retryable"]);
    hook.world.anypoint.traffic().remove_all_faults();
    assert_eq!(hook.deliver(&events).await, 204);
    let record = hook.record(&events[0]).await;
    assert_eq!(status_and(&record, "attempts"), ["done", "2"]);
    assert!(!record.contains_key("error"));

    // Groups as well.
    let devs = hook.world.okta.world().create_group("Devs").unwrap().id;
    let mut events = hook.world.okta_does(|okta| okta.add_member(&devs, &ann));
    events.extend(hook.world.okta_does(|okta| okta.assign_group(APP, &devs)));
    assert_eq!(hook.deliver(&events).await, 204);
    assert_eq!(hook.world.team("Devs"), "ann");
    let link = hook.item(&format!("group#{devs}")).await.unwrap();
    assert_eq!(
        (text(&link, "team_name"), text(&link, "origin")),
        ("Devs".into(), "created".into())
    );

    // Whatever the level, no name, address, secret or token is in the output.
    let output = hook.lambda.output();
    assert!(output.contains("\"level\""), "nothing was logged");
    for planted in [
        "ann",
        "Example",
        "acme.example",
        SECRET,
        "simulated-okta-token",
        "simulated-secret",
    ] {
        let leaks: Vec<&str> = output
            .lines()
            .filter(|line| line.contains(planted) && !line.contains("anypoint"))
            .collect();
        assert!(leaks.is_empty(), "{planted}: {leaks:#?}");
    }
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
