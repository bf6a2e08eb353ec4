//! Plays a history: both simulators, one table, two receivers with a worker each, a clock that can be
//! moved.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::Method;
use okta_anypoint::anypoint::Anypoint;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::{Change, HOOK_EVENT_TYPES};
use okta_anypoint::http::HttpClient;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, OrganizationId, Subject};
use okta_anypoint::lambda::http::{HttpEvent, answer};
use okta_anypoint::ledger::{DynamoDbLedger, Filter, Reason, Record, SqliteLedger, Status};
use okta_anypoint::okta::{Credentials, Okta};
use okta_anypoint::receiver::{Gate, Receiver};
use okta_anypoint::simulator::okta::{LogEvent, NewUser, OktaWorld, Refusal};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::{DynamoDbStore, SqliteStore, TeamLink, Tenure, UserLink};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::Table;
use okta_anypoint::worker::{InlineQueue, Pace, Verdict, Worker};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use super::counts::{Counts, Remote};
use super::faults::Faults;
use super::hand::Hand;
use super::history::*;
use super::lambdas::Lambdas;
use super::model::TRUE_REASONS;
use crate::servers;
use crate::world::{APP, SECRET, World};

/// The time that a delivery has, as in production.
const INLINE_TIME: Duration = Duration::from_millis(2_300);
/// Words of a reconcile that finds no linked account.
const NONE_THERE: &str = "linked accounts is in the organization; nothing was changed";
/// Rounds of redelivery, and of looks, that have to be enough.
const MOST_ROUNDS: usize = 12;

/// The real time plus an offset.
#[derive(Default)]
pub struct MovedClock(AtomicI64);

impl Clock for MovedClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::SeqCst)
    }
}

/// What was seen when all was quiet: the material of the model.
pub struct End {
    pub policy: okta_anypoint::provision::Policy,
    pub okta: OktaWorld,
    pub anypoint: okta_anypoint::simulator::anypoint::AnypointWorld,
    pub user_links: HashMap<String, UserLink>,
    pub team_links: HashMap<String, TeamLink>,
    /// Every account that was ever linked, with its last owner and tenure.
    pub owners: HashMap<String, (String, Tenure)>,
    /// The record of the last look at each subject.
    pub last_looks: HashMap<String, Record>,
    pub users: Vec<String>,
    pub groups: Vec<String>,
    pub emails: HashMap<String, BTreeSet<String>>,
    pub hand: Hand,
    pub teams_ever_linked: BTreeSet<String>,
    pub teams_deleted_by_program: BTreeSet<String>,
    /// E-mail addresses as the accounts were first seen with.
    pub account_emails: BTreeMap<String, String>,
}

/// A delivery that is over.
struct Landed {
    events: Vec<LogEvent>,
    /// `None` when it was cut off.
    status: Option<u64>,
}

