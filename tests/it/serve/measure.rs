//! Puts a load on the running program and measures the result. The tests run a little, the bench a lot.

use std::collections::{HashMap, HashSet};
use std::iter::Sum;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use okta_anypoint::simulator::okta::LogEvent;
use rusqlite::Connection;

use super::rig::{LONG, Remotes, Serve};

/// Events of one delivery.
pub const EACH: usize = 10;
/// Concurrent deliveries, in a burst and at a steady pace.
pub const AT_ONCE: usize = 16;

/// How the events are sent.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// As fast as they are accepted.
    Burst,
    /// So many events a second.
    Steady(usize),
    /// As fast as they are accepted, while another process locks the file for this long, and until a delivery was refused.
    BurstOnHeldFile(Duration),
}

/// The result of a load.
#[derive(Debug)]
pub struct Figures {
    pub events: usize,
    /// From the first delivery to the last 204.
    pub taken: Duration,
    /// The slowest single answer.
    pub slowest: Duration,
    /// From the first delivery until the queue was empty.
    pub worked_off: Duration,
    /// Messages that waited when the last delivery was accepted.
    pub backlog: u64,
    /// Answers with 503. Their deliveries were sent again.
    pub refused: usize,
    /// Those of them whose write was under way at the end of the answer time, and succeeded later. On a slow disk there
    /// are some: the sender repeats the delivery, and its events are known.
    pub refused_and_recorded: usize,
    pub lost: usize,
    /// Accounts created or mails sent more than once.
    pub doubled: usize,
    /// Users whose account differs from Okta.
    pub wrong: usize,
    pub peak_mib: u64,
}

impl Figures {
    /// Everything lost, duplicated or wrong.
    pub fn faults(&self) -> usize {
        self.lost + self.doubled + self.wrong
    }
}

/// Assigns users and then renames them. Returns the events.
pub fn due(remotes: &Remotes, users: usize) -> Vec<LogEvent> {
    let mut due = Vec::with_capacity(users * 2);
    for n in 0..users {
        let user = remotes.user(&format!("user{n}"));
        due.extend(remotes.assign(&user));
        let renamed = [("lastName", format!("Name{n}").into())];
        let mut okta = remotes.okta.world();
        due.extend(okta.update_profile(&user, &renamed).unwrap());
    }
    due
}

/// Half as many users as events, because each is assigned and then renamed.
pub async fn run(events: usize, load: Load) -> Figures {
    let remotes = Remotes::start().await;
    let users = events / 2;
    let due = due(&remotes, users);
    assert_eq!(due.len(), events);
    let serve = remotes.serve_deliveries_only();
    // It listens before it resumes the work of an earlier process.
    ready(&remotes, &serve).await;
    let file = Connection::open(remotes.data()).unwrap();

    let some_refused = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let held = match load {
        Load::BurstOnHeldFile(time) => Some(hold(&remotes, time, &some_refused)),
        Load::Burst | Load::Steady(_) => None,
    };
    let mut deliveries = Vec::new();
    for (number, chunk) in due.chunks(EACH).enumerate() {
        let at = match load {
            Load::Steady(each_second) => {
                Duration::from_secs_f64((number * EACH) as f64 / each_second as f64)
            }
            Load::Burst | Load::BurstOnHeldFile(_) => Duration::ZERO,
        };
        deliveries.push(until_taken(
            &remotes,
            &serve,
            &file,
            chunk,
            begun + at,
            &some_refused,
        ));
    }
    let sent: Vec<Sent> = futures_util::stream::iter(deliveries)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let taken = begun.elapsed();
    let sent: Sent = sent.into_iter().sum();
    let backlog = waiting(&serve, &remotes).await;
    worked_off(&serve, &remotes).await;
    let worked_off = begun.elapsed();
    if let Some(held) = held {
        held.join().unwrap();
    }

    let done = done(&file);
    let (doubled, wrong) = anypoint(&remotes, users);
    Figures {
        events,
        taken,
        slowest: sent.slowest,
        worked_off,
        backlog,
        refused: sent.refused,
        refused_and_recorded: sent.recorded,
        lost: due
            .iter()
            .filter(|event| !done.contains(&event.uuid))
            .count(),
        doubled,
        wrong,
        peak_mib: serve.peak_kib() / 1024,
    }
}

