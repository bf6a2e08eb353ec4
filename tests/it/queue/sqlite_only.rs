//! What only the embedded queue does, and what a kill leaves behind.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::ManualClock;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Cause;
use okta_anypoint::queue::{Queue as _, Redelivery as _, SqliteQueue};
use okta_anypoint::sqlite::Database;

use super::{HIDDEN, Sqlite, World as _, change, received, sqlite, uuids};
use crate::ledger::START_MS;

#[tokio::test]
async fn hidden_messages_come_back_in_order() {
    let world = sqlite().await;
    let sent = [change("user#00u1", 1), change("user#00u1", 2)];
    world.queue.send(&sent).await.unwrap();
    let first = world.receive(10).await;
    assert_eq!(received(&first), uuids(&sent));
    world.clock.advance(59_999);
    assert!(world.receive(10).await.is_empty());
    world.clock.advance(1);
    let again = world.receive(10).await;
    assert_eq!(received(&again), uuids(&sent));
    // The earlier receipts are no longer valid.
    let delete =
        async |receipt: &String| world.queue.delete_all(vec![receipt.clone()]).await.unwrap();
    assert_eq!(delete(&first[0].receipt).await, 0);
    world
        .queue
        .postpone(&first[1].receipt, Duration::ZERO)
        .await
        .unwrap();
    assert!(world.receive(10).await.is_empty());
    world.delete(&again[0].receipt).await;
    world.delete(&again[1].receipt).await;
    assert_eq!(delete(&again[1].receipt).await, 0);
}

#[tokio::test]
async fn uuids_are_forgotten_after_five_minutes() {
    let world = sqlite().await;
    let sent = [change("user#00u1", 1)];
    world.queue.send(&sent).await.unwrap();
    let first = world.receive(10).await;
    world.delete(&first[0].receipt).await;
    world.clock.advance(299_999);
    world.queue.send(&sent).await.unwrap();
    assert!(world.receive(10).await.is_empty());
    world.clock.advance(1);
    world.queue.send(&sent).await.unwrap();
    assert_eq!(received(&world.receive(10).await), uuids(&sent));
}

#[tokio::test]
async fn dead_letters_do_not_come_back_or_block_others() {
    let world = sqlite().await;
    let sent = [change("user#00u1", 1), change("user#00u1", 2)];
    world.queue.send(&sent).await.unwrap();
    for count in 1..=12 {
        let messages = world.receive(1).await;
        assert_eq!(received(&messages), uuids([&sent[0]]));
        assert_eq!(messages[0].receive_count, count);
        let pause = Duration::from_secs(30);
        let postponed = world.queue.postpone(&messages[0].receipt, pause);
        postponed.await.unwrap();
        world.clock.advance(30_000);
    }
    let messages = world.receive(1).await;
    let receipt = &messages[0].receipt;
    world
        .queue
        .make_dead_letter("another".to_owned())
        .await
        .unwrap();
    assert_eq!(world.queue.depth().await.unwrap().dead, 0);
    world.queue.make_dead_letter(receipt.clone()).await.unwrap();
    // The next message of the subject is received.
    let next = world.receive(10).await;
    assert_eq!(received(&next), uuids([&sent[1]]));
    let depth = world.queue.depth().await.unwrap();
    assert_eq!((depth.dead, depth.in_flight, depth.waiting), (1, 1, 0));
    // Discarding removes only a dead letter, and only the one with this uuid and subject.
    let mut others = change("user#00u2", 1);
    others.uuid = sent[0].uuid.clone();
    for change in [&sent[1], &others] {
        world
            .queue
            .discard_dead_letter(change.uuid.as_str(), &change.subject.to_string())
            .await
            .unwrap();
        assert_eq!(world.queue.depth().await.unwrap().dead, 1);
    }
    world
        .queue
        .discard_dead_letter(sent[0].uuid.as_str(), &sent[0].subject.to_string())
        .await
        .unwrap();
    assert_eq!(world.queue.depth().await.unwrap().dead, 0);
    world.delete(&next[0].receipt).await;
    let depth = world.queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight, depth.dead), (0, 0, 0));
}

/// A sender with the secret could send a real event's uuid with another subject first.
#[tokio::test]
async fn a_uuid_is_remembered_together_with_its_subject() {
    let world = sqlite().await;
    let forged = change("user#00u1", 1);
    let mut real = change("user#00u2", 1);
    real.uuid = forged.uuid.clone();
    for change in [&forged, &real, &forged, &real] {
        let sent = world.queue.send(std::slice::from_ref(change));
        sent.await.unwrap();
    }
    assert_eq!(received(&world.receive(10).await), uuids([&forged, &real]));
}

