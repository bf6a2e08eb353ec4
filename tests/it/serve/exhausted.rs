//! An event that always crashes the program does not do so forever, and its record says what happened.

use std::time::Duration;

use rusqlite::Connection;

use super::file::ran;
use super::{Remotes, eventually};

/// The number of claims of the only event.
fn claims(file: &Connection) -> i64 {
    let sql = "SELECT COALESCE(MAX(attempts), 0) FROM events";
    file.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_crashes_the_program_ten_times_is_recorded_as_failed() {
    let remotes = Remotes::start().await;
    let traffic = remotes.anypoint.traffic();
    traffic.set_latency(Duration::from_secs(30));
    let mut serve = remotes.serve_deliveries_only();
    let user = remotes.user("ada");
    let events = remotes.assign(&user);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    let file = Connection::open(remotes.data()).unwrap();
    for kills in 1..=10 {
        eventually("the event is claimed", || claims(&file) == kills).await;
        serve.kill();
        serve = remotes.serve_deliveries_only();
    }
    let uuid = events[0].uuid.as_str();
    let record = || {
        let sql = "SELECT status || ' ' || error_class FROM events WHERE id = ?1";
        file.query_row(sql, [uuid], |row| row.get::<_, String>(0))
            .ok()
    };
    let failed = Some("failed permanent".to_owned());
    eventually("the ledger says that it failed", || record() == failed).await;
    serve.settled(&remotes).await;
    let log = serve.log();
    let said = |line: &&str| line.contains("runs in a row died") && line.contains(uuid);
    assert_eq!(log.lines().filter(said).count(), 1, "{log}");
    let (code, listed) = ran(&remotes, &["events", "--failed", "--wide"]);
    assert_eq!(code, 0, "{listed}");
    assert!(listed.contains(uuid), "{listed}");
    assert!(listed.contains("10 runs in a row died"), "{listed}");

    // Its subject is free for other events, and the event can be replayed.
    traffic.set_latency(Duration::ZERO);
    let (code, text) = ran(&remotes, &["replay", uuid]);
    assert_eq!(code, 0, "{text}");
    assert!(remotes.has_account("ada"));
    assert_eq!(serve.overview(&remotes).await["queue"]["dead"], 0);
}

/// An event that failed each time keeps the reason of its failure. An outage of a weekend is not that long.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_failed_a_hundred_times_keeps_its_reason() {
    let remotes = Remotes::start().await;
    let traffic = remotes.anypoint.traffic();
    traffic.set_latency(Duration::from_secs(30));
    let mut serve = remotes.serve_deliveries_only();
    let user = remotes.user("ada");
    let events = remotes.assign(&user);
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    let file = Connection::open(remotes.data()).unwrap();
    let is_claimed = || {
        let sql = "SELECT COUNT(*) FROM events WHERE status = 'in_progress'";
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 1
    };
    eventually("it is claimed", is_claimed).await;
    serve.kill();
    // As after ninety-nine more attempts in two days.
    file.execute_batch(
        "UPDATE messages SET receive_count = 100;
         UPDATE events SET status = 'failed', error_class = 'retryable', error = 'no answer',
         owner = NULL, lease_until_ms = NULL",
    )
    .unwrap();
    let serve = remotes.serve_deliveries_only();
    eventually("it is a dead letter", || {
        let sql = "SELECT COUNT(*) FROM messages WHERE dead = 1";
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 1
    })
    .await;
    serve.settled(&remotes).await;
    let (_, listed) = ran(&remotes, &["events", "--failed", "--wide"]);
    assert!(listed.contains(&events[0].uuid), "{listed}");
    assert!(
        listed.contains("no answer") && listed.contains("retryable"),
        "{listed}"
    );
    assert!(
        serve.log().contains("a message is a dead letter now"),
        "{}",
        serve.log()
    );
}

/// The clock is set back by a day while the program is stopped. A postponed message does not wait for that day to pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_postponed_message_does_not_wait_for_a_clock_set_back() {
    let remotes = Remotes::start().await;
    let serve = remotes.serve_deliveries_only();
    let user = remotes.user("ada");
    let events = remotes.assign(&user);
    remotes
        .anypoint
        .traffic()
        .set_latency(Duration::from_secs(30));
    assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    let file = Connection::open(remotes.data()).unwrap();
    eventually("the event is claimed", || claims(&file) == 1).await;
    drop(serve);
    file.execute_batch(
        "UPDATE messages SET postponed = 1, visible_at_ms = visible_at_ms + 86400000;
         DELETE FROM events",
    )
    .unwrap();
    remotes.anypoint.traffic().set_latency(Duration::ZERO);
    let serve = remotes.serve_deliveries_only();
    eventually("the account", || remotes.has_account("ada")).await;
    serve.settled(&remotes).await;
    assert!(
        serve.log().contains("the clock went back"),
        "{}",
        serve.log()
    );
}