/// The answers that a sender got.
#[derive(Debug, Default)]
pub struct Sent {
    /// The slowest answer.
    pub slowest: Duration,
    /// Answers with 503.
    pub refused: usize,
    /// Those of them with a partial record.
    pub recorded: usize,
}

impl Sum for Sent {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            slowest: sum.slowest.max(one.slowest),
            refused: sum.refused + one.refused,
            recorded: sum.recorded + one.recorded,
        })
    }
}

/// Sends a delivery at its time, and again until it is accepted, as Okta and catch-up do.
async fn until_taken(
    remotes: &Remotes,
    serve: &Serve,
    file: &Connection,
    events: &[LogEvent],
    at: Instant,
    some_refused: &AtomicBool,
) -> Sent {
    tokio::time::sleep_until(at.into()).await;
    let (mut slowest, mut refused, mut recorded) = (Duration::ZERO, 0, 0);
    loop {
        let begun = Instant::now();
        let status = remotes.deliver(serve, events).await;
        slowest = slowest.max(begun.elapsed());
        match status {
            Some(204) => break,
            Some(503) => {
                refused += 1;
                some_refused.store(true, Ordering::Relaxed);
                // A running write would show after the next one is done.
                ready(remotes, serve).await;
                recorded += usize::from(events.iter().any(|event| is_recorded(file, event)));
            }
            other => panic!("answered with {other:?}\n{}", serve.log()),
        }
        assert!(refused < 100, "never accepted\n{}", serve.log());
    }
    Sent {
        slowest,
        refused,
        recorded,
    }
}

/// Waits until the program can write.
async fn ready(remotes: &Remotes, serve: &Serve) {
    let begun = Instant::now();
    while serve.get(remotes, "/ready").await.0 != 200 {
        assert!(begun.elapsed() < LONG, "never ready\n{}", serve.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether the queue remembers an event.
fn is_recorded(file: &Connection, event: &LogEvent) -> bool {
    let sql = "SELECT EXISTS (SELECT 1 FROM sent WHERE uuid = ?1)";
    file.query_row(sql, [&event.uuid], |row| row.get(0))
        .unwrap()
}

/// Locks the file, like another process with a long write. The lock is held when this returns.
fn hold(
    remotes: &Remotes,
    time: Duration,
    some_refused: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let some_refused = Arc::clone(some_refused);
    let other = Connection::open(remotes.data()).unwrap();
    other.busy_timeout(LONG).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::spawn(move || {
        let begun = Instant::now();
        let is_over = || begun.elapsed() >= time && some_refused.load(Ordering::Relaxed);
        while !is_over() && begun.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(10));
        }
        other.execute_batch("ROLLBACK").unwrap();
    })
}

async fn waiting(serve: &Serve, remotes: &Remotes) -> u64 {
    let overview = serve.overview(remotes).await;
    let count = |name: &str| overview["queue"][name].as_u64().unwrap();
    count("waiting") + count("in_flight")
}

/// Waits until the queue is empty, as long as it gets shorter.
async fn worked_off(serve: &Serve, remotes: &Remotes) {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    loop {
        let left = waiting(serve, remotes).await;
        if left == 0 {
            return;
        }
        if left < least {
            (least, since) = (left, Instant::now());
        }
        assert!(since.elapsed() < LONG, "{left} stay\n{}", serve.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn done(file: &Connection) -> HashSet<String> {
    let mut events = file
        .prepare("SELECT id FROM events WHERE status = 'done'")
        .unwrap();
    let ids = events.query_map([], |row| row.get(0)).unwrap();
    ids.collect::<rusqlite::Result<_>>().unwrap()
}

/// How much was applied twice, and how many accounts differ from Okta.
pub fn anypoint(remotes: &Remotes, users: usize) -> (usize, usize) {
    let mut made: HashMap<String, usize> = HashMap::new();
    for call in remotes.anypoint.traffic().writes() {
        if call.path.ends_with("/users") && call.status < 300 {
            let username = call.body.unwrap()["username"].to_string();
            *made.entry(username).or_default() += 1;
        }
    }
    let world = remotes.anypoint.world();
    let accounts_twice: usize = made.values().map(|count| count - 1).sum();
    let mails_twice = world.mails.len().saturating_sub(users);
    let agrees = |n: &usize| {
        let account = world.user_by_username(&format!("user{n}"));
        account.is_some_and(|account| account.last_name == format!("Name{n}"))
    };
    let agreeing = (0..users).filter(agrees).count();
    (accounts_twice + mails_twice, users - agreeing)
}
