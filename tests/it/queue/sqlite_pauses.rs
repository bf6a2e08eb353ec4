//! How long the embedded queue holds a message back: a new message ends the pause, and so does a clock that jumps.

use std::time::Duration;

use okta_anypoint::queue::{Queue as _, Redelivery as _};

use super::{HIDDEN, World as _, change, received, sqlite, uuids};
use crate::ledger::START_MS;

/// A new message ends the pauses of its subject's other messages, and of no other subject. Those receives do not count.
#[tokio::test]
async fn a_new_message_ends_the_pauses_of_its_subject() {
    let world = sqlite().await;
    let sent = [
        change("user#00u1", 1),
        change("user#00u1", 2),
        change("user#00u2", 3),
    ];
    let pause = Duration::from_secs(1_800);
    world.queue.send(&sent).await.unwrap();
    for message in world.receive(10).await {
        let receipt = message.receipt;
        let taken_ms = START_MS;
        let hidden = world.queue.back_off(receipt, pause, taken_ms);
        hidden.await.unwrap();
    }
    world.clock.advance(1_000);
    // A repeated uuid is not a new message.
    world.queue.send(&sent[..1]).await.unwrap();
    assert!(world.receive(10).await.is_empty());
    let removal = change("user#00u1", 4);
    world
        .queue
        .send(std::slice::from_ref(&removal))
        .await
        .unwrap();
    let messages = world.receive(10).await;
    assert_eq!(received(&messages), uuids([&sent[0], &sent[1], &removal]));
    assert!(messages.iter().all(|message| message.receive_count == 1));
    // It is in work. A further message does not show it to another worker.
    world.queue.send(&[change("user#00u1", 5)]).await.unwrap();
    assert!(world.receive(10).await.is_empty());
}

/// A message that arrives while the others are in work ends their next pause, once.
#[tokio::test]
async fn a_message_that_came_meanwhile_ends_the_next_pause_once() {
    let world = sqlite().await;
    let sent = [change("user#00u1", 1), change("user#00u1", 2)];
    let pause = Duration::from_secs(1_800);
    world.queue.send(&sent).await.unwrap();
    let out = world.receive(10).await;
    world.clock.advance(1_000);
    let removal = change("user#00u1", 3);
    world
        .queue
        .send(std::slice::from_ref(&removal))
        .await
        .unwrap();
    for message in out {
        let hidden = world.queue.back_off(message.receipt, pause, START_MS);
        hidden.await.unwrap();
    }
    let out = world.receive(10).await;
    assert_eq!(received(&out), uuids([&sent[0], &sent[1], &removal]));
    let taken_ms = START_MS + 1_000;
    // A message that stayed in the queue is not new, so there is no loop.
    for message in out {
        let hidden = world.queue.back_off(message.receipt, pause, taken_ms);
        hidden.await.unwrap();
    }
    assert!(world.receive(10).await.is_empty());
    world.clock.advance(1_799_999);
    assert!(world.receive(10).await.is_empty());
    world.clock.advance(1);
    let out = world.receive(10).await;
    assert_eq!(out.len(), 3);
    let counts: Vec<u32> = out.iter().map(|message| message.receive_count).collect();
    assert_eq!(counts, [2, 2, 2]);
}

/// More messages than one receive returns. The remaining ones are not new, either.
#[tokio::test]
async fn messages_beyond_one_receive_do_not_end_pauses() {
    let world = sqlite().await;
    let sent = [1, 2, 3].map(|n| change("user#00u1", n));
    world.queue.send(&sent).await.unwrap();
    world.clock.advance(1);
    let taken = world.queue.receive_subjects(1, 2, HIDDEN).await.unwrap();
    for message in taken.groups.into_iter().flatten() {
        let pause = Duration::from_secs(30);
        let hidden = world.queue.back_off(message.receipt, pause, START_MS + 1);
        hidden.await.unwrap();
    }
    assert!(world.receive(10).await.is_empty());
}

const DAY_MS: i64 = 24 * 3_600_000;

