//! Conversations of the scheduled tasks with both simulators.

mod attributes;
mod catch_up;
mod catch_up_clock;
mod catch_up_cursor;
mod catch_up_pages;
mod credential;
mod exclusions;
mod groups;
mod import;
mod import_audit;
mod import_cut_off;
mod import_meanwhile;
mod import_names;
mod import_orphans;
mod import_teams;
mod import_unread;
mod limits;
mod members_unread;
mod partly;
mod pausing;
mod reconcile;
mod reconcile_names;
mod runs;
mod short_runs;
mod sources;
mod unread;

use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::failure::{Failure, Side};
use okta_anypoint::ids::OktaUserId;
use okta_anypoint::provision::{ImportedNames, Policy, Ports};
use okta_anypoint::queue::Queue;
use okta_anypoint::schedule::{Mode, RunOutcome, Scheduler, Summary, Task};
use okta_anypoint::settings::{DeactivationLimit, ImportMode, ScheduleSettings};
use okta_anypoint::simulator::anypoint::AnypointOptions;
use okta_anypoint::simulator::okta::OktaOptions;
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::UserLink;
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::Table;
use okta_anypoint::worker::{InlineQueue, Pace, Worker};

use crate::tenant::{APP, Tenant};

/// The real clock, which a test can move.
#[derive(Default)]
pub struct MovedClock(AtomicI64);

impl MovedClock {
    pub fn advance(&self, by: Duration) {
        self.0
            .fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn set_back(&self, by: Duration) {
        self.0
            .fetch_sub(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::SeqCst)
    }
}

/// A queue that only records messages, and refuses them on demand.
#[derive(Default)]
pub struct Recorder {
    sent: Mutex<Vec<Change>>,
    pub refuses: std::sync::atomic::AtomicBool,
}

impl Recorder {
    pub fn take(&self) -> Vec<Change> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    pub fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<String> = self.take().iter().map(|c| c.subject.to_string()).collect();
        subjects.sort();
        subjects.dedup();
        subjects
    }
}

#[async_trait]
impl Queue for Recorder {
    async fn send(&self, changes: &[Change]) -> Result<(), Failure> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Failure::retryable(Side::Queue, "refused by the test"));
        }
        self.sent.lock().unwrap().extend_from_slice(changes);
        Ok(())
    }
}

/// Both simulators, a table, and the settings of the product.
pub struct Stage {
    tenant: Tenant,
    pub clock: Arc<MovedClock>,
    pub table: Table,
    pub policy: Policy,
    pub settings: ScheduleSettings,
    pub metrics: Arc<Metrics>,
    /// `None`: changes are applied inline.
    pub recorder: Option<Arc<Recorder>>,
}

impl Deref for Stage {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl Stage {
    pub async fn new() -> Self {
        Self::with_pages(None).await
    }

    /// Limits the pages of both sides to `page_cap` items.
    pub async fn with_pages(page_cap: Option<usize>) -> Self {
        let clock = Arc::new(MovedClock::default());
        let database = Database::in_memory().unwrap();
        let shared: Arc<dyn Clock> = clock.clone();
        let table = crate::world::embedded(database, &shared);
        Self::on(table, clock, page_cap).await
    }

    pub async fn on(table: Table, clock: Arc<MovedClock>, page_cap: Option<usize>) -> Self {
        crate::planted::watch();
        let okta = OktaOptions {
            page_cap,
            ..OktaOptions::default()
        };
        let anypoint = AnypointOptions {
            page_cap,
            ..AnypointOptions::default()
        };
        Self {
            tenant: Tenant::start(okta, anypoint).await,
            clock,
            table,
            policy: Policy::default(),
            settings: ScheduleSettings {
                import: ImportMode::Report,
                reconcile: Mode::Apply,
                limit: DeactivationLimit::Count(50),
            },
            metrics: Arc::new(Metrics::new("test")),
            recorder: None,
        }
    }

    pub fn ports(&self) -> Ports {
        let clock = self.clock.clone();
        self.tenant.ports(&self.table, self.policy.clone(), clock)
    }

    pub fn inline(&self) -> Arc<dyn Queue> {
        let worker = Worker::new(self.ports(), None, self.metrics.clone(), Pace::INLINE);
        Arc::new(InlineQueue::new(Arc::new(worker), Duration::from_secs(30)))
    }

    pub fn scheduler(&self) -> Scheduler {
        self.scheduler_on(match &self.recorder {
            Some(recorder) => recorder.clone(),
            None => self.inline(),
        })
    }

    pub fn scheduler_on(&self, queue: Arc<dyn Queue>) -> Scheduler {
        Scheduler::new(self.ports(), queue, self.settings, self.metrics.clone())
    }

    pub fn record(&mut self) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::default());
        self.recorder = Some(recorder.clone());
        recorder
    }

    pub async fn try_run(&self, task: Task, mode: Option<Mode>) -> Result<Summary, Failure> {
        self.scheduler().run(task, mode, long()).await
    }

    pub async fn run(&self, task: Task) -> Summary {
        self.try_run(task, None).await.unwrap()
    }

    /// Reconciles until nothing is left to do, and clears the recorded traffic.
    pub async fn settle(&self) {
        let first = self.run(Task::Reconcile).await;
        assert_eq!(first.outcome, RunOutcome::Completed);
        self.finds_nothing().await;
        self.forget_traffic();
    }

    /// Checks that a reconcile has nothing to do.
    pub async fn finds_nothing(&self) {
        let before = self.writes();
        let summary = self.run(Task::Reconcile).await;
        assert_eq!(
            summary.differences,
            [],
            "a second reconcile finds something"
        );
        assert_eq!(summary.problems, []);
        assert_eq!(self.writes(), before);
    }

    /// An active Okta user `<name>@acme.example`, assigned under `<name>`.
    pub fn assigned(&self, name: &str) -> String {
        let id = self.user(name);
        let mut okta = self.okta.world();
        okta.assign_with_username(APP, &id, name).unwrap();
        id
    }

    /// A group with members, assigned to the app.
    pub fn pushed_group(&self, name: &str, members: &[&str]) -> String {
        let mut world = self.okta.world();
        let group = world.create_group(name).unwrap().id;
        world.assign_group(APP, &group).unwrap();
        for member in members {
            world.add_member(&group, member).unwrap();
        }
        group
    }

    /// Sets `IMPORT_MODE`, with its consequence for push.
    pub fn import_mode(&mut self, mode: ImportMode) {
        self.settings.import = mode;
        self.policy.imported_names = match mode {
            ImportMode::Create => ImportedNames::LastChangeDecides,
            _ => ImportedNames::OktaDecides,
        };
    }

    /// A native account with a person's usual address.
    pub fn native(&self, name: &str) -> String {
        let email = format!("{name}@acme.example");
        let mut world = self.anypoint.world();
        world.add_user(name, name, "Example", &email).unwrap()
    }

    pub async fn link(&self, user: &str) -> Option<UserLink> {
        let user = OktaUserId::parse(user).unwrap();
        self.table.store.user_link(&user).await.unwrap()
    }
}

pub fn long() -> Deadline {
    Deadline::within(Duration::from_secs(120))
}

/// The actions that a summary names for a subject.
pub fn actions(summary: &Summary, subject: &str) -> Vec<String> {
    summary
        .differences
        .iter()
        .filter(|found| {
            found
                .subject
                .as_ref()
                .is_some_and(|s| s.to_string() == subject)
        })
        .flat_map(|found| found.actions.iter().map(|step| step.action.to_string()))
        .collect()
}
