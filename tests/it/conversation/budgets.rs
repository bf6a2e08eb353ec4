//! How many calls a look costs, and how many of them wait for one another.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use okta_anypoint::deadline::Deadline;
use okta_anypoint::provision::Policy;
use okta_anypoint::worker::Pace;

use crate::world::{APP, World};

/// On each call: far longer than what lies between two calls that are made at once.
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

    /// How many were made since the last time, and the longest row of them in which each began after
    /// the one before had ended.
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

#[tokio::test]
async fn a_new_user_in_a_team_costs_eight_calls_in_five_steps_and_an_unchanged_one_six_in_three() {
    let time = Duration::from_secs(60);
    let world = World::with_pace(Policy::default(), Pace::INLINE, time).await;
    let group = world.pushed_group("Devs").await;
    let ann = world.user("ann");
    world.okta_does(|okta| okta.assign(APP, &ann));
    let events = world.okta_does(|okta| okta.add_member(&group, &ann));
    world
        .provisioner
        .anypoint
        .warm_up(Deadline::within(time))
        .await;
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
    world.done();
}
