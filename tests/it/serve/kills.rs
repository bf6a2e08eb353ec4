//! kill -9 at random moments under load, then a restart. Meanwhile other processes read, copy and change the file, pause
//! changes and approve held ones. No delivery answered with 204 is lost, nothing is applied twice, every change at
//! Anypoint is in the audit trail, and the file stays intact.
//!
//! `SERVE_KILLS=1000` kills more often. `SERVE_SEED=…` chooses other moments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use okta_anypoint::clock::SystemClock;
use okta_anypoint::ledger::{AuditEntry, Filter, Ledger as _, SqliteLedger, Status};
use okta_anypoint::simulator::anypoint::AnypointWorld;
use okta_anypoint::simulator::okta::{LogEvent, UserStatus};
use okta_anypoint::sqlite::Database;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::Connection;
use serde_json::json;

use super::file::ran;
use super::other_processes::{Company, Did, integrity};
use super::{APP, LONG, Remotes};
use crate::audited::{Subjects, unaccounted};

/// New users in each round.
const USERS: usize = 6;
/// The number of people who lose access before the brake holds the rest.
const REMOVALS: &str = "2";
/// A restarted process works again within this time. The work of the killed one does not wait for its lease (112 s).
const TAKEN_UP: Duration = Duration::from_secs(60);

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kills_lose_and_duplicate_nothing() {
    let (kills, seed) = (number("SERVE_KILLS", 100), number("SERVE_SEED", 7));
    let mut random = StdRng::seed_from_u64(seed);
    let mut remotes = Remotes::start().await;
    remotes.settings.push(("MAX_REMOVALS_PER_HOUR", REMOVALS));
    let remotes = remotes;
    // Real calls take a while, and some kills should fall into that time.
    remotes.okta.traffic().set_latency(Duration::from_millis(2));
    remotes
        .anypoint
        .traffic()
        .set_latency(Duration::from_millis(4));
    let calls = Arc::new(AtomicU32::new(0));
    for traffic in [remotes.okta.traffic(), remotes.anypoint.traffic()] {
        let calls = Arc::clone(&calls);
        traffic.on_request(move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
        });
    }

    let mut users: Vec<String> = Vec::new();
    let mut open: Vec<Vec<LogEvent>> = Vec::new();
    let mut accepted: HashSet<String> = HashSet::new();
    let mut refused = 0;
    let mut did = Did::default();
    for round in 0..kills {
        let mut serve = remotes.serve_deliveries_only();
        for n in 0..USERS {
            let user = remotes.user(&format!("user{round}x{n}"));
            open.push(remotes.assign(&user));
            users.push(user);
        }
        for _ in 0..3 {
            let user = &users[random.random_range(0..users.len())];
            let name = format!("Name{}", random.random_range(0..1_000));
            let mut okta = remotes.okta.world();
            open.push(
                okta.update_profile(user, &[("lastName", name.into())])
                    .unwrap(),
            );
            let user = &users[random.random_range(0..users.len())];
            open.push(match okta.suspend(user) {
                Ok(events) => events,
                Err(_) => okta.unsuspend(user).unwrap(),
            });
            let user = &users[random.random_range(0..users.len())];
            open.push(match okta.unassign(APP, user) {
                Ok(events) => events,
                Err(_) => okta.assign(APP, user).unwrap(),
            });
        }
        let company = [1, 2].map(|n| Company::begin(&remotes, &users, seed + round * 2 + n));
        // After a number of calls, or after a time, so that some kills come between calls.
        let begun = calls.load(Ordering::SeqCst);
        let after_calls = random.random_range(1..60);
        let after = Duration::from_millis(random.random_range(1..250));
        let by_calls = random.random_bool(0.5);
        let pid_killed = async {
            let start = Instant::now();
            let due = || match by_calls {
                true => {
                    calls.load(Ordering::SeqCst) - begun >= after_calls
                        || start.elapsed() > Duration::from_secs(2)
                }
                false => start.elapsed() >= after,
            };
            while !due() {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        };
        let hook = &serve;
        let posts = async {
            futures_util::stream::iter(std::mem::take(&mut open))
                .map(|events| async {
                    let status = remotes.deliver(hook, &events).await;
                    (events, status)
                })
                .buffer_unordered(4)
                .collect::<Vec<_>>()
                .await
        };
        let kill = async {
            pid_killed.await;
            let pid = hook.pid().to_string();
            let killed = std::process::Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap();
            assert!(killed.success());
        };
        let (posted, ()) = tokio::join!(posts, kill);
        serve.kill();
        for one in company {
            did += one.end();
        }
        integrity(&remotes.data());
        let file = Connection::open(remotes.data()).unwrap();
        for (events, status) in posted {
            match status {
                Some(204) => {
                    let kept = |event: &LogEvent| {
                        is_kept(&file, &event.uuid) || !acts(&remotes, &event.uuid)
                    };
                    let lost: Vec<_> = events.iter().filter(|event| !kept(event)).collect();
                    assert!(lost.is_empty(), "seed {seed}, round {round}: lost {lost:?}");
                    accepted.extend(events.into_iter().map(|event| event.uuid));
                }
                // It is sent again, as Okta would, because the sender does not know whether it was recorded.
                None => {
                    refused += 1;
                    open.push(events);
                }
                Some(status) => panic!("answered with {status}"),
            }
        }
    }

    let begun = Instant::now();
    let serve = remotes.serve_deliveries_only();
    for events in std::mem::take(&mut open) {
        assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
        accepted.extend(events.into_iter().map(|event| event.uuid));
    }
    serve.settled(&remotes).await;
    let drained = begun.elapsed();
    assert!(drained < TAKEN_UP, "the cut-off work waited {drained:?}");

    // In the end all held changes are approved.
    let database = Database::open(&remotes.data()).unwrap();
    let ledger = SqliteLedger::new(database, 30, Arc::new(SystemClock));
    let of_status = |status| Filter {
        status: Some(status),
        ..Filter::default()
    };
    let held = ledger.records(&of_status(Status::Held)).await.unwrap();
    let begun = Instant::now();
    while !ledger
        .records(&of_status(Status::Held))
        .await
        .unwrap()
        .is_empty()
    {
        assert!(begun.elapsed() < LONG, "seed {seed}: held for ever");
        ran(&remotes, &["approve", "--all"]);
    }

    // Nothing is lost: each accepted event is done.
    let records = ledger.records(&Filter::default()).await.unwrap();
    let records: HashMap<_, _> = records
        .into_iter()
        .map(|record| (record.id.clone(), record))
        .collect();
    let acting = |uuid: &&String| records.contains_key(*uuid);
    let lost: Vec<_> = accepted
        .iter()
        .filter(|uuid| !acting(uuid))
        .filter(|uuid| acts(&remotes, uuid))
        .collect();
    assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
    let undone: Vec<_> = records
        .values()
        // A push is applied by the operator's command, or not at all.
        .filter(|record| {
            !matches!(record.status, Status::Done | Status::Resolved)
                && record.event_type != "reconcile"
        })
        .collect();
    assert!(undone.is_empty(), "seed {seed}: not done {undone:?}");
    let again = records
        .values()
        .filter(|record| record.attempts > 1)
        .count();

    // Both sides are in sync.
    let (okta, anypoint) = (remotes.okta.world(), remotes.anypoint.world());
    let (mut accounts, mut mails, mut owed) = (0, 0, 0);
    for user in &users {
        let user = okta.find_user(user).unwrap();
        let is_out =
            user.status == UserStatus::Suspended || !okta.apps[APP].users.contains_key(&user.id);
        let name = user.login().trim_end_matches("@acme.example");
        let Some(account) = anypoint.user_by_username(name) else {
            // Suspended or unassigned before the first look, so no account is wanted.
            assert!(is_out, "seed {seed}: {} has no account", user.id);
            continue;
        };
        accounts += 1;
        let mailed = anypoint.mails.iter().any(|mail| mail.username == name);
        // Created, killed before the mail, and unassigned at the next look: the mail waits until the account is enabled.
        assert!(mailed || is_out, "seed {seed}: {} got no mail", user.id);
        owed += usize::from(!mailed);
        mails += usize::from(mailed);
        let names = (json!(account.last_name), account.enabled);
        if is_out {
            assert!(!account.enabled, "seed {seed}: {}", user.id);
        } else {
            let wanted = (user.profile["lastName"].clone(), true);
            assert_eq!(names, wanted, "seed {seed}: {}", user.id);
        }
    }
    let before = AnypointWorld::default().users.len();
    let unwanted = anypoint.users.len() - accounts - before;
    assert_eq!(unwanted, 0, "seed {seed}: unwanted accounts");
    let twice = anypoint.mails.len() - mails;
    drop((okta, anypoint));

    // Nothing is applied twice: there is one account for each.
    let mut made: HashMap<String, u32> = HashMap::new();
    for call in remotes.anypoint.traffic().writes() {
        if call.path.ends_with("/users") && call.status < 300 {
            let name = call.body.as_ref().unwrap()["username"].to_string();
            *made.entry(name).or_default() += 1;
        }
    }
    assert!(
        made.values().all(|count| *count == 1),
        "seed {seed}: {made:?}"
    );
    assert_eq!(made.len(), accounts);

    // A user who comes back gets the missing mail.
    let mut back: Vec<Vec<LogEvent>> = Vec::new();
    for user in &users {
        let mut okta = remotes.okta.world();
        back.extend(okta.unsuspend(user));
        if !okta.apps[APP].users.contains_key(user) {
            back.push(okta.assign(APP, user).unwrap());
        }
    }
    for events in back {
        assert_eq!(remotes.deliver(&serve, &events).await, Some(204));
    }
    serve.settled(&remotes).await;
    let anypoint = remotes.anypoint.world();
    let mailed: HashSet<&str> = anypoint
        .mails
        .iter()
        .map(|mail| mail.username.as_str())
        .collect();
    assert_eq!(
        mailed.len(),
        users.len(),
        "seed {seed}: somebody got no mail"
    );
    let accounts: HashMap<String, String> = anypoint
        .users
        .values()
        .map(|account| (account.username.to_lowercase(), account.id.clone()))
        .collect();
    drop(anypoint);

    // Every change at Anypoint is in the audit trail.
    let of_user = |user: &String| {
        let login = remotes
            .okta
            .world()
            .find_user(user)
            .unwrap()
            .login()
            .to_owned();
        let account = accounts.get(login.trim_end_matches("@acme.example"));
        account.map(|account| (account.clone(), [format!("user#{user}")].into()))
    };
    let subjects = Subjects {
        users: users.iter().filter_map(of_user).collect(),
        accounts: accounts.clone(),
        ..Subjects::default()
    };
    let traffic = remotes.anypoint.traffic();
    let entries = ledger.whole_history(traffic.started_ms()).await.unwrap();
    let writes = traffic.writes();
    let unaccounted = unaccounted(&writes, traffic.started_ms(), &entries, &subjects);
    assert!(unaccounted.is_empty(), "seed {seed}: {unaccounted:#?}");
    let interrupted = entries
        .iter()
        .filter(|entry| entry.action == AuditEntry::INTERRUPTED)
        .count();
    println!(
        "{kills} kills (seed {seed}) with company ({did:?}): {} events accepted, {refused} deliveries without an answer, 0 lost, \
         0 accounts doubled, {} looks taken over, {twice} mails sent again, {owed} owed until the user came back; drained {drained:?} after the last start; {} held at the end, {} writes audited, \
         {interrupted} runs told as interrupted",
        accepted.len(),
        again,
        held.len(),
        writes.len(),
    );
}

/// Whether the file has the event, as a message or as a record.
fn is_kept(file: &Connection, uuid: &str) -> bool {
    let sql = "SELECT EXISTS (SELECT 1 FROM events WHERE id = ?1) \
               OR EXISTS (SELECT 1 FROM messages WHERE uuid = ?1)";
    file.query_row(sql, [uuid], |row| row.get(0)).unwrap()
}

/// Whether an event has any effect. The others are acknowledged and not stored.
fn acts(remotes: &Remotes, uuid: &str) -> bool {
    let okta = remotes.okta.world();
    let event = okta.log.iter().find(|event| event.uuid == uuid).unwrap();
    event.event_type.starts_with("application.user_membership.")
        || [
            "user.account.update_profile",
            "user.lifecycle.suspend",
            "user.lifecycle.unsuspend",
        ]
        .contains(&event.event_type.as_str())
        || panic!("{} of {APP} is not expected here", event.event_type)
}
