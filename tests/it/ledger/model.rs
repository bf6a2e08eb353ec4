//! The contract of a ledger as a model: its answers, and its records.

use std::collections::BTreeMap;
use std::time::Duration;

use okta_anypoint::deadline::{MAX_LEASE, MAX_WAIT};
use okta_anypoint::failure::Class;
use okta_anypoint::ledger::{Memo, Reason, Recorded};

use super::{START_MS, TTL_DAYS};

pub(super) const SUBJECTS: usize = 2;
pub(super) const LEASE_MS: i64 = 1_000;
pub(super) const WAIT_MS: i64 = 700;

#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Done,
    Failed(Class),
    Waiting,
    Held,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The number of the claim, counted from one, and when it ends.
    InProgress(u64, i64),
    Waiting(i64),
    Done,
    Failed(Class),
    Held,
}

/// One event as the table has it.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) subject: usize,
    pub(super) state: State,
    pub(super) expires_at: i64,
    pub(super) attempts: u32,
    /// Claims in a row that nobody reported on.
    unfinished: u32,
    pub(super) applied: Vec<String>,
    /// Held, and claimed by a replay that has not ended.
    pub(super) stays_held: bool,
}

/// One lease as the table has it.
#[derive(Debug, Clone, Default)]
struct Subject {
    /// The owner, counted from one, and until when.
    held: Option<(u64, i64)>,
    memo: Option<String>,
    expires_at: i64,
}

/// What only the embedded database does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adapter {
    DynamoDb,
    /// Sweeps by itself, and cuts what is further ahead than it can be.
    Sqlite,
}

/// The contract, as plainly as it can be said.
pub(super) struct Model {
    adapter: Adapter,
    pub(super) now_ms: i64,
    subjects: [Subject; SUBJECTS],
    /// By the record's key: `None` is the plain id.
    pub(super) events: BTreeMap<Option<usize>, Event>,
    owners: u64,
    claims: u64,
}

/// How long a memo is kept.
const KEPT_S: i64 = 3_650 * 86_400;

impl Model {
    pub(super) fn new(adapter: Adapter) -> Self {
        Self {
            adapter,
            now_ms: START_MS,
            subjects: Default::default(),
            events: BTreeMap::new(),
            owners: 0,
            claims: 0,
        }
    }

    pub(super) fn now_s(&self) -> i64 {
        self.now_ms.div_euclid(1000)
    }

    fn event_lasts(&self) -> i64 {
        self.now_s() + i64::from(TTL_DAYS) * 86_400
    }

    fn furthest(&self, longest: Duration) -> i64 {
        match self.adapter {
            Adapter::DynamoDb => i64::MAX,
            Adapter::Sqlite => self.now_ms + i64::try_from(longest.as_millis()).unwrap(),
        }
    }

    /// The expected answer in words, and the number of the owner.
    pub(super) fn lease(&mut self, subject: usize) -> (String, u64) {
        let (now_ms, now_s) = (self.now_ms, self.now_s());
        if self.adapter == Adapter::Sqlite {
            for (other, row) in self.subjects.iter_mut().enumerate() {
                if other != subject && row.expires_at <= now_s {
                    *row = Subject::default();
                }
            }
        }
        let furthest = self.furthest(MAX_LEASE);
        let row = &mut self.subjects[subject];
        if let Some((_, until_ms)) = &mut row.held
            && *until_ms > now_ms
        {
            *until_ms = furthest.min(*until_ms);
            return (format!("busy {until_ms}"), 0);
        }
        let memo = row.memo.take().filter(|_| row.expires_at > now_s);
        let words = format!("ours {} {memo:?}", row.held.is_some());
        self.owners += 1;
        *row = Subject {
            held: Some((self.owners, now_ms + LEASE_MS)),
            memo,
            expires_at: now_s + KEPT_S,
        };
        (words, self.owners)
    }

    fn is_held(&self, subject: usize, owner: u64) -> bool {
        self.subjects[subject]
            .held
            .is_some_and(|held| held.0 == owner)
    }

    pub(super) fn renew(
        &mut self,
        subject: usize,
        owner: u64,
        claim: Option<(Option<usize>, u64)>,
    ) -> Recorded {
        let until_ms = self.now_ms + LEASE_MS;
        let mut all = true;
        let lasts = self.now_s() + KEPT_S;
        let row = &mut self.subjects[subject];
        match &mut row.held {
            Some(held) if held.0 == owner => {
                held.1 = until_ms;
                row.expires_at = lasts;
            }
            _ => all = false,
        }
        if let Some((key, claim)) = claim {
            match self.events.get_mut(&key).map(|event| &mut event.state) {
                Some(State::InProgress(of, until)) if *of == claim => *until = until_ms,
                _ => all = false,
            }
        }
        recorded(all)
    }

    pub(super) fn note(&mut self, subject: usize, owner: u64, memo: Option<String>) -> Recorded {
        let is_held = self.is_held(subject, owner);
        if is_held {
            self.subjects[subject].expires_at = self.now_s() + KEPT_S;
            self.subjects[subject].memo = memo;
        }
        recorded(is_held)
    }

    pub(super) fn memo(&self, subject: usize) -> Option<String> {
        let row = &self.subjects[subject];
        row.memo.clone().filter(|_| row.expires_at > self.now_s())
    }

