//! Time, calls, memory and planning time of a reconcile, with 25 ms on each remote call, next to the
//! time that its calls need at the allowed concurrency.
//!
//! `cargo bench --bench reconcile` (about four minutes, of which the last reconcile waits three for Anypoint). Okta and
//! Anypoint are the simulators, the table is the embedded database, with everybody linked. One account in a hundred has
//! another first name, so that there is something to plan. The reconcile runs in report mode (it reads and plans what
//! an apply does) in a process of its own, on one thread, as in Lambda.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod child;
mod remotes;
mod sheet;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Failure;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use okta_anypoint::ledger::{Leased, Memo};
use okta_anypoint::queue::Queue;
use okta_anypoint::schedule::{Mode, READS_AT_ONCE, RunOutcome, Scheduler, Task};
use okta_anypoint::settings::{DeactivationLimit, ImportMode, ScheduleSettings};
use okta_anypoint::simulator::anypoint::{AnypointOptions, AnypointSimulator};
use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::okta::{OktaOptions, OktaSimulator};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::{Origin, ResetMail, TeamLink, UserLink};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::Table;
use serde::{Deserialize, Serialize};

use child::Cost;
use remotes::{APP, Remotes, embedded};
use sheet::{Limit, OverBudget, Sheet};

const LATENCY: Duration = Duration::from_millis(25);
/// One account in this many has another first name than its Okta user.
const ONE_DIFFERS_IN: usize = 100;
/// The budgets. `MAX_TIMES` applies from `MANY_USERS` users on.
const MAX_MIB: f64 = 256.0;
const MAX_PLANNING_S: f64 = 0.2;
const MAX_TIMES: f64 = 1.3;
const MANY_USERS: usize = 10_000;
/// Users, teams, members of each team.
const SIZES: [(usize, usize, usize); 4] = [
    (1_000, 20, 100),
    (3_000, 60, 100),
    (10_000, 200, 100),
    // The most users and the most teams that Anypoint allows an organization.
    (10_000, 1_000, 20),
];

/// A queue that a report does not use.
struct NoQueue;

#[async_trait]
impl Queue for NoQueue {
    async fn send(&self, _: &[Change]) -> Result<(), Failure> {
        panic!("a report sends nothing");
    }
}

fn table(database: &Path) -> Table {
    embedded(Database::open(database).unwrap())
}

/// Both sides in sync except for a few names, and the links between them.
async fn populate(
    okta: &OktaSimulator,
    anypoint: &AnypointSimulator,
    table: &Table,
    (users, teams, members): (usize, usize, usize),
) {
    okta.world().add_app(APP, "Anypoint");
    let lease = table.ledger.lease("bench", Duration::from_secs(100)).await;
    let Leased::Ours(lease) = lease.unwrap() else {
        panic!("the table is new");
    };
    let store = &table.store;
    let mut pairs = Vec::with_capacity(users);
    for n in 0..users {
        let name = format!("user-{n}");
        let login = format!("{name}@acme.example");
        let user = {
            let mut world = okta.world();
            let user = world.create_user(&login, "Ann", "Example", &login, None);
            let user = user.unwrap().id;
            world.assign_with_username(APP, &user, &name).unwrap();
            user
        };
        let first = if n % ONE_DIFFERS_IN == 0 {
            "Anna"
        } else {
            "Ann"
        };
        let account = {
            let mut world = anypoint.world();
            world.add_user(&name, first, "Example", &login).unwrap()
        };
        let link = UserLink {
            anypoint_id: AccountId::parse(&account).unwrap(),
            username: name,
            origin: Origin::Created,
            agreed: None,
            reset_mail: ResetMail::default(),
        };
        let id = OktaUserId::parse(&user).unwrap();
        let linked = store.link_user(&lease, &id, &link, None, Memo::Keep);
        linked.await.unwrap();
        pairs.push((user, account));
    }
    for n in 0..teams {
        let name = format!("Team {n}");
        let of_team = (0..members).map(|k| &pairs[(n * 37 + k) % users]);
        let (group, team) = {
            let (mut okta, mut anypoint) = (okta.world(), anypoint.world());
            let group = okta.create_group(&name).unwrap().id;
            let team = anypoint.add_team(&name, None).unwrap();
            for (user, account) in of_team {
                okta.add_member(&group, user).unwrap();
                anypoint.add_member(&team, account, "member").unwrap();
            }
            okta.assign_group(APP, &group).unwrap();
            (group, team)
        };
        let link = TeamLink {
            team_id: TeamId::parse(&team).unwrap(),
            team_name: name,
            origin: Origin::Created,
        };
        let id = OktaGroupId::parse(&group).unwrap();
        store.link_team(&lease, &id, &link, None).await.unwrap();
    }
}

