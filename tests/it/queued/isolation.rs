//! Trouble stays with its subject: panics, hangs, and late results.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::Method;
use okta_anypoint::clock::{Clock, ManualClock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Failure;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, Subject, TeamId};
use okta_anypoint::lambda::sqs::{BatchHandler, SqsEvent};
use okta_anypoint::ledger::{
    AuditEntry, Claim, ClaimOutcome, Conclusion, Filter, Lease, Leased, Ledger, Memo, Reason,
    Record, Recorded, Status, Work,
};
use okta_anypoint::provision::{Policy, Ports};
use okta_anypoint::simulator::traffic::Moment;
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::{AccountOwner, Linked, Recalled, Store, TeamLink, TeamPairs, UserLink};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::worker::{Pace, Verdict, Worker};
use serde_json::json;

use crate::world::{APP, World, embedded};

const TIME: Duration = Duration::from_secs(20);
type Answer<T> = Result<T, Failure>;

/// Panics when the table is read for one user.
struct PanicsFor(OktaUserId, Arc<dyn Store>);

#[async_trait]
impl Store for PanicsFor {
    async fn recall_user(&self, user: &OktaUserId) -> Answer<Recalled> {
        assert!(*user != self.0, "Xaveria Plantedname broke it");
        self.1.recall_user(user).await
    }
    async fn user_link(&self, user: &OktaUserId) -> Answer<Option<UserLink>> {
        self.1.user_link(user).await
    }
    async fn user_links(&self, users: &[OktaUserId]) -> Answer<HashMap<OktaUserId, UserLink>> {
        self.1.user_links(users).await
    }
    async fn all_user_links(&self) -> Answer<HashMap<OktaUserId, UserLink>> {
        self.1.all_user_links().await
    }
    async fn link_user(
        &self,
        lease: &Lease,
        user: &OktaUserId,
        link: &UserLink,
        before: Option<&UserLink>,
        memo: Memo,
    ) -> Answer<Linked<OktaUserId>> {
        self.1.link_user(lease, user, link, before, memo).await
    }
    async fn unlink_user(&self, lease: &Lease, user: &OktaUserId) -> Answer<()> {
        self.1.unlink_user(lease, user).await
    }
    async fn record_orphan(
        &self,
        lease: &Lease,
        user: &OktaUserId,
        account: &AccountId,
        memo: Memo,
    ) -> Answer<()> {
        self.1.record_orphan(lease, user, account, memo).await
    }
    async fn forget_old_intent(&self, user: &OktaUserId) -> Answer<()> {
        self.1.forget_old_intent(user).await
    }
    async fn account_owners(
        &self,
        accounts: &[AccountId],
    ) -> Answer<HashMap<AccountId, AccountOwner>> {
        self.1.account_owners(accounts).await
    }
    async fn team_pairs(&self, groups: &[OktaGroupId], teams: &[TeamId]) -> Answer<TeamPairs> {
        self.1.team_pairs(groups, teams).await
    }
    async fn all_team_links(&self) -> Answer<HashMap<OktaGroupId, TeamLink>> {
        self.1.all_team_links().await
    }
    async fn link_team(
        &self,
        lease: &Lease,
        group: &OktaGroupId,
        link: &TeamLink,
        before: Option<&TeamLink>,
    ) -> Answer<Linked<OktaGroupId>> {
        self.1.link_team(lease, group, link, before).await
    }
    async fn unlink_team(&self, lease: &Lease, group: &OktaGroupId) -> Answer<()> {
        self.1.unlink_team(lease, group).await
    }
    async fn repair_reverse_entries(
        &self,
        users: &HashMap<OktaUserId, UserLink>,
        teams: &HashMap<OktaGroupId, TeamLink>,
    ) -> Answer<()> {
        self.1.repair_reverse_entries(users, teams).await
    }
}

/// How the table fails one subject.
#[derive(Clone, Copy)]
enum Way {
    Panics,
    Hangs,
}

/// A ledger that fails one subject's claims and rejections.
struct Fails(String, Way, Arc<dyn Ledger>);

impl Fails {
    async fn call(&self, work: &Work) {
        if work.subject == self.0 {
            match self.1 {
                Way::Panics => panic!("Xaveria Plantedname broke it"),
                Way::Hangs => std::future::pending().await,
            }
        }
    }
}