pub struct Rig {
    pub world: World,
    clock: Arc<MovedClock>,
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
    /// The uuids of the events that were taken, and when the last event that was sent had happened.
    taken: BTreeSet<String>,
    last_sent_ms: i64,
    pub counts: Counts,
    pub problems: Vec<String>,
    tmp_names: u32,
    racing: bool,
    /// The deployed binaries, and their turn under way, where a history goes through them.
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
        let world = World::on(table, policy, Pace::INLINE, INLINE_TIME).await;
        {
            let mut anypoint = world.anypoint();
            anypoint.member_read_lag = history.lag;
            anypoint.foreign_usernames.insert("taken".to_owned());
        }
        let lambdas = match kinds.binaries {
            true => {
                let seed = history.steps.len() as u64;
                let lambdas = Lambdas::start(&world, &name, &history.policy, seed).await;
                Some(Arc::new(lambdas))
            }
            false => None,
        };
        let (first, one) = second_process(&world);
        let (second, two) = second_process(&world);
        Self {
            world,
            clock,
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
            faults: Faults::default(),
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
            // Deliveries under way get a chance to run between two steps.
            tokio::task::yield_now().await;
        }
    }

    /// `None` when the step had nothing to act on, or was refused.
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
                    // A team may change hands between two deliveries; whoever takes it over reads its
                    // members as they were when it was given away, not as they were before.
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
                self.watch().await;
                let owners = self.owners().await;
                let linked: BTreeSet<String> = self
                    .all_team_links()
                    .await
                    .into_values()
                    .map(|link| link.team_id.to_string())
                    .collect();
                let done = {
                    let mut anypoint = self.world.anypoint();
                    let done = self.hand.does(by_hand, &mut anypoint, &owners, &linked);
                    anypoint.let_reads_catch_up();
                    done
                };
                if matches!(by_hand, Step::RevokeTokens) {
                    self.faults.may_revoke(Remote::Anypoint);
                }
                done
            }
            in_okta => self.okta(in_okta),
        }
    }

    fn okta(&mut self, step: &Step) -> Option<()> {
        let users = self.users.clone();
        let groups = self.groups.clone();
        let user = |n: &usize| pick(&users, *n);
        let group = |n: &usize| pick(&groups, *n);
        let mut okta = self.world.okta.world();
        let wrote: Result<Vec<LogEvent>, Refusal> = match step {
            Step::CreateUser { person, email } => {
                let login = format!("{}@acme.example", PEOPLE[*person]);
                let mut new =
                    NewUser::active(&login, PEOPLE[*person], "Example", EMAILS[*email], None);
                let id = format!("00u{}", users.len());
                new.id = Some(id.clone());
                okta.create_user_from(new).map(|created| {
                    self.users.push(id.clone());
                    self.emails
                        .entry(id)
                        .or_default()
                        .insert(EMAILS[*email].to_lowercase());
                    created.events
                })
            }
            Step::Assign {
                user: n,
                username: None,
            } => okta.assign(APP, user(n)?),
            Step::Assign {
                user: n,
                username: Some(name),
            } => okta.assign_with_username(APP, user(n)?, USERNAMES[*name]),
            Step::Unassign { user: n } => okta.unassign(APP, user(n)?),
            Step::Username { user: n, name } => {
                okta.set_app_username(APP, user(n)?, USERNAMES[*name])
            }
            Step::SwapUsernames { one, two } => {
                let (one, two) = (user(one)?, user(two)?);
                let name = |user: &str| Some(okta.apps[APP].users.get(user)?.user_name.clone());
                let (name_one, name_two) = (name(one)?, name(two)?);
                okta.set_app_username(APP, one, &name_two)
                    .and_then(|mut events| {
                        events.extend(okta.set_app_username(APP, two, &name_one)?);
                        Ok(events)
                    })
            }
            Step::FirstName { user: n, name } => {
                okta.update_profile(user(n)?, &[("firstName", json!(FIRST_NAMES[*name]))])
            }
            Step::Phone { user: n, phone } => {
                okta.update_profile(user(n)?, &[("mobilePhone", json!(PHONES[*phone]))])
            }
            Step::Email { user: n, email } => {
                let id = user(n)?;
                let done = okta.update_profile(id, &[("email", json!(EMAILS[*email]))]);
                if done.is_ok() {
                    self.emails
                        .entry(id.to_owned())
                        .or_default()
                        .insert(EMAILS[*email].to_lowercase());
                }
                done
            }
            Step::Suspend { user: n } => okta.suspend(user(n)?),
            Step::Unsuspend { user: n } => okta.unsuspend(user(n)?),
            Step::Deactivate { user: n } => okta.deactivate(user(n)?),
            Step::Activate { user: n } => okta.activate(user(n)?).and_then(|events| {
                okta.set_password(user(n).unwrap())?;
                Ok(events)
            }),
            Step::DeleteUser { user: n } => okta.delete_user(user(n)?),
            Step::CreateGroup { name } => {
                let id = format!("00g{}", groups.len());
                let profile = serde_json::from_value(json!({"name": GROUPS[*name]})).unwrap();
                okta.create_group_from(Some(&id), profile).map(|created| {
                    self.groups.push(id);
                    created.events
                })
            }
            Step::RenameGroup { group: n, name } => okta.rename_group(group(n)?, GROUPS[*name]),
            Step::PassNames { groups: numbers } => {
                self.tmp_names += 1;
                let chosen: BTreeSet<&str> = numbers.iter().filter_map(group).collect();
                let names: Option<Vec<String>> = chosen
                    .iter()
                    .map(|id| Some(okta.groups.get(*id)?.name().to_owned()))
                    .collect();
                let (chosen, mut names): (Vec<&str>, _) = (chosen.into_iter().collect(), names?);
                if chosen.len() < 2 {
                    return None;
                }
                names.rotate_left(1);
                let aside = format!("Aside {}", self.tmp_names);
                let mut pass = || {
                    let mut events = Vec::new();
                    for id in &chosen {
                        events.extend(okta.rename_group(id, &format!("{aside} {id}"))?);
                    }
                    for (id, name) in chosen.iter().zip(&names) {
                        events.extend(okta.rename_group(id, name)?);
                    }
                    Ok(events)
                };
                pass()
            }
            Step::DeleteGroup { group: n } => okta.delete_group(group(n)?),
            Step::AssignGroup { group: n } => okta.assign_group(APP, group(n)?),
            Step::UnassignGroup { group: n } => okta.unassign_group(APP, group(n)?),
            Step::AddMember { group: g, user: u } => okta.add_member(group(g)?, user(u)?),
            Step::RemoveMember { group: g, user: u } => okta.remove_member(group(g)?, user(u)?),
            _ => unreachable!("a step of Okta's"),
        };
        let events = wrote.ok()?;
        // An event that only the System Log has stands here for catch-up: as an update of the profile.
        let events = events.into_iter().map(|mut event| {
            if event.event_type == "application.user_membership.change_username" {
                event.event_type = "application.user_membership.update".to_owned();
            }
            event
        });
        self.pool.extend(events);
        Some(())
    }

    fn draw(&mut self, percent: u8, dice: &mut StdRng) -> Option<Vec<LogEvent>> {
        self.pool.shuffle(dice);
        let share = (self.pool.len() * usize::from(percent)).div_ceil(100);
        let drawn = self.pool.split_off(self.pool.len() - share);
        (!drawn.is_empty()).then_some(drawn)
    }

    /// Sends events in some deliveries at once.
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
                // Okta's retry meets the other process while the first is still at it.
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
        // The binaries are killed at their calls instead.
        self.counts.cut_off += usize::from(crash.is_some());
        let receiver = self.receivers[at].clone();
        self.in_flight.spawn(async move {
            let event: HttpEvent = serde_json::from_value(json!({
                "headers": {"authorization": SECRET},
                "requestContext": {"http": {"method": "POST", "path": "/okta"}},
                "body": body.to_string(),
            }))
            .unwrap();
            let answered = answer(&receiver, &event);
            let status = match crash {
                None => Some(answered.await),
                // A process that is gone: its work stops at whatever await point it is.
                Some(after) => tokio::time::timeout(after, answered).await.ok(),
            };
            let status = status.and_then(|answer| {
                let answer = serde_json::to_value(answer).unwrap();
                answer["statusCode"].as_u64()
            });
            Landed { events, status }
        });
    }

    /// Waits for the deliveries under way; what was not accepted is open.
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
        // What was under way, and what was just queued.
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
        if self.turn.as_ref().is_some_and(|turn| !turn.is_finished()) {
            return;
        }
        if let Some(turn) = self.turn.take() {
            turn.await.unwrap();
        }
        self.turn = Some(tokio::spawn(lambdas.clone().turn()));
    }

    /// The binaries work off without faults what they took.
    async fn settle(&mut self) {
        if let Some(lambdas) = self.lambdas.clone() {
            lambdas.calm().await;
            self.watch().await;
        }
    }

    /// What the binaries find by themselves, in the System Log and on both sides.
    pub async fn run_schedules(&mut self) {
        if let Some(lambdas) = self.lambdas.clone() {
            let failures = lambdas.run_schedules().await;
            for failure in failures {
                // Where every linked account was deleted by hand, a reconcile has to stop.
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

    /// Every event that was taken is done, or failed for a true reason; gives how many failed.
    pub async fn check_records(&mut self) -> usize {
        let records = self.records().await;
        let recorded: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
        for uuid in &self.taken {
            if !recorded.contains(uuid.as_str()) {
                self.problems.push(format!(
                    "event {uuid} was taken, and there is no record of it"
                ));
            }
        }
        for record in &records {
            if !settled(record) {
                self.problems.push(format!("an event is left: {record:?}"));
            }
            let text = record.error.as_deref().unwrap_or_default();
            let is_true = TRUE_REASONS.iter().any(|words| text.contains(words));
            if record.status == Status::Failed && !is_true {
                self.problems
                    .push(format!("a failure of no known kind: {text}"));
            }
        }
        let failed = records
            .iter()
            .filter(|record| record.status == Status::Failed);
        failed.count()
    }

    /// Everything that has to be noticed while it is there.
    async fn watch(&mut self) {
        for link in self.all_team_links().await.into_values() {
            self.teams_ever_linked.insert(link.team_id.to_string());
        }
        let anypoint = self.world.anypoint.world();
        for user in anypoint.users.values() {
            self.account_emails
                .entry(user.id.clone())
                .or_insert_with(|| user.email.clone());
        }
    }

    async fn all_team_links(&self) -> HashMap<OktaGroupId, TeamLink> {
        self.world.table.store.all_team_links().await.unwrap()
    }

    pub async fn owners(&self) -> HashMap<String, (String, Tenure)> {
        let accounts: Vec<AccountId> = {
            let anypoint = self.world.anypoint.world();
            let ids = anypoint.users.keys().chain(anypoint.deleted_users.keys());
            ids.map(|id| AccountId::parse(id.clone()).unwrap())
                .collect()
        };
        let owners = self.world.table.store.account_owners(&accounts).await;
        owners
            .unwrap()
            .into_iter()
            .map(|(account, owner)| {
                (
                    account.to_string(),
                    (owner.okta_user.to_string(), owner.tenure),
                )
            })
            .collect()
    }

    /// Faults end; what is open is sent again until nothing is.
    pub async fn quiet(&mut self) {
        self.land().await;
        self.watch().await;
        self.counts.faults += self.faults.end(&self.world);
        let mut dice = StdRng::seed_from_u64(self.counts.steps as u64);
        let pool = std::mem::take(&mut self.pool);
        self.open.extend(pool);
        for _ in 0..MOST_ROUNDS {
            let mut open = std::mem::take(&mut self.open);
            if open.is_empty() {
                return self.settle().await;
            }
            open.sort_by(|a, b| a.uuid.cmp(&b.uuid));
            open.dedup_by(|a, b| a.uuid == b.uuid);
            open.shuffle(&mut dice);
            self.deliver(open, false, true, None, &mut dice);
            self.land().await;
            self.watch().await;
            // Leases of runs that were cut off end.
            self.clock.0.fetch_add(10_000, Ordering::SeqCst);
        }
        let mut stuck = Vec::new();
        for event in &self.open {
            let record = self.world.table.ledger.record(&event.uuid).await.unwrap();
            stuck.push(format!(
                "{}: {:?}",
                event.event_type,
                record.and_then(|r| r.error)
            ));
        }
        self.problems.push(format!("events stay open: {stuck:#?}"));
    }

    /// Looks at every subject, round by round, until a round writes nothing. Gives the records of the
    /// last round.
    pub async fn looks(&mut self, least: usize) -> HashMap<String, Record> {
        for round in 0.. {
            let writes = self.successful_writes();
            let records = self.look_at_all(round).await;
            self.watch().await;
            let open = records
                .values()
                .filter(|record| !settled(record))
                .collect::<Vec<_>>();
            let wrote = self.successful_writes() - writes;
            if open.is_empty() && wrote == 0 && round >= least {
                return records;
            }
            if round > MOST_ROUNDS {
                self.problems.push(format!(
                    "looks do not come to rest: {wrote} writes in the last round, open: {open:#?}"
                ));
                return records;
            }
            self.counts.looks += records.len();
        }
        unreachable!()
    }

    /// One look at every subject.
    pub async fn look_at_all(&self, round: usize) -> HashMap<String, Record> {
        let mut dice = StdRng::seed_from_u64(round as u64);
        let now_ms = self.clock.now_ms();
        let users = self
            .users
            .iter()
            .map(|id| Subject::User(OktaUserId::parse(id.clone()).unwrap()));
        let groups = self
            .groups
            .iter()
            .map(|id| Subject::Group(OktaGroupId::parse(id.clone()).unwrap()));
        let mut changes: Vec<Change> = users
            .chain(groups)
            .map(|subject| Change::found(subject, now_ms))
            .collect();
        changes.shuffle(&mut dice);
        let worker = &self.workers[round % 2];
        let deadline = Deadline::within(Duration::from_secs(30));
        let verdicts = worker.run(&changes, Reason::Delivery, deadline).await;
        let mut records = HashMap::new();
        for (change, verdict) in changes.iter().zip(verdicts) {
            let record = self.world.table.ledger.record(change.uuid.as_str()).await;
            let record = record.unwrap().expect("a record of every look");
            assert_eq!(verdict == Verdict::Settled, settled(&record));
            records.insert(change.subject.to_string(), record);
        }
        records
    }

    /// Moves the clock past every lease and every note about fresh writes.
    pub fn let_time_pass(&self) {
        self.clock.0.fetch_add(120_000, Ordering::SeqCst);
    }

    pub fn successful_writes(&self) -> usize {
        let writes = self.world.anypoint.traffic().writes();
        writes
            .iter()
            .filter(|call| (200..300).contains(&call.status))
            .count()
    }

    /// The last successful writes, for reports.
    pub fn last_writes(&self, n: usize) -> Vec<String> {
        let writes = self.world.anypoint.traffic().writes();
        let done = writes
            .iter()
            .rev()
            .filter(|call| (200..300).contains(&call.status));
        done.take(n)
            .map(|call| format!("{} {} {:?}", call.method, call.path, call.body))
            .collect()
    }

    /// Everything that was written in Anypoint, for a trace.
    pub fn tell_writes(&self) {
        for call in self.world.anypoint.traffic().writes() {
            let mut body = call.body.unwrap_or_default();
            if let Some(fields) = body.as_object_mut() {
                fields.remove("password");
            }
            tracing::debug!(
                "at {} ms, {} ms long: {} {} {} {body}",
                call.at_ms,
                call.took_ms,
                call.status,
                call.method,
                call.path,
            );
        }
    }

    /// No request was outside the documents, and none did what never may be done.
    pub fn check_traffic(&mut self) {
        for traffic in [self.world.okta.traffic(), self.world.anypoint.traffic()] {
            self.problems.extend(traffic.unexpected());
            self.counts.requests += traffic.log().len();
        }
        for call in self.world.anypoint.traffic().writes() {
            let updates_address = call.method == Method::PUT
                && call
                    .body
                    .as_ref()
                    .is_some_and(|body| body.get("email").is_some());
            let deletes_account = call.method == Method::DELETE
                && call.path.contains("/users/")
                && !call.path.contains("/teams/");
            if updates_address || deletes_account {
                self.problems
                    .push(format!("{} {} {:?}", call.method, call.path, call.body));
            }
        }
        let okta_writes = self.world.okta.traffic().writes().len();
        if okta_writes > 0 {
            self.problems.push(format!("{okta_writes} writes to Okta"));
        }
    }

    pub async fn end(
        &mut self,
        policy: &okta_anypoint::provision::Policy,
        last_looks: HashMap<String, Record>,
    ) -> End {
        let owners = self.owners().await;
        let store = &self.world.table.store;
        let user_links = store.all_user_links().await.unwrap();
        let team_links = store.all_team_links().await.unwrap();
        let deleted = self
            .world
            .anypoint
            .traffic()
            .writes()
            .into_iter()
            .filter(|call| call.method == Method::DELETE && !call.path.ends_with("/members"))
            .filter_map(|call| call.path.split("/teams/").nth(1).map(str::to_owned));
        End {
            policy: policy.clone(),
            okta: self.world.okta.world().clone(),
            anypoint: self.world.anypoint.world().clone(),
            user_links: user_links
                .into_iter()
                .map(|(user, link)| (user.to_string(), link))
                .collect(),
            team_links: team_links
                .into_iter()
                .map(|(group, link)| (group.to_string(), link))
                .collect(),
            owners,
            last_looks,
            users: self.users.clone(),
            groups: self.groups.clone(),
            emails: self.emails.clone(),
            hand: self.hand.clone(),
            teams_ever_linked: self.teams_ever_linked.clone(),
            teams_deleted_by_program: deleted.collect(),
            account_emails: self.account_emails.clone(),
        }
    }

    /// What every event came to, reconciles of cut-off runs left out.
    pub async fn records(&self) -> Vec<Record> {
        let records = self.world.table.ledger.records(&Filter::default()).await;
        records
            .unwrap()
            .into_iter()
            .filter(|record| record.event_type != "reconcile")
            .collect()
    }
}

/// Whether an event has a subject that the program looks at.
fn acts(event: &LogEvent) -> bool {
    HOOK_EVENT_TYPES.contains(&event.event_type.as_str())
}

pub fn settled(record: &Record) -> bool {
    match record.status {
        Status::Done => true,
        Status::Failed => record.error_class == Some(okta_anypoint::failure::Class::Permanent),
        Status::InProgress => false,
    }
}

fn pick(ids: &[String], n: usize) -> Option<&str> {
    (!ids.is_empty()).then(|| ids[n % ids.len()].as_str())
}

fn memory_table(clock: Arc<MovedClock>) -> Table {
    let database = Database::in_memory().unwrap();
    Table {
        ledger: Arc::new(SqliteLedger::new(database.clone(), 30, clock.clone())),
        store: Arc::new(SqliteStore::new(database, clock)),
    }
}

/// A table of DynamoDB Local, and its name.
async fn dynamodb_table(clock: Arc<MovedClock>) -> (Table, String) {
    let (client, name) = servers::table().await;
    let table = Table {
        ledger: Arc::new(DynamoDbLedger::new(
            client.clone(),
            &name,
            30,
            clock.clone(),
        )),
        store: Arc::new(DynamoDbStore::new(client, &name, clock)),
    };
    (table, name)
}

/// A receiver and a worker with connections and a token of their own, on the table of `world`.
fn second_process(world: &World) -> (Receiver, Arc<Worker>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let http = HttpClient::new(clock.clone()).unwrap();
    let mut provisioner = world.provisioner.clone();
    provisioner.okta = Okta::new(
        http.clone(),
        world.okta.base_url().parse().unwrap(),
        Credentials::ApiToken("simulated-okta-token".to_owned().into()),
    );
    provisioner.anypoint = {
        let anypoint = world.anypoint.world();
        Anypoint::new(
            http,
            world.anypoint.base_url().parse().unwrap(),
            OrganizationId::parse(anypoint.org_id.clone()).unwrap(),
            anypoint.client_id.clone(),
            anypoint.client_secret.clone().into(),
        )
    };
    let metrics = Arc::new(Metrics::new("test"));
    let app = provisioner.app.clone();
    let worker = Arc::new(Worker::new(
        world.table.ledger.clone(),
        provisioner,
        None,
        metrics.clone(),
        Pace::INLINE,
    ));
    let queue = Arc::new(InlineQueue::new(worker.clone(), INLINE_TIME));
    let gate = Gate::new(
        "authorization".parse().unwrap(),
        &[SECRET.to_owned().into()],
    );
    (
        Receiver::new(gate.unwrap(), app, queue, clock, metrics),
        worker,
    )
}
