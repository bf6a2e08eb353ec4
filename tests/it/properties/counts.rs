//! Counts of what happened in the histories.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

/// Where a fault or lie occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Remote {
    Okta,
    Anypoint,
    #[serde(rename = "DynamoDB")]
    Table,
    #[serde(rename = "SQS")]
    Queue,
}

/// How often each kind of thing happened, and at which remote.
#[derive(Default, Debug, Clone, Serialize)]
pub struct Tally(BTreeMap<String, BTreeMap<Remote, usize>>);

impl Tally {
    /// Adds `times`. Zero lists the kind without a count.
    pub fn add(&mut self, kind: impl Into<String>, remote: Remote, times: usize) {
        let kind = self.0.entry(kind.into()).or_default();
        *kind.entry(remote).or_default() += times;
    }

    pub fn sum(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).sum()
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (kind, remotes) in other.0 {
            for (remote, times) in remotes {
                self.add(kind.as_str(), remote, times);
            }
        }
    }
}

#[derive(Default, Debug, Clone, Serialize)]
pub struct Counts {
    pub histories: usize,
    pub steps: usize,
    pub longest: usize,
    pub idle_steps: usize,
    pub deliveries: usize,
    pub refused: usize,
    pub events: usize,
    pub doubled: usize,
    pub late: usize,
    pub lost: usize,
    pub cut_off: usize,
    pub handed_out_again: usize,
    pub looks: usize,
    pub permanent: usize,
    pub refusals: usize,
    pub requests: usize,
    /// Accounts disabled, and people taken out of teams.
    pub disabled: usize,
    pub taken_out: usize,
    /// Those of both whom Okta wanted all the time: wrongful losses.
    pub wrongful: usize,
    /// Changes that the brake held, and that an operator approved.
    pub held: usize,
    pub approved: usize,
    /// Writes at Anypoint that were compared with the audit trail.
    pub audited: usize,
    /// Lies and refusals, by kind.
    pub lies: Tally,
    /// Faults that occurred, by kind.
    pub faults: Tally,
    /// Killed workers, by their last call.
    pub killed: Tally,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.longest = self.longest.max(other.longest);
        self.idle_steps += other.idle_steps;
        self.deliveries += other.deliveries;
        self.refused += other.refused;
        self.events += other.events;
        self.doubled += other.doubled;
        self.late += other.late;
        self.lost += other.lost;
        self.cut_off += other.cut_off;
        self.handed_out_again += other.handed_out_again;
        self.looks += other.looks;
        self.permanent += other.permanent;
        self.refusals += other.refusals;
        self.requests += other.requests;
        self.disabled += other.disabled;
        self.taken_out += other.taken_out;
        self.wrongful += other.wrongful;
        self.held += other.held;
        self.approved += other.approved;
        self.audited += other.audited;
        self.lies += other.lies;
        self.faults += other.faults;
        self.killed += other.killed;
    }
}

impl Counts {
    pub fn summary(&self) -> String {
        format!(
            "{} histories, {} steps ({} of them without effect, the longest history {}), \
             {} deliveries of {} events ({} doubled, {} after a later one, {} lost), {} refused, \
             {} cut off, {} killed, {} faults struck, {} messages handed out again, {} looks, \
             {} events failed for good, {} refusals at the end, {} requests, {} lies told, \
             {} accounts disabled and {} people taken out of teams, {} of them wrongfully, {} held \
             and {} approved, {} writes audited",
            self.histories,
            self.steps,
            self.idle_steps,
            self.longest,
            self.deliveries,
            self.events,
            self.doubled,
            self.late,
            self.lost,
            self.refused,
            self.cut_off,
            self.killed.sum(),
            self.faults.sum(),
            self.handed_out_again,
            self.looks,
            self.permanent,
            self.refusals,
            self.requests,
            self.lies.sum(),
            self.disabled,
            self.taken_out,
            self.wrongful,
            self.held,
            self.approved,
            self.audited,
        )
    }
}