#[async_trait]
impl Ledger for Fails {
    async fn history(&self, subject: &str, since_ms: i64) -> Answer<Vec<AuditEntry>> {
        self.2.history(subject, since_ms).await
    }
    async fn whole_history(&self, since_ms: i64) -> Answer<Vec<AuditEntry>> {
        self.2.whole_history(since_ms).await
    }
    async fn claim(&self, work: &Work, lease: &Lease, reason: Reason) -> Answer<ClaimOutcome> {
        self.call(work).await;
        self.2.claim(work, lease, reason).await
    }
    async fn lease(&self, subject: &str, time: Duration) -> Answer<Leased> {
        self.2.lease(subject, time).await
    }
    async fn renew(&self, lease: &Lease, claims: &[&Claim], time: Duration) -> Answer<Recorded> {
        self.2.renew(lease, claims, time).await
    }
    async fn memo(&self, subject: &str) -> Answer<Option<String>> {
        self.2.memo(subject).await
    }
    async fn write_memo(&self, lease: &Lease, memo: Option<String>) -> Answer<Recorded> {
        self.2.write_memo(lease, memo).await
    }
    async fn last_leased(&self, subjects: &[String]) -> Answer<HashMap<String, i64>> {
        self.2.last_leased(subjects).await
    }
    async fn conclude(&self, lease: Lease, conclusion: Conclusion) -> Answer<Vec<Recorded>> {
        self.2.conclude(lease, conclusion).await
    }
    async fn reject(&self, work: &Work, failure: &Failure) -> Answer<Recorded> {
        self.call(work).await;
        self.2.reject(work, failure).await
    }
    async fn record(&self, id: &str) -> Answer<Option<Record>> {
        self.2.record(id).await
    }
    async fn records(&self, filter: &Filter) -> Answer<Vec<Record>> {
        self.2.records(filter).await
    }
}

/// Three users of whom the second is bad, and a change of each.
async fn three(world: &World) -> (OktaUserId, Vec<Change>) {
    let ids = ["ann", "bob", "eve"].map(|name| world.user(name));
    for id in &ids {
        world.okta_does(|okta| okta.assign(APP, id));
    }
    let changes = ids.iter().map(|id| change(id)).collect();
    (OktaUserId::parse(&ids[1]).unwrap(), changes)
}

fn change(user: &str) -> Change {
    let subject = Subject::User(OktaUserId::parse(user).unwrap());
    Change::found(subject, SystemClock.now_ms())
}

fn worker(world: &World, ledger: Arc<dyn Ledger>, store: Arc<dyn Store>) -> (Worker, Arc<Metrics>) {
    let ports = Ports {
        ledger,
        store,
        ..world.ports.clone()
    };
    let metrics = Arc::new(Metrics::new("test"));
    let worker = Worker::new(ports, None, metrics.clone(), Pace::QUEUED);
    (worker, metrics)
}

/// The middle one goes back; the others are done.
async fn only_the_bad_one_goes_back(
    world: &World,
    worker: &Worker,
    changes: &[Change],
    time: Duration,
) {
    let begun = Instant::now();
    let verdicts = worker
        .run(changes, Reason::Delivery, Deadline::within(time))
        .await;
    assert!(begun.elapsed() < time + Duration::from_secs(3), "in time");
    let back: Vec<bool> = verdicts.iter().map(|verdict| verdict.is_retry()).collect();
    assert_eq!(back, [false, true, false]);
    let accounts = ["ann", "bob", "eve"].map(|name| world.account(name) != "none");
    assert_eq!(accounts, [true, false, true]);
}

#[tokio::test]
async fn a_panic_fails_only_its_own_subject() {
    let world = World::new().await;
    let (bob, changes) = three(&world).await;
    let store = Arc::new(PanicsFor(bob, world.table.store.clone()));
    let (broken, _) = worker(&world, world.table.ledger.clone(), store);
    only_the_bad_one_goes_back(&world, &broken, &changes, TIME).await;
    // The record has the failure, without the panic's message, so that the next try does not wait for a lease.
    let record = world
        .table
        .ledger
        .record(changes[1].uuid.as_str())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.status, Status::Failed);
    assert!(!record.error.unwrap().contains("Xaveria"));

    let (sound, _) = worker(
        &world,
        world.table.ledger.clone(),
        world.table.store.clone(),
    );
    let verdicts = sound
        .run(&changes, Reason::Delivery, Deadline::within(TIME))
        .await;
    assert_eq!(verdicts, [Verdict::Settled; 3]);
    assert_eq!(world.account("bob"), "bob Example - enabled");
}

