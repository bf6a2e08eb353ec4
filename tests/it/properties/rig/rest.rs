//! Brings a history to rest: sends open events again, and looks at every subject.

use std::collections::HashMap;
use std::time::Duration;

use okta_anypoint::clock::{Clock as _, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::ledger::{Reason, Record};
use okta_anypoint::provision::Changes;
use okta_anypoint::worker::Verdict;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::Rig;
use super::findings::settled;

/// The maximum number of rounds of redelivery, and of looks.
const MAX_ROUNDS: usize = 12;
/// A process that fetched a token in vain fetches no other for this long, on the real clock. If the side refuses
/// everybody meanwhile, it begins no look.
const TOKEN_STAYS: Duration = Duration::from_secs(60);

impl Rig {
    /// Ends the faults, and sends open events again until none is left.
    pub async fn quiet(&mut self) {
        self.change_to(Changes::Apply).await;
        self.land().await;
        self.watch().await;
        let (faults, lies) = self.faults.end(&self.world);
        self.counts.faults += faults;
        self.counts.lies += lies;
        let mut dice = StdRng::seed_from_u64(self.counts.steps as u64);
        let pool = std::mem::take(&mut self.pool);
        self.open.extend(pool);
        for _ in 0..MAX_ROUNDS {
            let mut open = std::mem::take(&mut self.open);
            if open.is_empty() {
                self.settle().await;
                return self.release().await;
            }
            open.sort_by(|a, b| a.uuid.cmp(&b.uuid));
            open.dedup_by(|a, b| a.uuid == b.uuid);
            open.shuffle(&mut dice);
            let before = open.len();
            self.deliver(open, false, true, None, &mut dice);
            self.land().await;
            self.watch().await;
            // Leases of runs that were cut off end. All rounds together are longer than a creation without an answer is open.
            self.advance(Duration::from_secs(60));
            if self.open.len() == before {
                tokio::time::sleep(TOKEN_STAYS / 10).await;
            }
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

    /// Looks at every subject, round by round, until a round writes nothing. Returns the records of the last round.
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
            if round > MAX_ROUNDS {
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
        let mut records = HashMap::new();
        for _ in 0..MAX_ROUNDS {
            let deadline = Deadline::within(Duration::from_secs(120));
            let verdicts = worker.run(&changes, Reason::Delivery, deadline).await;
            let mut untried = Vec::new();
            for (change, verdict) in changes.into_iter().zip(verdicts) {
                let record = self.world.table.ledger.record(change.uuid.as_str()).await;
                let Some(record) = record.unwrap() else {
                    untried.push(change);
                    continue;
                };
                assert_eq!(verdict == Verdict::Settled, settled(&record));
                records.insert(change.subject.to_string(), record);
            }
            if untried.is_empty() {
                return records;
            }
            changes = untried;
            tokio::time::sleep(TOKEN_STAYS / 10).await;
        }
        panic!("no record of these looks: {changes:#?}");
    }

    /// Moves the clock past every lease and every memory of fresh writes.
    pub fn let_time_pass(&mut self) {
        self.advance(Duration::from_secs(120));
    }

    fn advance(&mut self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap();
        self.moves.push((SystemClock.now_ms(), by_ms));
        self.clock.advance(by);
    }

    /// The time of the program's clock when the real one showed `real_ms`.
    pub(super) fn program_ms(&self, real_ms: i64) -> i64 {
        let moved = self.moves.iter().filter(|(at_ms, _)| *at_ms <= real_ms);
        match self.lambdas {
            Some(_) => real_ms,
            None => real_ms + moved.map(|(_, by_ms)| by_ms).sum::<i64>(),
        }
    }
}
