//! A small world: both simulators over HTTP, the real receiver, the real worker inline, the embedded store. Tests change
//! Okta with its verbs, deliver the events that it writes, and state what Anypoint must look like.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, Subject};
use okta_anypoint::lambda::http::{HttpEvent, answer};
use okta_anypoint::ledger::{
    Conclusion, Lease, Leased, Ledger, Memo, Reason, Record, SqliteLedger,
};
use okta_anypoint::provision::{Adopt, Policy, Ports};
use okta_anypoint::receiver::{Gate, Receiver};
use okta_anypoint::simulator::anypoint::AnypointWorld;
use okta_anypoint::simulator::okta::{LogEvent, OktaWorld, Refusal};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::{Intent, Linked, Memory, NewAccountMark, SqliteStore, UserLink};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::Table;
use okta_anypoint::worker::{InlineQueue, Pace, Verdict, Worker};
use serde_json::{Value, json};

pub use crate::tenant::APP;
use crate::tenant::Tenant;

pub const SECRET: &str = "hook-secret";
/// The time limit of a delivery in these tests. It is far more than needed, so that a slow machine does not fail a test.
/// Other tests check the real limit.
const TIME: Duration = Duration::from_secs(20);

pub struct World {
    tenant: Tenant,
    pub table: Table,
    pub ports: Ports,
    pub receiver: Receiver,
}

impl Deref for World {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Policy::default()).await
    }

    pub async fn with(policy: Policy) -> Self {
        Self::with_pace(policy, Pace::INLINE, TIME).await
    }

    pub async fn adopting(adopt: Adopt) -> Self {
        Self::with(Policy {
            adopt,
            ..Policy::default()
        })
        .await
    }

    pub async fn with_pace(policy: Policy, pace: Pace, time: Duration) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let table = embedded(Database::in_memory().unwrap(), &clock);
        Self::on(table, policy, pace, time).await
    }

    /// A world on the given table.
    pub async fn on(table: Table, policy: Policy, pace: Pace, time: Duration) -> Self {
        Self::at(Arc::new(SystemClock), table, policy, pace, time).await
    }

    /// A world on the given table and clock.
    pub async fn at(
        clock: Arc<dyn Clock>,
        table: Table,
        policy: Policy,
        pace: Pace,
        time: Duration,
    ) -> Self {
        crate::planted::watch();
        let tenant = Tenant::new().await;
        let ports = tenant.ports(&table, policy, clock);
        let (receiver, _) = process(&ports, pace, time);
        Self {
            tenant,
            table,
            ports,
            receiver,
        }
    }

    /// Changes Okta and returns the events that it wrote.
    pub fn okta_does(
        &self,
        change: impl FnOnce(&mut OktaWorld) -> Result<Vec<LogEvent>, Refusal>,
    ) -> Vec<LogEvent> {
        change(&mut self.okta.world()).unwrap()
    }

    /// Changes Okta, delivers what it wrote, and expects a 204.
    pub async fn when(
        &self,
        change: impl FnOnce(&mut OktaWorld) -> Result<Vec<LogEvent>, Refusal>,
    ) {
        let events = self.okta_does(change);
        assert_eq!(self.deliver(&events).await, 204);
    }

    /// Delivers an event that asks for another look, and expects a 204.
    pub async fn look_again(&self, user: &str) {
        assert_eq!(self.deliver(&[self.hint(user)]).await, 204);
    }

    /// Changes a user's app username; Okta writes that to the System Log only.
    pub async fn rename(&self, user: &str, username: &str) {
        self.okta_does(|okta| okta.set_app_username(APP, user, username));
        self.look_again(user).await;
    }

    /// Delivers events in one request. Returns the status.
    pub async fn deliver(&self, events: &[LogEvent]) -> u16 {
        let body = self.okta.world().delivery(events);
        self.post(&body).await
    }

    pub async fn post(&self, body: &Value) -> u16 {
        let event = json!({
            "version": "2.0",
            "headers": {"Authorization": SECRET, "content-type": "application/json"},
            "requestContext": {"http": {"method": "POST", "path": "/okta"}},
            "body": body.to_string(),
            "isBase64Encoded": false,
        });
        let event: HttpEvent = serde_json::from_str(&event.to_string()).unwrap();
        let answer = serde_json::to_value(answer(&self.receiver, event).await).unwrap();
        answer["statusCode"].as_u64().unwrap() as u16
    }

    /// Creates an active Okta user, assigns it to the app as `name`, and delivers the events.
    pub async fn assigned_user(&self, name: &str) -> String {
        let id = self.user(name);
        self.when(|okta| okta.assign(APP, &id)).await;
        id
    }

    /// Creates a group, assigns it to the app, and delivers the events.
    pub async fn pushed_group(&self, name: &str) -> String {
        let id = self.okta.world().create_group(name).unwrap().id;
        self.when(|okta| okta.assign_group(APP, &id)).await;
        id
    }

    pub fn anypoint(&self) -> impl DerefMut<Target = AnypointWorld> + '_ {
        self.anypoint.world()
    }

    pub async fn user_link(&self, user: &str) -> Option<okta_anypoint::store::UserLink> {
        self.table
            .store
            .user_link(&OktaUserId::parse(user).unwrap())
            .await
            .unwrap()
    }

    pub async fn team_link(&self, group: &str) -> Option<okta_anypoint::store::TeamLink> {
        self.table
            .store
            .team_link(&OktaGroupId::parse(group).unwrap())
            .await
            .unwrap()
    }

    pub async fn record(&self, event: &LogEvent) -> Record {
        self.table
            .ledger
            .record(&event.uuid)
            .await
            .unwrap()
            .expect("a record")
    }
}

