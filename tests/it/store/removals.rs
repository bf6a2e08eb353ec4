//! The count of people who lost access within the last hour.

use super::World;

on_every!(
    store [dynamodb, sqlite]
    removals_from_before_a_clock_was_set_back_do_not_count,
);

const MINUTE_MS: i64 = 60_000;

async fn removals_from_before_a_clock_was_set_back_do_not_count(world: World) {
    let people = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let count = async |names: &[&str], minute: i64| {
        let at_ms = 600 * MINUTE_MS + minute * MINUTE_MS;
        let counted = world.documents.count_removals(&people(names), at_ms).await;
        let counted = counted.unwrap();
        (counted.total, counted.newly)
    };
    assert_eq!(count(&["a", "b"], 50).await, (2, people(&["a", "b"])));
    // The clock is set back by 45 minutes.
    assert_eq!(count(&["c"], 5).await, (1, people(&["c"])));
    assert_eq!(count(&["a"], 6).await, (2, people(&["a"])));
    assert_eq!(count(&["a", "c"], 7).await, (2, people(&[])));
    // Clocks of two machines differ a little.
    assert_eq!(count(&["d"], 6).await, (3, people(&["d"])));
    assert_eq!(count(&["e"], 15).await, (4, people(&["e"])));
}
