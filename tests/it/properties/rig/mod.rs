//! Plays a history: both simulators, one table, two receivers with a worker each, and a movable clock.

mod findings;
mod okta;
mod operator;
mod processes;
mod rest;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::event::HOOK_EVENT_TYPES;
use okta_anypoint::lambda::http::{HttpEvent, answer};
use okta_anypoint::provision::{Changes, Policy};
use okta_anypoint::receiver::Receiver;
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::worker::{Pace, Worker};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use super::counts::{Counts, Remote};
use super::faults::Faults;
use super::hand::Hand;
use super::history::{History, Kinds, Step};
use super::lambdas::Lambdas;
use super::lies::Times;
use super::wronged::Wanted;
use crate::schedule::MovedClock;
use crate::world::{SECRET, World};
use operator::Operator;
use processes::{INLINE_TIME, dynamodb_table, memory_table, second_process};

pub use findings::End;

/// Words of a reconcile that finds no linked account.
const NONE_THERE: &str = "linked accounts is in the organization; nothing was changed";

/// The owner of the organization at Anypoint.
pub const OWNER: &str = "owner";

/// A finished delivery.
struct Landed {
    events: Vec<LogEvent>,
    /// `None` if it was cut off.
    status: Option<u64>,
}

pub struct Rig {
    pub world: World,
    clock: Arc<MovedClock>,
    /// When the clock was moved, in milliseconds since the epoch on the real one, and how far.
    moves: Vec<(i64, i64)>,
    receivers: [Arc<Receiver>; 2],
    workers: [Arc<Worker>; 2],
    pub users: Vec<String>,
    pub groups: Vec<String>,
    emails: HashMap<String, BTreeSet<String>>,
    pool: Vec<LogEvent>,
    in_flight: JoinSet<Landed>,
    open: Vec<LogEvent>,
    pub hand: Hand,
    teams_ever_linked: BTreeSet<String>,
    account_emails: BTreeMap<String, String>,
    faults: Faults,
    /// What Okta wanted, and every owner of every object.
    wanted: Wanted,
    owners_ever: BTreeMap<String, BTreeSet<String>>,
    groups_ever: BTreeMap<String, BTreeSet<String>>,
    operator: Operator,
    policy: Policy,
    /// The uuids of the accepted events, and the time of the last sent event.
    taken: BTreeSet<String>,
    last_sent_ms: i64,
    pub counts: Counts,
    pub problems: Vec<String>,
    tmp_names: u32,
    racing: bool,
    /// The deployed binaries and their current turn, if the history runs through them.
    lambdas: Option<Arc<Lambdas>>,
    turn: Option<JoinHandle<()>>,
}

impl Rig {
    pub async fn new(history: &History, kinds: Kinds) -> Self {
        let clock = Arc::new(MovedClock::default());
        let (table, name) = match kinds.binaries {
            true => dynamodb_table(clock.clone()).await,
            false => (memory_table(clock.clone()), String::new()),
        };
        let policy = history.policy.clone();
        // The binaries run on the real clock, and so does what works beside them.
        let program: Arc<dyn Clock> = match kinds.binaries {
            true => Arc::new(SystemClock),
            false => clock.clone(),
        };
        let world = World::at(program, table, policy, Pace::INLINE, INLINE_TIME).await;
        {
            let mut anypoint = world.anypoint();
            anypoint.member_read_lag = history.lag;
            anypoint.foreign_usernames.insert("taken".to_owned());
            // An organization has its owner, whom no step touches.
            anypoint
                .add_user(OWNER, "Olga", "Owner", "owner@example.org")
                .unwrap();
        }
        let lambdas = match kinds.binaries {
            true => {
                let seed = history.steps.len() as u64;
                let lambdas = Lambdas::start(&world, &name, &history.policy, seed).await;
                Some(Arc::new(lambdas))
            }
            false => None,
        };
        let (first, one) = second_process(&world, Changes::Apply);
        let (second, two) = second_process(&world, Changes::Apply);
        let times = match kinds.binaries {
            true => Times::QUEUED,
            false => Times::INLINE,
        };
        let operator = Operator::new(&world);
        Self {
            wanted: Wanted::default(),
            owners_ever: BTreeMap::new(),
            groups_ever: BTreeMap::new(),
            operator,
            policy: history.policy.clone(),
            world,
            clock,
            moves: Vec::new(),
            receivers: [Arc::new(first), Arc::new(second)],
            workers: [one, two],
            users: Vec::new(),
            groups: Vec::new(),
            emails: HashMap::new(),
            pool: Vec::new(),
            in_flight: JoinSet::new(),
            open: Vec::new(),
            hand: Hand::default(),
            teams_ever_linked: BTreeSet::new(),
            account_emails: BTreeMap::new(),
            faults: Faults::new(times),
            taken: BTreeSet::new(),
            last_sent_ms: 0,
            counts: Counts::default(),
            problems: Vec::new(),
            tmp_names: 0,
            racing: kinds.racing,
            lambdas,
            turn: None,
        }
    }

