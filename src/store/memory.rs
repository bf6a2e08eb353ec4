//! What is remembered of one subject from run to run: the memo of its lease.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::TeamId;
use crate::ledger::{EndState, Lease, Memo};

/// How long reads of memberships may show the past after a write, in milliseconds.
const FRESH_MS: i64 = 60_000;
/// How long an announcement is remembered, in milliseconds: longer than a queue keeps a contrary event.
const GRANTED_MS: i64 = 30 * 86_400_000;
/// Announcements that are remembered: a memory has to fit into an item.
const MAX_GRANTED: usize = 100;

/// What was last written about a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastWrite {
    /// The account was put into the team.
    Joined,
    /// The account was taken out of it.
    Left,
}

/// A membership that was written moments ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshWrite {
    /// What was written.
    pub written: LastWrite,
    /// Until when reads may show the time before, milliseconds since the epoch.
    pub until_ms: i64,
}

/// The write-ahead record of an account that is about to be created or enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The account's username.
    pub username: String,
}

/// What one run leaves for the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The account that the run was about to create or enable, when it died.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub intent: Option<Intent>,
    /// Memberships that were written less than a minute ago, by team.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub fresh_teams: BTreeMap<TeamId, FreshWrite>,
    /// What was not shown when it was looked for, and since when, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub first_seen: BTreeMap<String, i64>,
    /// What events announced as granted, and when the last of them was published, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub granted: BTreeMap<String, i64>,
    /// How many runs in a row failed in a way that a retry may heal.
    #[serde(skip_serializing_if = "is_default", default)]
    pub failures: u32,
    /// Records of the subject that failed or are held, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub open: Vec<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Memory {
    /// What the lease's memo says.
    pub fn of(lease: &Lease, now_ms: i64) -> Self {
        Self::from_text(lease.memo(), now_ms)
    }

    /// What a memo says; one that cannot be read counts as empty. Memberships that are fresh no more
    /// are left out.
    pub fn from_text(memo: Option<&str>, now_ms: i64) -> Self {
        let memo = memo.and_then(|memo| serde_json::from_str(memo).ok());
        let mut memory: Self = memo.unwrap_or_default();
        memory
            .fresh_teams
            .retain(|_, fresh| fresh.until_ms > now_ms);
        memory
    }

    /// Counts a run that failed. Any other end begins the count anew.
    pub(crate) fn note_end(&mut self, state: &EndState) {
        self.failures = match state {
            EndState::Failed(failure) if failure.is_retryable() => self.failures.saturating_add(1),
            _ => 0,
        };
    }

    /// Remembers that a membership was written at `now_ms`.
    pub fn note_membership(&mut self, team: TeamId, written: LastWrite, now_ms: i64) {
        let until_ms = now_ms.saturating_add(FRESH_MS);
        self.fresh_teams
            .insert(team, FreshWrite { written, until_ms });
    }

    /// Remembers what events announced as granted, the newest of it.
    pub(crate) fn note_granted(
        &mut self,
        granted: impl Iterator<Item = (String, i64)>,
        now_ms: i64,
    ) {
        for (fact, published_ms) in granted {
            let last = self.granted.entry(fact).or_insert(published_ms);
            *last = published_ms.max(*last);
        }
        self.granted
            .retain(|_, published_ms| now_ms.saturating_sub(*published_ms) <= GRANTED_MS);
        while self.granted.len() > MAX_GRANTED {
            let oldest = self
                .granted
                .iter()
                .min_by_key(|(_, published_ms)| **published_ms);
            let Some(oldest) = oldest.map(|(fact, _)| fact.clone()) else {
                return;
            };
            self.granted.remove(&oldest);
        }
    }

    /// What was last written about a team, if that was moments ago.
    pub(crate) fn last_write(&self, team: &TeamId) -> Option<LastWrite> {
        self.fresh_teams.get(team).map(|fresh| fresh.written)
    }

    /// The text for the lease; `None` when there is nothing to remember.
    pub fn to_text(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        serde_json::to_string(self).ok()
    }

    /// The memo that the lease gets.
    pub fn to_memo(&self) -> Memo {
        Memo::Write(self.to_text())
    }
}