#[tokio::test]
async fn a_full_queue_refuses_messages() {
    let world = sqlite().await;
    let queue = world.queue.clone().with_room_for(3);
    let sent: Vec<_> = (0..4).map(|n| change(&format!("user#00u{n}"), n)).collect();
    queue.send(&sent[..2]).await.unwrap();
    let refused = queue.send(&sent[2..]).await.unwrap_err();
    assert!(refused.is_retryable());
    assert_eq!(refused.cause, Cause::LimitReached);
    assert_eq!(
        world.queue.depth().await.unwrap().waiting,
        2,
        "all or nothing"
    );
    queue.send(&sent[2..3]).await.unwrap();
    assert!(queue.send(&sent[3..]).await.is_err());
    // Messages in work and dead letters make room when they are gone.
    let out = world.receive(1).await;
    assert!(queue.send(&sent[3..]).await.is_err());
    world
        .queue
        .make_dead_letter(out[0].receipt.clone())
        .await
        .unwrap();
    queue.send(&sent[3..]).await.unwrap();
    assert_eq!(received(&world.receive(10).await), uuids(&sent[1..]));
}

fn in_memory() -> Sqlite {
    let clock = Arc::new(ManualClock::at(START_MS));
    let database = Database::in_memory().unwrap();
    Sqlite {
        queue: SqliteQueue::new(database, clock.clone()),
        clock,
        folder: tempfile::tempdir().unwrap(),
    }
}

/// Sending, receiving, postponing and deleting do not touch waiting messages.
#[tokio::test(flavor = "multi_thread")]
async fn many_waiting_messages_slow_nothing_down() {
    let turn = async |waiting: usize| {
        // In memory, because disk time does not matter here.
        let world = in_memory();
        let ready = waiting / 2;
        for start in (0..waiting).step_by(1_000) {
            let chunk: Vec<_> = (start..start + 1_000.min(waiting))
                .map(|n| change(&format!("user#00u{n}"), n))
                .collect();
            world.queue.send(&chunk).await.unwrap();
            world.clock.advance(1);
        }
        // One half is postponed, and sorts before the other.
        let taken = world
            .queue
            .receive_subjects(ready, 1, HIDDEN)
            .await
            .unwrap();
        for message in taken.groups.iter().flatten() {
            let hour = Duration::from_secs(3_600);
            world.queue.postpone(&message.receipt, hour).await.unwrap();
        }
        let mut fastest = Duration::MAX;
        for n in 0..20 {
            let begun = std::time::Instant::now();
            let another = change(&format!("user#00uNEW{n}"), waiting + n);
            world.queue.send(&[another]).await.unwrap();
            let out = world.receive(2).await;
            assert_eq!(out.len(), 2);
            let pause = Duration::from_secs(30);
            world.queue.postpone(&out[0].receipt, pause).await.unwrap();
            world.delete(&out[1].receipt).await;
            world.queue.depth().await.unwrap();
            fastest = fastest.min(begun.elapsed());
        }
        fastest
    };
    let (few, many) = (turn(100).await, turn(20_000).await);
    println!("a turn with 100 waiting: {few:?}, with 20,000: {many:?}");
    assert!(many < few * 4, "{many:?} instead of {few:?}");
}

/// A subject with many messages is not passed over while others arrive, and does not delay them.
#[tokio::test]
async fn every_subject_has_its_turn() {
    let world = sqlite().await;
    let mut sent = Vec::new();
    for n in 0..6 {
        sent.push(change("user#00uBUSY", n));
        world.queue.send(&sent[n..]).await.unwrap();
        world.clock.advance(1_000);
    }
    let other = change("user#00u1", 10);
    world
        .queue
        .send(std::slice::from_ref(&other))
        .await
        .unwrap();
    let mut order = Vec::new();
    for n in 20..24 {
        world.clock.advance(1_000);
        // More messages of the busy subject must not push back itself or the other one.
        world
            .queue
            .send(&[change("user#00uBUSY", n)])
            .await
            .unwrap();
        let taken = world.queue.receive_subjects(1, 2, HIDDEN).await.unwrap();
        for message in taken.groups.into_iter().flatten() {
            order.push(message.change.uuid.to_string());
            world.delete(&message.receipt).await;
        }
    }
    let expected = uuids([&sent[0], &sent[1], &other, &sent[2], &sent[3]]);
    assert_eq!(order[..5], expected);
}