    pub async fn play(&mut self, steps: &[Step]) {
        for step in steps {
            self.counts.steps += 1;
            tracing::debug!("{step:?}");
            if self.take(step).await.is_none() {
                self.counts.idle_steps += 1;
            }
            self.watch().await;
            self.take_turns().await;
            // Running deliveries get time between two steps.
            tokio::task::yield_now().await;
        }
    }

    /// `None` if the step had no object, or was refused.
    async fn take(&mut self, step: &Step) -> Option<()> {
        match step {
            Step::Deliver {
                percent,
                twice,
                both,
                wait,
                crash_after_ms,
                dice,
            } => {
                let mut dice = StdRng::seed_from_u64(*dice);
                let events = self.draw(*percent, &mut dice)?;
                let crash = crash_after_ms.map(|ms| Duration::from_millis(ms.into()));
                self.deliver(events, *twice, *both, crash, &mut dice);
                if *wait || !self.racing {
                    self.land().await;
                }
                if !self.racing {
                    // A team may change its owner between two deliveries. The new owner reads the members at the handover, not older
                    // ones.
                    self.world.anypoint().let_reads_catch_up();
                }
                Some(())
            }
            Step::Lose { percent, dice } => {
                let lost = self.draw(*percent, &mut StdRng::seed_from_u64(*dice))?;
                self.counts.lost += lost.len();
                Some(())
            }
            Step::Fault(fault) => {
                self.faults.play(fault, &self.world, self.clock.now_ms());
                Some(())
            }
            Step::Lie(lie) => self.lie(lie).await,
            Step::Approve(which) => self.approve(*which).await,
            Step::Changes(changes) => self.change_to(*changes).await,
            by_hand @ (Step::HandUser { .. }
            | Step::SsoUser { .. }
            | Step::HandTeam { .. }
            | Step::HandJoin { .. }
            | Step::HandLeave { .. }
            | Step::HandEnable { .. }
            | Step::HandName { .. }
            | Step::HandRenameTeam { .. }
            | Step::HandDeleteTeam { .. }
            | Step::HandDeleteAccount { .. }
            | Step::ForeignName { .. }
            | Step::RevokeTokens) => {
                self.land().await;
                let revokes = matches!(by_hand, Step::RevokeTokens);
                if revokes && !self.faults.may_revoke(Remote::Anypoint) {
                    return None;
                }
                self.watch().await;
                self.faults.end_lie(&self.world);
                let owners = self.owners().await;
                let linked: BTreeSet<String> = self
                    .all_team_links()
                    .await
                    .into_values()
                    .map(|link| link.team_id.to_string())
                    .collect();
                let mut anypoint = self.world.anypoint();
                let done = self.hand.does(by_hand, &mut anypoint, &owners, &linked);
                anypoint.let_reads_catch_up();
                done
            }
            in_okta => {
                let clock = self.world.ports.clock.clone();
                let before_ms = clock.now_ms();
                let done = self.okta(in_okta);
                let okta = self.world.okta.world();
                self.wanted
                    .note(&okta, &self.policy, before_ms, clock.now_ms());
                done
            }
        }
    }

    fn draw(&mut self, percent: u8, dice: &mut StdRng) -> Option<Vec<LogEvent>> {
        self.pool.shuffle(dice);
        let share = (self.pool.len() * usize::from(percent)).div_ceil(100);
        let drawn = self.pool.split_off(self.pool.len() - share);
        (!drawn.is_empty()).then_some(drawn)
    }

    /// Sends events in several concurrent deliveries.
    fn deliver(
        &mut self,
        events: Vec<LogEvent>,
        twice: bool,
        both: bool,
        crash: Option<Duration>,
        dice: &mut StdRng,
    ) {
        let size = dice.random_range(1..=events.len().min(8));
        let mut at = usize::from(dice.random::<bool>());
        for events in events.chunks(size) {
            if both {
                at = 1 - at;
            }
            self.send(at, events.to_vec(), crash);
            if twice && both {
                // Okta's retry reaches the other process while the first still works.
                self.send(1 - at, events.to_vec(), None);
                self.counts.doubled += events.len();
            } else if twice {
                self.pool.extend(events.iter().cloned());
                self.counts.doubled += events.len();
            }
        }
    }