#[tokio::test]
async fn a_panic_or_hang_at_the_table_fails_only_its_own_subject() {
    for (way, time) in [(Way::Panics, TIME), (Way::Hangs, Duration::from_secs(6))] {
        let world = World::new().await;
        let (bob, changes) = three(&world).await;
        let ledger = Fails(format!("user#{bob}"), way, world.table.ledger.clone());
        let (broken, _) = worker(&world, Arc::new(ledger), world.table.store.clone());
        only_the_bad_one_goes_back(&world, &broken, &changes, time).await;
    }
}

/// A worker's lease has ended by another worker's clock. The other one takes over, looks and finishes. The ledger
/// refuses and counts the late worker's result, and the message goes back.
#[tokio::test]
async fn a_late_result_is_refused_and_counted() {
    let database = Database::in_memory().unwrap();
    let table = |clock: Arc<dyn Clock>| embedded(database.clone(), &clock);
    let here = table(Arc::new(SystemClock));
    let world = World::on(here.clone(), Policy::default(), Pace::QUEUED, TIME).await;
    let ahead: Arc<dyn Clock> = Arc::new(ManualClock::at(SystemClock.now_ms() + 3_600_000));
    let there = table(ahead);
    let (late, of_late) = worker(&world, here.ledger.clone(), here.store.clone());
    let (other, of_other) = worker(&world, there.ledger.clone(), there.store.clone());
    let ann = world.user("ann");
    world.okta_does(|okta| okta.assign(APP, &ann));
    let changes = [change(&ann)];
    let slow = world.held(Method::POST, "/users", Moment::BeforeEffect);

    let takes_over = async {
        slow.reached().await;
        let verdicts = other
            .run(&changes, Reason::Delivery, Deadline::within(TIME))
            .await;
        assert_eq!(verdicts, [Verdict::Settled]);
        let uuid = changes[0].uuid.as_str();
        let record = there.ledger.record(uuid).await.unwrap().unwrap();
        assert_eq!((record.status, record.attempts), (Status::Done, 2));
        slow.release();
    };
    let run = late.run(&changes, Reason::Delivery, Deadline::within(TIME));
    let (verdicts, ()) = tokio::join!(run, takes_over);
    assert_eq!(
        verdicts,
        [Verdict::Retry {
            after: None,
            failures: None
        }]
    );
    assert_eq!(world.anypoint().users.len(), 1, "one account");
    let count = |metrics: &Metrics| {
        let lines = metrics.take_lines(0);
        lines
            .iter()
            .filter(|line| line.contains("\"Superseded\":1"))
            .count()
    };
    assert_eq!((count(&of_late), count(&of_other)), (1, 0));
    // The redelivery is a duplicate.
    let verdicts = late
        .run(&changes, Reason::Delivery, Deadline::within(TIME))
        .await;
    assert_eq!(verdicts, [Verdict::Settled]);
}

/// Only a recorded message may leave the queue, and only a recorded one counts as failed.
#[tokio::test]
async fn only_the_unreadable_message_that_is_not_recorded_goes_back() {
    let world = World::new().await;
    let ledger = Fails(
        "user#00uBOB".to_owned(),
        Way::Hangs,
        world.table.ledger.clone(),
    );
    let (worker, metrics) = worker(&world, Arc::new(ledger), world.table.store.clone());
    let records = ["ann", "bob", "eve"].map(|name| {
        let subject = format!("user#00u{}", name.to_uppercase());
        json!({
            "messageId": name, "receiptHandle": name, "body": "odd",
            "attributes": {"MessageGroupId": subject, "MessageDeduplicationId": name},
        })
    });
    let batch: SqsEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
    let handler = BatchHandler::new(worker, None);
    let answer = handler
        .handle(&batch, Deadline::within(Duration::from_secs(1)))
        .await;
    let back = json!({"batchItemFailures": [{"itemIdentifier": "bob"}]});
    assert_eq!(serde_json::to_value(answer).unwrap(), back);
    for (id, is_recorded) in [("ann", true), ("bob", false), ("eve", true)] {
        let record = world.table.ledger.record(id).await.unwrap();
        assert_eq!(record.is_some(), is_recorded, "{id}");
    }
    let lines = metrics.take_lines(0).join("\n");
    assert!(lines.contains("\"Failed\":2"), "{lines}");
}