/// More time than any call here takes.
pub fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(30))
}

/// Advances the time at once, for a test on a current-thread runtime.
pub async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A receiver, and the worker that applies its events inline.
pub fn process(ports: &Ports, pace: Pace, time: Duration) -> (Receiver, Arc<Worker>) {
    let metrics = Arc::new(Metrics::new("test"));
    let worker = Arc::new(Worker::new(ports.clone(), None, metrics.clone(), pace));
    let queue = Arc::new(InlineQueue::new(worker.clone(), time));
    let gate = Gate::new(
        "authorization".parse().unwrap(),
        &[SECRET.to_owned().into()],
    );
    let (app, clock) = (ports.app.clone(), ports.clock.clone());
    let receiver = Receiver::new(gate.unwrap(), app, queue, clock, metrics);
    (receiver, worker)
}

/// Another worker on the same table, for other settings.
pub fn worker(ports: &Ports) -> Worker {
    let metrics = Arc::new(Metrics::new("test"));
    Worker::new(ports.clone(), None, metrics, Pace::INLINE)
}

/// The ports on an embedded database.
pub fn embedded(database: Database, clock: &Arc<dyn Clock>) -> Table {
    let store = Arc::new(SqliteStore::new(database.clone()));
    Table {
        ledger: Arc::new(SqliteLedger::new(database, 30, clock.clone())),
        documents: store.clone(),
        store,
    }
}

/// Takes a lease on a user, as another run would.
pub async fn lease(ledger: &dyn Ledger, user: &str, time: Duration) -> Lease {
    match ledger.lease(&format!("user#{user}"), time).await.unwrap() {
        Leased::Ours(lease) => lease,
        Leased::Busy { until_ms } => panic!("user {user} is leased until {until_ms}"),
    }
}

/// Links a user as `okta-anypoint link` does.
pub async fn link(table: &Table, user: &str, link: &UserLink) {
    let lease = lease(&*table.ledger, user, Duration::from_secs(60)).await;
    let user = OktaUserId::parse(user).unwrap();
    let before = table.store.user_link(&user).await.unwrap();
    let linked = table
        .store
        .link_user(&lease, &user, link, before.as_ref(), Memo::Keep)
        .await;
    assert_eq!(linked.unwrap(), Linked::Written);
    table
        .ledger
        .conclude(lease, Conclusion::default())
        .await
        .unwrap();
}

/// Leaves what a run leaves that is cut off while it enables a former account. An earlier version left no account id.
pub async fn intend(table: &Table, user: &str, username: &str, account: Option<&str>) {
    let intent = Intent {
        username: username.to_owned(),
        account: account.map(|account| AccountId::parse(account).unwrap()),
        new: None,
    };
    write_intent(table, user, intent).await;
}

/// Leaves what a run leaves that is cut off at the creation of an account.
pub async fn intend_new(table: &Table, user: &str, username: &str, email: &str) {
    let intent = Intent {
        username: username.to_owned(),
        account: None,
        new: Some(NewAccountMark::of(email, SystemClock.now_ms())),
    };
    write_intent(table, user, intent).await;
}

async fn write_intent(table: &Table, user: &str, intent: Intent) {
    let lease = lease(&*table.ledger, user, Duration::from_secs(60)).await;
    let memory = Memory {
        intent: Some(intent),
        ..Memory::default()
    };
    let conclusion = Conclusion {
        memo: memory.to_memo(),
        ..Conclusion::default()
    };
    table.ledger.conclude(lease, conclusion).await.unwrap();
}

/// The username in the intent of a user, if there is one.
pub async fn intent(table: &Table, user: &str) -> Option<String> {
    let memo = table.ledger.memo(&format!("user#{user}")).await.unwrap();
    let memory = Memory::from_text(memo.as_deref(), 0);
    memory.intent.map(|intent| intent.username)
}

/// Looks at a subject as after a reconcile, with more time than a delivery has.
pub async fn look_at(worker: &Worker, subject: Subject) -> Verdict {
    let change = Change::found(subject, SystemClock.now_ms());
    let deadline = Deadline::within(Duration::from_secs(20));
    let verdicts = worker.run(&[change], Reason::Delivery, deadline).await;
    verdicts[0]
}

/// Looks at a group, which must succeed.
pub async fn look_at_group(worker: &Worker, group: &str) {
    let subject = Subject::Group(OktaGroupId::parse(group).unwrap());
    assert_eq!(look_at(worker, subject).await, Verdict::Settled);
}