/// The clock is set back by a day. No message waits for that day to pass.
#[tokio::test]
async fn a_clock_set_back_hides_no_message() {
    let world = sqlite().await;
    let sent: Vec<_> = (1..=4)
        .map(|n| change(&format!("user#00u{n}"), n))
        .collect();
    world.queue.send(&sent[..3]).await.unwrap();
    let out = world.receive(2).await;
    let hour = Duration::from_secs(3_600);
    world.queue.postpone(&out[0].receipt, hour).await.unwrap();
    world.clock.advance(-DAY_MS);
    // Valid times are not cut, so this finds all three.
    assert_eq!(world.queue.cut_times(HIDDEN).await.unwrap(), 3);
    assert_eq!(world.queue.cut_times(HIDDEN).await.unwrap(), 0);
    world.queue.send(&sent[3..]).await.unwrap();
    let out = world.receive(10).await;
    assert_eq!(out.len(), 4);
    assert_eq!(world.queue.cut_times(HIDDEN).await.unwrap(), 0);
    // Earlier messages are remembered for five minutes, not for a day.
    let done = out
        .iter()
        .find(|message| message.change.uuid == sent[0].uuid);
    world.delete(&done.unwrap().receipt).await;
    world.clock.advance(5 * 60_000);
    world.queue.send(&sent[..1]).await.unwrap();
    let depth = world.queue.depth().await.unwrap();
    assert_eq!(depth.waiting, 4);
}

/// Half an hour is less than the longest pause, so only the step says how long a pause is now.
#[tokio::test]
async fn a_clock_set_back_by_a_known_step_lengthens_no_pause() {
    const STEP_MS: i64 = 1_800_000;
    let world = sqlite().await;
    let sent = [1, 2, 3].map(|n| change(&format!("user#00u{n}"), n));
    world.queue.send(&sent).await.unwrap();
    let out = world.receive(2).await;
    let pause = Duration::from_secs(60);
    world.queue.postpone(&out[0].receipt, pause).await.unwrap();
    world.clock.advance(20_000 - STEP_MS);
    world.queue.set_back(STEP_MS).await.unwrap();
    assert_eq!(world.queue.cut_times(HIDDEN).await.unwrap(), 0);
    // The third one never waited.
    assert_eq!(received(&world.receive(10).await), uuids(&sent[2..]));
    // The postponed one and the one in flight: exactly the time that was left.
    world.clock.advance(39_999);
    assert!(world.receive(10).await.is_empty());
    world.clock.advance(1);
    assert_eq!(received(&world.receive(10).await), uuids(&sent[..2]));
}

/// Catch-up sends a failing event again, long after the queue forgot its uuid.
#[tokio::test]
async fn another_copy_of_a_queued_change_is_dropped_and_ends_no_pause() {
    let world = sqlite().await;
    let sent = [change("user#00u1", 1), change("user#00u1", 2)];
    world.queue.send(&sent).await.unwrap();
    for message in world.receive(10).await {
        let pause = Duration::from_secs(1_800);
        let hidden = world.queue.back_off(message.receipt, pause, START_MS);
        hidden.await.unwrap();
    }
    for _ in 0..3 {
        world.clock.advance(400_000);
        world.queue.send(&sent).await.unwrap();
        assert!(world.receive(10).await.is_empty(), "the pause lasts");
    }
    assert_eq!(world.queue.depth().await.unwrap().waiting, 2);
    world.clock.advance(600_000);
    let out = world.receive(10).await;
    assert_eq!(received(&out), uuids(&sent));
    // A dead letter is not queued any more.
    let dead = out[0].receipt.clone();
    world.queue.make_dead_letter(dead).await.unwrap();
    world.delete(&out[1].receipt).await;
    world.queue.send(&sent[..1]).await.unwrap();
    assert_eq!(received(&world.receive(10).await), uuids(&sent[..1]));
}

#[tokio::test]
async fn a_clock_set_forward_loses_no_message() {
    let world = sqlite().await;
    let sent: Vec<_> = (1..=3)
        .map(|n| change(&format!("user#00u{n}"), n))
        .collect();
    world.queue.send(&sent).await.unwrap();
    let out = world.receive(2).await;
    let pause = Duration::from_secs(600);
    world.queue.postpone(&out[0].receipt, pause).await.unwrap();
    world.clock.advance(DAY_MS);
    assert_eq!(world.queue.cut_times(HIDDEN).await.unwrap(), 0);
    assert_eq!(world.receive(10).await.len(), 3);
    world.clock.advance(-DAY_MS);
    assert_eq!(world.queue.cut_times(HIDDEN).await.unwrap(), 3);
    assert_eq!(world.receive(10).await.len(), 3);
}
