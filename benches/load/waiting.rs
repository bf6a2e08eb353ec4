//! How much `serve` does in a second while many messages wait in its file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use okta_anypoint::clock::SystemClock;
use okta_anypoint::event::Change;
use okta_anypoint::queue::{Queue as _, SqliteQueue};
use okta_anypoint::sqlite::Database;
use rusqlite::Connection;

use crate::rig::{LONG, Remotes};

/// How many messages wait, from one run to the next.
pub const WAITING: [u32; 4] = [1_000, 10_000, 100_000, 300_000];
/// This many of them are worked on, each about a user of its own who is to get an account.
const WORKED_ON: u32 = 1_000;

/// The result of one run.
#[derive(Debug)]
pub struct Waited {
    pub waiting: u32,
    /// From the start until [`WORKED_ON`] changes were done.
    pub took: Duration,
    pub peak_mib: u64,
    pub file_mib: u64,
}

impl Waited {
    pub fn each_second(&self) -> f64 {
        f64::from(WORKED_ON) / self.took.as_secs_f64()
    }
}

pub async fn run(waiting: u32) -> Waited {
    let remotes = Remotes::start().await;
    let mut first = Vec::new();
    for n in 0..WORKED_ON {
        let user = remotes.user(&format!("user{n}"));
        remotes.assign(&user);
        first.push(change(&user));
    }
    let rest: Vec<Change> = (WORKED_ON..waiting)
        .map(|n| change(&format!("00uWAITING{n}")))
        .collect();
    let database = Database::open(&remotes.data()).unwrap();
    let queue = SqliteQueue::new(database, Arc::new(SystemClock));
    for chunk in first.chunks(1_000).chain(rest.chunks(1_000)) {
        queue.send(chunk).await.unwrap();
        // The message that waits longest comes first, by the millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(queue);

    let serve = remotes.serve_deliveries_only();
    let begun = Instant::now();
    let file = Connection::open(remotes.data()).unwrap();
    let mut done = file
        .prepare("SELECT COUNT(*) FROM events WHERE status = 'done'")
        .unwrap();
    loop {
        let count: u32 = done.query_row([], |row| row.get(0)).unwrap();
        if count >= WORKED_ON {
            break;
        }
        assert!(begun.elapsed() < LONG * 10, "{count} done\n{}", serve.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Waited {
        waiting,
        took: begun.elapsed(),
        peak_mib: serve.peak_kib() / 1024,
        file_mib: std::fs::metadata(remotes.data()).unwrap().len() / 1024 / 1024,
    }
}

fn change(user: &str) -> Change {
    let subject = okta_anypoint::ids::Subject::User(user.parse().unwrap());
    Change {
        event_type: "application.user_membership.add".to_owned(),
        ..Change::found(subject, 0)
    }
}