    fn send(&mut self, at: usize, events: Vec<LogEvent>, crash: Option<Duration>) {
        self.counts.deliveries += 1;
        self.counts.events += events.len();
        for event in &events {
            self.counts.late += usize::from(event.published_ms < self.last_sent_ms);
            self.last_sent_ms = self.last_sent_ms.max(event.published_ms);
        }
        let body = self.world.okta.world().delivery(&events);
        if let Some(lambdas) = self.lambdas.clone() {
            self.in_flight.spawn(async move {
                let status = Some(lambdas.deliver(body.to_string()).await);
                Landed { events, status }
            });
            return;
        }
        // For the binaries, the traps kill them at their calls instead.
        self.counts.cut_off += usize::from(crash.is_some());
        let receiver = match self.operator.receiver() {
            Some(other) => other,
            None => self.receivers[at].clone(),
        };
        self.in_flight.spawn(async move {
            let event = json!({
                "headers": {"authorization": SECRET},
                "requestContext": {"http": {"method": "POST", "path": "/okta"}},
                "body": body.to_string(),
            });
            let event: HttpEvent = serde_json::from_str(&event.to_string()).unwrap();
            let answered = answer(&receiver, event);
            let status = match crash {
                None => Some(answered.await),
                // As in a killed process, the work stops at its current await point.
                Some(after) => tokio::time::timeout(after, answered).await.ok(),
            };
            let status = status.and_then(|answer| {
                let answer = serde_json::to_value(answer).unwrap();
                answer["statusCode"].as_u64()
            });
            Landed { events, status }
        });
    }

    /// Waits for the running deliveries. Events that were not accepted stay open.
    async fn land(&mut self) {
        while let Some(landed) = self.in_flight.join_next().await {
            let Landed { events, status } = landed.unwrap();
            match status {
                Some(204) => self
                    .taken
                    .extend(events.into_iter().filter(acts).map(|event| event.uuid)),
                Some(503) | None => {
                    self.counts.refused += usize::from(status.is_some());
                    self.open.extend(events);
                }
                Some(other) => self
                    .problems
                    .push(format!("a delivery was answered {other}")),
            }
            self.watch().await;
        }
        // The running work, and the messages queued meanwhile.
        for _ in 0..2 {
            self.take_turns().await;
            if let Some(turn) = self.turn.take() {
                turn.await.unwrap();
                self.watch().await;
            }
        }
        self.faults.landed();
    }

    /// The workers take their next batches, if they are free.
    async fn take_turns(&mut self) {
        let Some(lambdas) = &self.lambdas else { return };
        if self.operator.changes() == Changes::Pause {
            return;
        }
        if self.turn.as_ref().is_some_and(|turn| !turn.is_finished()) {
            return;
        }
        if let Some(turn) = self.turn.take() {
            turn.await.unwrap();
        }
        self.turn = Some(tokio::spawn(lambdas.clone().turn()));
    }

    /// The binaries apply, without faults, the events that they accepted.
    async fn settle(&mut self) {
        if let Some(lambdas) = self.lambdas.clone() {
            lambdas.calm().await;
            self.watch().await;
        }
    }

    /// The binaries apply what they find in the System Log and on both sides.
    pub async fn run_schedules(&mut self) {
        if let Some(lambdas) = self.lambdas.clone() {
            let failures = lambdas.run_schedules().await;
            for failure in failures {
                // If every linked account was deleted by hand, a reconcile must stop.
                if !failure.contains(NONE_THERE) || self.any_linked_account_is_there().await {
                    self.problems.push(failure);
                }
            }
            self.watch().await;
            lambdas.count(&mut self.counts);
            self.problems.extend(lambdas.problems(&self.world));
        }
    }

    async fn any_linked_account_is_there(&self) -> bool {
        let links = self.world.table.store.all_user_links().await.unwrap();
        let anypoint = self.world.anypoint.world();
        let mut linked = links.values().map(|link| link.anypoint_id.as_str());
        linked.any(|account| anypoint.users.contains_key(account))
    }
}

/// Whether the program looks at the subject of an event.
fn acts(event: &LogEvent) -> bool {
    HOOK_EVENT_TYPES.contains(&event.event_type.as_str())
}
