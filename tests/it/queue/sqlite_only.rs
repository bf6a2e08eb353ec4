//! What the embedded queue does besides, and what a kill leaves.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::ManualClock;
use okta_anypoint::event::Change;
use okta_anypoint::queue::{Queue as _, Redelivery as _, SqliteQueue};
use okta_anypoint::sqlite::Database;

use super::{HIDDEN, World as _, change, received, sqlite, uuids};
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
    // The receipts of before are worth nothing now.
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
async fn forgets_uuids_after_five_minutes() {
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
async fn sets_messages_aside_that_come_back_too_often() {
    let world = sqlite().await;
    let sent = [change("user#00u1", 1), change("user#00u1", 2)];
    world.queue.send(&sent).await.unwrap();
    for count in 1..=3 {
        let messages = world.receive(1).await;
        assert_eq!(received(&messages), uuids([&sent[0]]));
        assert_eq!(messages[0].receive_count, count);
        assert_eq!(world.queue.depth().await.unwrap().dead, 0);
        world
            .queue
            .postpone(&messages[0].receipt, Duration::from_secs(30))
            .await
            .unwrap();
        world.clock.advance(30_000);
    }
    // The next of the subject takes its turn.
    let next = world.receive(10).await;
    assert_eq!(received(&next), uuids([&sent[1]]));
    assert_eq!(world.queue.depth().await.unwrap().dead, 1);
    // Only the one that was done in another way is forgotten, and only if it is set aside.
    world.queue.discard_dead(&sent[1].uuid).await.unwrap();
    assert_eq!(world.queue.depth().await.unwrap().dead, 1);
    world.queue.discard_dead(&sent[0].uuid).await.unwrap();
    assert_eq!(world.queue.depth().await.unwrap().dead, 0);
    world.delete(&next[0].receipt).await;
}

#[tokio::test]
async fn whoever_waits_is_woken() {
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
async fn knows_how_full_it_is() {
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
    assert_eq!(depth.oldest_age, Some(Duration::from_secs(5)));
    world.delete(&out[0].receipt).await;
    let depth = world.queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight), (2, 0));
    assert_eq!(depth.oldest_age, Some(Duration::ZERO));
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
            while world.queue.depth().await.unwrap().oldest_age.is_some() {
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

/// Set in the process that the test below starts from itself and kills, and nowhere else.
const VICTIM: &str = "OKTA_ANYPOINT_TEST_QUEUE_FILE";

/// Sends until it is killed. Says each uuid once it is durable.
async fn send_without_end(file: &std::path::Path) {
    use std::io::Write as _;
    let database = Database::open(file).unwrap();
    let queue = SqliteQueue::new(database, 3, Arc::new(ManualClock::at(START_MS)));
    for n in 0.. {
        let change = change(&format!("user#00u{n}"), n);
        queue.send(std::slice::from_ref(&change)).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "sent {}", change.uuid).unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    use std::io::{BufRead as _, BufReader};
    if let Some(file) = std::env::var_os(VICTIM) {
        return send_without_end(file.as_ref()).await;
    }
    let world = sqlite().await;
    let file = world.folder.path().join("queue.db");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "queue::sqlite_only::a_kill_loses_nothing_that_was_acknowledged",
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
