//! The memory of one subject, which one run leaves for the next in the memo of its lease.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{AccountId, Subject, TeamId};
use crate::ledger::{EndState, Lease, Memo};

/// How long reads of memberships may show the old state after a write, in milliseconds.
const FRESH_MS: i64 = 60_000;
/// How long an announcement is remembered, in milliseconds. That is longer than a queue keeps a contrary event.
const GRANTED_MS: i64 = 30 * 86_400_000;
/// The most announcements that are remembered. A memory has to fit into an item of the table.
const MAX_GRANTED: usize = 100;

/// The last write of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastWrite {
    /// The account was added to the team.
    Joined,
    /// The account was removed from it.
    Left,
}

/// A membership that was written moments ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshWrite {
    /// What was written.
    pub written: LastWrite,
    /// Until when reads may show the old state, milliseconds since the epoch.
    pub until_ms: i64,
}

/// The write-ahead record of an account that is about to be created or enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The account's username.
    pub username: String,
    /// The account, if it exists already.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<AccountId>,
    /// What was asked for. `None`: a former account was about to be enabled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new: Option<NewAccountMark>,
}

/// What distinguishes the requested account from another with the same username.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAccountMark {
    /// SHA-256 of its e-mail address in small letters, in hexadecimal.
    pub email: String,
    /// When it was first asked for, in milliseconds since the epoch.
    pub since_ms: i64,
}

impl NewAccountMark {
    /// The mark of an account with this e-mail address that is asked for at `since_ms`.
    pub fn of(email: &str, since_ms: i64) -> Self {
        let email = Self::email(email);
        Self { email, since_ms }
    }

    /// The form in which an e-mail address is remembered.
    pub(crate) fn email(address: &str) -> String {
        let digest = Sha256::digest(address.trim().to_lowercase());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
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
    /// What a look did not show, and since when, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub first_seen: BTreeMap<String, i64>,
    /// The facts that events granted, and when the last such event was published, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub granted: BTreeMap<String, i64>,
    /// How many runs in a row failed in a way that a retry may fix.
    #[serde(skip_serializing_if = "is_default", default)]
    pub failures: u32,
    /// Records of the subject that failed or are held, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub open: Vec<String>,
    /// Subjects to look at, which the queue did not take or which are not done. The next run would not find them again.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub owed: Vec<Subject>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Memory {
    /// Adds subjects that the next run would not find again.
    pub(crate) fn owe<'s>(&mut self, subjects: impl Iterator<Item = &'s Subject>) {
        for subject in subjects {
            if !self.owed.contains(subject) {
                self.owed.push(subject.clone());
            }
        }
    }

    /// The memory in the lease's memo.
    pub fn of(lease: &Lease, now_ms: i64) -> Self {
        Self::from_text(lease.memo(), now_ms)
    }

    /// The memory in a memo. An unreadable memo counts as empty. Memberships that are no longer fresh are left out.
    pub fn from_text(memo: Option<&str>, now_ms: i64) -> Self {
        let memo = memo.and_then(|memo| serde_json::from_str(memo).ok());
        let mut memory: Self = memo.unwrap_or_default();
        memory
            .fresh_teams
            .retain(|_, fresh| fresh.until_ms > now_ms);
        memory
    }

    /// Counts a failed run. Any other end resets the count.
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

    /// Remembers the newest of the facts that events granted.
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

    /// The last write of the membership in a team, if that was moments ago.
    pub(crate) fn last_write(&self, team: &TeamId) -> Option<LastWrite> {
        self.fresh_teams.get(team).map(|fresh| fresh.written)
    }

    /// Adds what another user's runs wrote of an account that becomes this user's. Returns whether that is news.
    pub(crate) fn inherit_memberships(&mut self, theirs: &Self) -> bool {
        let mut is_news = false;
        for (team, fresh) in &theirs.fresh_teams {
            let ours = self.fresh_teams.get(team);
            if ours.is_none_or(|ours| ours.until_ms < fresh.until_ms) {
                is_news |= ours.is_none_or(|ours| ours.written != fresh.written);
                self.fresh_teams.insert(team.clone(), *fresh);
            }
        }
        is_news
    }

    /// The text for the lease. `None` if there is nothing to remember.
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
