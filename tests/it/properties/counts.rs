//! What happened in the histories, counted.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

/// Who was struck.
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
    /// Counts `times` more; zero makes the kind known.
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
    /// Faults that struck, by kind.
    pub faults: Tally,
    /// Workers that were killed, by the call that was the last.
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
             {} events failed for good, {} refusals at the end, {} requests",
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
        )
    }
}