    /// The key of the record of a subject's event.
    fn key(&self, subject: usize) -> Option<usize> {
        let plain = self.events.get(&None);
        plain
            .filter(|event| event.subject != subject && event.expires_at > self.now_s())
            .map(|_| subject)
    }

    /// SQLite deletes all expired records, DynamoDB the one in the way.
    fn forget_expired(&mut self, in_the_way: Option<usize>) {
        let (now_s, adapter) = (self.now_s(), self.adapter);
        self.events.retain(|key, event| {
            event.expires_at > now_s || (adapter != Adapter::Sqlite && *key != in_the_way)
        });
    }

    /// The expected answer in words, the key, and the number of the claim.
    pub(super) fn claim(
        &mut self,
        subject: usize,
        until_ms: i64,
        reason: Reason,
    ) -> (String, Option<usize>, u64) {
        let (now_ms, now_s) = (self.now_ms, self.now_s());
        let key = self.key(subject);
        self.forget_expired(key);
        let before = self.events.get(&key);
        if let Some(event) = before {
            let ahead = |until: i64, longest| until > now_ms && until <= self.furthest(longest);
            let words = match (event.state, reason) {
                (State::Held, Reason::Delivery) => Some("done".to_owned()),
                (State::InProgress(..), Reason::Delivery) if event.stays_held => {
                    Some("done".to_owned())
                }
                (State::InProgress(_, until), _) if ahead(until, MAX_LEASE) => {
                    Some(format!("busy {until}"))
                }
                (State::InProgress(..), _) | (_, Reason::Replay) => None,
                (State::Waiting(until), _) if ahead(until, MAX_WAIT) => {
                    Some(format!("waiting {until}"))
                }
                (State::Waiting(_) | State::Failed(Class::Retryable), _) => None,
                (State::Done | State::Held, _) => Some("done".to_owned()),
                (State::Failed(Class::Permanent), _) => Some("failed".to_owned()),
            };
            if let Some(words) = words {
                return (words, key, 0);
            }
        }
        let (attempts, deaths, applied) = before.map_or((0, 0, Vec::new()), |event| {
            (event.attempts, event.unfinished, event.applied.clone())
        });
        let stays_held = before.is_some_and(|event| event.stays_held || event.state == State::Held);
        self.claims += 1;
        let event = Event {
            subject,
            state: State::InProgress(self.claims, until_ms),
            stays_held,
            expires_at: match stays_held {
                true => now_s + KEPT_S,
                false => self.event_lasts(),
            },
            attempts: attempts + 1,
            unfinished: deaths + 1,
            applied: match reason {
                Reason::Delivery | Reason::Return => applied,
                Reason::Replay | Reason::Approval => Vec::new(),
            },
        };
        self.events.insert(key, event);
        let words = format!("claimed {} {deaths}", attempts + 1);
        (words, key, self.claims)
    }

    pub(super) fn conclude(
        &mut self,
        subject: usize,
        owner: u64,
        claim: Option<(Option<usize>, u64)>,
        end: End,
        memo: &Memo,
    ) -> Vec<Recorded> {
        let is_held = self.is_held(subject, owner);
        let (now_ms, now_s, lasts) = (self.now_ms, self.now_s(), self.event_lasts());
        if is_held {
            let row = &mut self.subjects[subject];
            row.held = None;
            if let Memo::Write(memo) = memo {
                row.memo.clone_from(memo);
            }
            let has_memo = row.memo.is_some();
            row.expires_at = now_s + if has_memo { KEPT_S } else { 7 * 86_400 };
        }
        let finish = |(key, claim): (Option<usize>, u64)| {
            let event = self.events.get_mut(&key).filter(|_| is_held);
            let event = event
                .filter(|event| matches!(event.state, State::InProgress(of, _) if of == claim));
            if let Some(event) = event {
                event.applied.push(claim.to_string());
                event.unfinished = 0;
                event.stays_held = false;
                event.expires_at = match end {
                    End::Held => now_s + KEPT_S,
                    _ => lasts,
                };
                event.state = match end {
                    End::Done => State::Done,
                    End::Failed(class) => State::Failed(class),
                    End::Waiting => State::Waiting(now_ms + WAIT_MS),
                    End::Held => State::Held,
                };
                return Recorded::Written;
            }
            Recorded::Superseded
        };
        claim.into_iter().map(finish).collect()
    }

    pub(super) fn reject(&mut self, subject: usize) -> Recorded {
        let key = self.key(subject);
        self.forget_expired(key);
        let (now_ms, lasts) = (self.now_ms, self.event_lasts());
        let is_new = !self.events.contains_key(&key);
        let event = self.events.entry(key).or_insert(Event {
            subject,
            state: State::Failed(Class::Permanent),
            expires_at: 0,
            attempts: 0,
            unfinished: 0,
            applied: Vec::new(),
            stays_held: false,
        });
        let is_open = is_new
            || match event.state {
                State::InProgress(_, until_ms) => until_ms <= now_ms && !event.stays_held,
                State::Failed(_) => true,
                State::Done | State::Waiting(_) | State::Held => false,
            };
        if is_open {
            event.subject = subject;
            event.state = State::Failed(Class::Permanent);
            event.stays_held = false;
            event.expires_at = lasts;
        }
        recorded(is_open)
    }
}

fn recorded(is_written: bool) -> Recorded {
    if is_written {
        Recorded::Written
    } else {
        Recorded::Superseded
    }
}