/// What a child is asked to do.
#[derive(Serialize, Deserialize)]
struct Reconcile {
    remotes: Remotes,
    database: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Found {
    differing: usize,
    planning: Duration,
    cost: Cost,
}

/// One reconcile in this process, which was started for it.
async fn reconcile(task: Reconcile) -> Found {
    let ports = task.remotes.ports(&table(&task.database));
    let settings = ScheduleSettings {
        import: ImportMode::Off,
        reconcile: Mode::Apply,
        limit: DeactivationLimit::Percent(20.0),
    };
    // CPU time when planning begins and ends.
    let planning = Arc::new(Mutex::new(Vec::new()));
    let marks = planning.clone();
    let metrics = Arc::new(Metrics::new("bench"));
    let scheduler = Scheduler::new(ports, Arc::new(NoQueue), settings, metrics).with_progress(
        Arc::new(move |phase, _, _| {
            if phase == "planning" {
                marks.lock().unwrap().push(child::cpu());
            }
        }),
    );
    let begun = Instant::now();
    let deadline = Deadline::within(Duration::from_secs(900));
    let run = scheduler.run(Task::Reconcile, Some(Mode::Report), deadline);
    let summary = run.await.unwrap();
    let cost = Cost::since(begun);
    assert_eq!(summary.outcome, RunOutcome::Completed);
    assert_eq!(summary.count("problems"), 0);
    assert_eq!(summary.count("differing_groups"), 0);
    let planning = planning.lock().unwrap();
    Found {
        differing: summary.count("differing_users"),
        planning: planning[1] - planning[0],
        cost,
    }
}

/// How many calls both simulators answered, and how long they took for all of them.
fn answered(okta: &OktaSimulator, anypoint: &AnypointSimulator) -> (usize, Duration) {
    let mut log = okta.traffic().log();
    log.extend(anypoint.traffic().log());
    let took_ms = log.iter().map(|request| request.took_ms).sum();
    (log.len(), Duration::from_millis(took_ms))
}

/// How Anypoint throttles, or does not.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    Free,
    /// [`CALLS_A_MINUTE`] calls at Anypoint, then 503 without a hint until the minute is over.
    Throttled,
}

/// What Anypoint takes in the knowledge base's example ("503 errors", `X-RateLimit-*` on the successes before).
const CALLS_A_MINUTE: u32 = 500;
const MINUTE: Duration = Duration::from_secs(60);

/// What is measured of one reconcile; the calls at Anypoint are the last.
async fn measure(size: (usize, usize, usize), pace: Pace) -> (Found, usize, Duration, usize) {
    let free = "127.0.0.1:0".parse().unwrap();
    let okta = OktaSimulator::start(free, OktaOptions::default());
    let anypoint = AnypointSimulator::start(free, AnypointOptions::default());
    let (okta, anypoint) = (okta.await.unwrap(), anypoint.await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("bench.db");
    populate(&okta, &anypoint, &table(&database), size).await;
    okta.traffic().set_latency(LATENCY);
    anypoint.traffic().set_latency(LATENCY);
    if pace == Pace::Throttled {
        let budget = Fault::call_budget(CALLS_A_MINUTE, MINUTE);
        anypoint.traffic().inject(budget);
    }
    let task = Reconcile {
        remotes: Remotes::of(&okta, &anypoint),
        database,
    };
    let found: Found = child::run(&task).await;
    assert_eq!(found.differing, size.0 / ONE_DIFFERS_IN);
    let (calls, took) = answered(&okta, &anypoint);
    (found, calls, took, anypoint.traffic().log().len())
}

fn main() -> Result<(), OverBudget> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if child::is_done(reconcile) {
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut sheet = Sheet::new(&[
        "users",
        "teams",
        "members each",
        "calls",
        "25 ms bound",
        "bound",
        "time",
        "time/bound",
        "peak memory",
        "CPU",
        "of it planning",
    ]);
    for size in SIZES {
        let (found, calls, took, _) = runtime.block_on(measure(size, Pace::Free));
        let lanes = READS_AT_ONCE as f64;
        let least = LATENCY.as_secs_f64() * calls as f64 / lanes;
        let bound = took.as_secs_f64() / lanes;
        let (time, planning) = (found.cost.time.as_secs_f64(), found.planning.as_secs_f64());
        let numbers = [
            size.1.to_string(),
            size.2.to_string(),
            calls.to_string(),
            format!("{least:.2} s"),
            format!("{bound:.2} s"),
            format!("{time:.2} s"),
            format!("{:.2}", time / bound),
            format!("{:.1} MiB", found.cost.peak_mib),
            format!("{:.2} s", found.cost.cpu.as_secs_f64()),
            format!("{planning:.3} s"),
        ];
        let mut limits = vec![
            Limit::at_most(found.cost.peak_mib, MAX_MIB, "MiB"),
            Limit::at_most(planning, MAX_PLANNING_S, "s planning"),
        ];
        // In a small organization the first calls, which wait for one another, are most of the time.
        if size.0 >= MANY_USERS {
            limits.push(Limit::at_most(time / bound, MAX_TIMES, "x bound"));
        }
        sheet.row(&size.0.to_string(), numbers, &limits);
    }
    println!(
        "{READS_AT_ONCE} calls at once. bound = the time the simulators took for all calls / {READS_AT_ONCE}: 25 ms for \
         each and what they compute for it; 25 ms bound = without the latter."
    );
    let unthrottled = sheet.print();

    let largest = SIZES[SIZES.len() - 1];
    let (found, _, _, calls) = runtime.block_on(measure(largest, Pace::Throttled));
    let mut throttled = Sheet::new(&[
        "teams",
        "calls a minute",
        "calls at Anypoint",
        "least",
        "time",
    ]);
    let windows = calls.div_ceil(CALLS_A_MINUTE as usize);
    // The first of these minutes may be nearly over when the run begins, and the last need not pass.
    let least = MINUTE.as_secs_f64() * windows.saturating_sub(2) as f64;
    let time = found.cost.time.as_secs_f64();
    let numbers = [
        CALLS_A_MINUTE.to_string(),
        calls.to_string(),
        format!("{least:.0} s"),
        format!("{time:.1} s"),
    ];
    let most = MINUTE.as_secs_f64() * windows as f64;
    throttled.row(
        &largest.1.to_string(),
        numbers,
        &[Limit::at_most(time, most, "s")],
    );
    throttled.print()?;
    unthrottled
}
