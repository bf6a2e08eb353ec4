//! How many calls a look costs, and how many of them run one after another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::provision::Policy;
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::wiring::dynamodb_table;
use okta_anypoint::worker::Pace;

use crate::queued::between::Between;
use crate::servers;
use crate::world::{APP, World, look_at_group, worker};

/// The delay of each call. It is far longer than the gap between two concurrent calls.
const LATENCY: Duration = Duration::from_millis(300);

/// When each call came and when it was answered.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(Instant, Instant)>>>);

impl Calls {
    fn of(world: &World) -> Self {
        let calls = Self::default();
        for traffic in [world.okta.traffic(), world.anypoint.traffic()] {
            let calls = calls.0.clone();
            traffic.on_request(move |request| {
                let (end, took) = (Instant::now(), Duration::from_millis(request.took_ms));
                calls.lock().unwrap().push((end - took, end));
            });
        }
        calls
    }

    /// The number of calls since the last time, and the longest chain in which each call began after the previous one
    /// had ended.
    fn take(&self) -> (usize, usize) {
        let mut calls = std::mem::take(&mut *self.0.lock().unwrap());
        calls.sort_by_key(|(_, end)| *end);
        let mut row: Vec<(Instant, Instant)> = Vec::new();
        for call in &calls {
            if row.last().is_none_or(|last| call.0 >= last.1) {
                row.push(*call);
            }
        }
        (calls.len(), row.len())
    }
}

const KEPT: okta_anypoint::settings::Retention = okta_anypoint::settings::Retention {
    event_days: 1,
    audit_days: 1,
};

#[tokio::test]
async fn a_new_user_in_a_team_costs_eight_calls_in_five_steps_and_an_unchanged_one_six_in_three() {
    let time = Duration::from_secs(60);
    let world = World::with_pace(Policy::default(), Pace::INLINE, time).await;
    let group = world.pushed_group("Devs").await;
    let ann = world.user("ann");
    world.okta_does(|okta| okta.assign(APP, &ann));
    let events = world.okta_does(|okta| okta.add_member(&group, &ann));
    world.ports.anypoint.warm_up(Deadline::within(time)).await;
    let calls = Calls::of(&world);
    for traffic in [world.okta.traffic(), world.anypoint.traffic()] {
        traffic.set_latency(LATENCY);
    }
    let counted: Vec<_> = events
        .into_iter()
        .filter(|event| event.event_type == "group.user_membership.add")
        .collect();
    assert_eq!(world.deliver(&counted).await, 204);
    assert_eq!(world.team("Devs"), "ann");
    let (made, in_a_row) = calls.take();
    assert!(made <= 8 && in_a_row <= 5, "{made} calls, {in_a_row} steps");

    world.look_again(&ann).await;
    let (made, in_a_row) = calls.take();
    assert!(made <= 6 && in_a_row <= 3, "{made} calls, {in_a_row} steps");
    assert!(made > 0);
}

#[tokio::test]
async fn a_new_team_costs_six_calls_and_an_unchanged_group_of_one_six() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let group = world.okta.world().create_group("Devs").unwrap().id;
    let mut events = world.okta_does(|okta| okta.assign_group(APP, &group));
    events.retain(|event| event.event_type.starts_with("group.application"));
    world.forget_traffic();
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.team("Devs"), "");
    assert_eq!(world.calls().len(), 6, "{:#?}", world.calls());

    world.when(|okta| okta.add_member(&group, &ann)).await;
    world.forget_traffic();
    look_at_group(&worker(&world.ports), &group).await;
    assert_eq!(world.team("Devs"), "ann");
    assert_eq!(world.calls().len(), 6, "{:#?}", world.calls());
    assert_eq!(world.writes().len(), 0);
}

/// A world on DynamoDB Local, and a counter of the calls to it.
async fn on_dynamodb(time: Duration) -> (World, Between) {
    let counter = Between::start(servers::dynamodb_url()).await;
    let (_, name) = servers::table().await;
    let sdk = servers::config(counter.url()).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let table = dynamodb_table(&sdk, &name, KEPT, &clock);
    let world = World::on(table, Policy::default(), Pace::INLINE, time).await;
    (world, counter)
}

/// Delivers `events` and returns the number of calls to the table, by operation and kind of item.
async fn table_calls(
    world: &World,
    counter: &Between,
    events: &[LogEvent],
) -> BTreeMap<String, usize> {
    counter.forget();
    world.forget_traffic();
    assert_eq!(world.deliver(events).await, 204);
    let mut calls = BTreeMap::new();
    for call in counter.calls() {
        let key = ["Key", "Item"].map(|place| call.body[place]["pk"]["S"].as_str());
        let kind = key.into_iter().flatten().next().unwrap_or("many#");
        let kind = kind.split('#').next().unwrap();
        *calls
            .entry(format!("{} {kind}", call.operation))
            .or_default() += 1;
    }
    calls
}

fn counted<const N: usize>(calls: [(&str, usize); N]) -> BTreeMap<String, usize> {
    calls.map(|(call, times)| (call.to_owned(), times)).into()
}

/// The cost of a change at the table. Without anything to do, the worker writes only the claim and the completion,
/// and the reads do not grow with the number of changes.
#[tokio::test]
async fn a_change_with_nothing_to_do_writes_only_its_claim_and_completion() {
    let (world, counter) = on_dynamodb(Duration::from_secs(60)).await;
    let group = world.pushed_group("Devs").await;
    let ann = world.user("ann");
    world.okta_does(|okta| okta.assign(APP, &ann));
    let mut entered = world.okta_does(|okta| okta.add_member(&group, &ann));
    entered.retain(|event| event.event_type == "group.user_membership.add");
    let calls = table_calls(&world, &counter, &entered).await;
    assert_eq!(world.team("Devs"), "ann");
    let expected = [
        ("BatchGetItem many", 3),
        ("TransactWriteItems many", 2),
        ("UpdateItem event", 1),
        ("UpdateItem lease", 2),
    ];
    assert_eq!(calls, counted(expected));

    for changes in [1, 20] {
        let hints: Vec<_> = (0..changes).map(|_| world.hint(&ann)).collect();
        let calls = table_calls(&world, &counter, &hints).await;
        let expected = [
            ("BatchGetItem many", 2),
            ("TransactWriteItems many", 1),
            ("UpdateItem event", changes),
            ("UpdateItem lease", 1),
        ];
        assert_eq!(calls, counted(expected));
        assert_eq!((world.calls().len(), world.writes().len()), (6, 0));
    }
}