#[tokio::test]
async fn a_waiting_receiver_is_woken() {
    let world = sqlite().await;
    let long = Duration::from_secs(60);
    let begun = std::time::Instant::now();
    // Sent before the wait.
    world.queue.send(&[change("user#00u1", 1)]).await.unwrap();
    world.queue.wait(long).await;
    // Sent during the wait.
    let queue = world.queue.clone();
    let waiting = tokio::spawn(async move { queue.wait(long).await });
    tokio::task::yield_now().await;
    world.queue.send(&[change("user#00u2", 2)]).await.unwrap();
    waiting.await.unwrap();
    assert!(begun.elapsed() < long / 2);
    world.queue.wait(Duration::from_millis(1)).await;
}

#[tokio::test]
async fn the_queue_reports_how_full_it_is() {
    let world = sqlite().await;
    assert_eq!(world.queue.depth().await.unwrap(), Default::default());
    world.queue.send(&[change("user#00u1", 1)]).await.unwrap();
    world.clock.advance(5_000);
    world
        .queue
        .send(&[change("user#00u2", 2), change("user#00u3", 3)])
        .await
        .unwrap();
    let out = world.receive(1).await;
    let depth = world.queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight, depth.dead), (2, 1, 0));
    assert_eq!(depth.oldest_age_ms, Some(5_000));
    world.delete(&out[0].receipt).await;
    let depth = world.queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight), (2, 0));
    assert_eq!(depth.oldest_age_ms, Some(0));
}

#[tokio::test]
async fn workers_never_share_a_subject() {
    let world = Arc::new(sqlite().await);
    let sent: Vec<_> = (0..60)
        .map(|n| change(&format!("user#00u{}", n % 5), n))
        .collect();
    world.queue.send(&sent).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    for _ in 0..6 {
        let (world, seen) = (world.clone(), seen.clone());
        tasks.spawn(async move {
            while world.queue.depth().await.unwrap().oldest_age_ms.is_some() {
                let taken = world.queue.receive_subjects(1, 3, HIDDEN).await.unwrap();
                for message in taken.groups.into_iter().flatten() {
                    seen.lock().unwrap().push(message.change.clone());
                    tokio::task::yield_now().await;
                    world.delete(&message.receipt).await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let all = tokio::time::timeout(Duration::from_secs(30), tasks.join_all()).await;
    let seen = seen.lock().unwrap();
    assert!(all.is_ok(), "stuck after {} messages", seen.len());
    assert_eq!(seen.len(), 60);
    for n in 0..5 {
        let of = |change: &&Change| change.subject.to_string() == format!("user#00u{n}");
        assert_eq!(uuids(seen.iter().filter(of)), uuids(sent.iter().filter(of)));
    }
}

/// Set only in the child process that the test below starts and kills.
const VICTIM: &str = "OKTA_ANYPOINT_TEST_QUEUE_FILE";

/// Sends until it is killed. Prints each uuid once it is durable.
async fn send_without_end(file: &std::path::Path) {
    use std::io::Write as _;
    let database = Database::open(file).unwrap();
    let queue = SqliteQueue::new(database, Arc::new(ManualClock::at(START_MS)));
    for n in 0.. {
        let change = change(&format!("user#00u{n}"), n);
        queue.send(std::slice::from_ref(&change)).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "sent {}", change.uuid).unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn a_kill_loses_no_acknowledged_message() {
    use std::io::{BufRead as _, BufReader};
    if let Some(file) = std::env::var_os(VICTIM) {
        return send_without_end(file.as_ref()).await;
    }
    let world = sqlite().await;
    let file = world.folder.path().join("queue.db");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "queue::sqlite_only::a_kill_loses_no_acknowledged_message",
            "--nocapture",
        ])
        .env(VICTIM, &file)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        if let Some((_, uuid)) = line.split_once("sent ") {
            acknowledged.push(uuid.to_owned());
        }
        if acknowledged.len() == 50 {
            victim.kill().unwrap();
        }
    }
    victim.wait().unwrap();
    assert!(acknowledged.len() >= 50);
    let there = received(&world.receive(usize::MAX).await);
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|uuid| !there.contains(uuid))
        .collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}
