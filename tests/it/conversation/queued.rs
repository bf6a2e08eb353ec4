//! A user and a group behind a queue. Time passes here only when a test advances the clock.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::{Clock, rfc3339};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::{Change, read_delivery};
use okta_anypoint::ledger::{Reason, Record};
use okta_anypoint::provision::{GroupSelection, Policy};
use okta_anypoint::simulator::okta::{LogEvent, OktaWorld, Refusal, Target};
use okta_anypoint::sqlite::Database;
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::worker::{Pace, Verdict, Worker};

use crate::schedule::{MovedClock, Recorder};
use crate::world::{APP, World, embedded};

pub(super) const CONFIRM: Duration = Duration::from_secs(15);
/// The clock of a world runs a little ahead when much happens at once.
pub(super) const SLACK: Duration = Duration::from_secs(1);

pub(super) struct Queued {
    pub(super) world: World,
    pub(super) clock: Arc<MovedClock>,
    worker: Worker,
}

impl Queued {
    /// A pushed group "Devs" with one member, ann, who has an account.
    pub(super) async fn devs_with_ann(policy: Policy) -> (Self, String, String) {
        let clock = Arc::new(MovedClock::default());
        let shared: Arc<dyn Clock> = clock.clone();
        let table = embedded(Database::in_memory().unwrap(), &shared);
        let time = Duration::from_secs(20);
        let mut world = World::on(table, policy, Pace::INLINE, time).await;
        world.ports.clock = shared;
        let metrics = Arc::new(Metrics::new("test"));
        let worker = Worker::new(world.ports.clone(), None, metrics, Pace::QUEUED);
        let queued = Self {
            world,
            clock,
            worker,
        };
        let devs = queued.world.okta.world().create_group("Devs").unwrap().id;
        let ann = queued.world.user("ann");
        let mut events = queued.does(|okta| okta.assign_group(APP, &devs));
        events.extend(queued.does(|okta| okta.assign(APP, &ann)));
        events.extend(queued.does(|okta| okta.add_member(&devs, &ann)));
        queued.settles(&events).await;
        queued.has_everything();
        // The memory of fresh writes has expired.
        queued.pass(Duration::from_secs(600));
        (queued, devs, ann)
    }

    /// Restarts the worker with other groups to push.
    pub(super) fn selects(&mut self, groups: GroupSelection) {
        Arc::make_mut(&mut self.world.ports.policy).groups = groups;
        let metrics = Arc::new(Metrics::new("test"));
        self.worker = Worker::new(self.world.ports.clone(), None, metrics, Pace::QUEUED);
    }

    /// Restarts the worker with a queue for the subjects that follow.
    pub(super) fn recording(mut self) -> (Self, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        let metrics = Arc::new(Metrics::new("test"));
        let ports = self.world.ports.clone();
        self.worker = Worker::new(ports, Some(recorder.clone()), metrics, Pace::QUEUED);
        (self, recorder)
    }

    pub(super) fn does(
        &self,
        change: impl FnOnce(&mut OktaWorld) -> Result<Vec<LogEvent>, Refusal>,
    ) -> Vec<LogEvent> {
        self.world.okta_does(change)
    }

    pub(super) fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.world.okta.world().clock.advance(time);
    }

    pub(super) async fn work(&self, changes: &[Change], reason: Reason) -> Vec<Verdict> {
        let deadline = Deadline::within(Duration::from_secs(60));
        self.worker.run(changes, reason, deadline).await
    }

    pub(super) async fn give(&self, events: &[LogEvent]) -> Vec<Verdict> {
        let body = self.world.okta.world().delivery(events).to_string();
        let read = read_delivery(
            body.as_bytes(),
            &self.world.ports.app,
            &rfc3339(self.clock.now_ms()),
        );
        self.work(&read.unwrap().changes, Reason::Delivery).await
    }

    /// Checks that all events are done at once.
    pub(super) async fn settles(&self, events: &[LogEvent]) {
        let verdicts = self.give(events).await;
        assert!(
            verdicts.iter().all(|v| *v == Verdict::Settled),
            "{verdicts:?}"
        );
    }

    /// Checks that all events go back for a second look. Returns when they are due.
    pub(super) async fn waits(&self, events: &[LogEvent]) -> Duration {
        let verdicts = self.give(events).await;
        let Some(Verdict::Wait { after }) = verdicts.first() else {
            panic!("{verdicts:?}")
        };
        assert!(
            verdicts.iter().all(|v| v == verdicts.first().unwrap()),
            "{verdicts:?}"
        );
        assert!(*after <= CONFIRM, "{after:?}");
        *after
    }

    pub(super) async fn record(&self, event: &LogEvent) -> Record {
        self.world.record(event).await
    }

    pub(super) fn hint(&self, ann: &str) -> Vec<LogEvent> {
        vec![self.world.hint(ann)]
    }

    /// A false event of this type about the group.
    pub(super) fn group_event(&self, event_type: &str, group: &str) -> Vec<LogEvent> {
        let target = |id: &str, kind: &str| Target {
            id: id.to_owned(),
            kind: kind.to_owned(),
            alternate_id: "unknown".to_owned(),
            display_name: "unknown".to_owned(),
        };
        let targets = vec![target(group, "UserGroup"), target(APP, "AppInstance")];
        let event = self
            .world
            .okta
            .world()
            .write_event(event_type, targets, &[]);
        vec![event]
    }

    /// A false event of this type about the user, the app and the group.
    pub(super) fn user_event(&self, event_type: &str, ann: &str, devs: &str) -> LogEvent {
        let target = |id: &str, kind: &str| Target {
            id: id.to_owned(),
            kind: kind.to_owned(),
            alternate_id: "unknown".to_owned(),
            display_name: "unknown".to_owned(),
        };
        let targets = vec![
            target(ann, "User"),
            target(APP, "AppInstance"),
            target(devs, "UserGroup"),
        ];
        let mut okta = self.world.okta.world();
        okta.write_event(event_type, targets, &[])
    }

    pub(super) fn has_everything(&self) {
        assert_eq!(self.world.account("ann"), "ann Example - enabled");
        assert_eq!(self.world.team("Devs"), "ann");
    }

    pub(super) fn has_team(&self) {
        assert_eq!(self.world.team("Devs"), "ann");
    }

    pub(super) fn has_nothing(&self) {
        assert_eq!(self.world.account("ann"), "ann Example - disabled");
        assert_eq!(self.world.team("Devs"), "");
    }
}

pub(super) async fn start() -> (Queued, String, String) {
    Queued::devs_with_ann(Policy::default()).await
}
