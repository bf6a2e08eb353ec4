//! The times that both adapters write and compare, computed in one place.

use std::sync::Arc;

use super::Status;
use crate::clock::Clock;

const SECONDS_PER_DAY: i64 = 86_400;
const LEASE_DAYS: i64 = 7;
/// How long memos and held records stay. A memo names open records, and a held record waits for an operator.
const KEPT_DAYS: i64 = 3_650;
const DEFAULT_AUDIT_DAYS: i64 = 400;

/// The clock and how long records are kept.
#[derive(Clone)]
pub(super) struct Times {
    clock: Arc<dyn Clock>,
    ttl_seconds: i64,
    audit_seconds: i64,
}

/// One reading of the clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Milliseconds since the epoch.
    pub ms: i64,
    /// Whole seconds since the epoch, the unit of `expires_at`.
    pub s: i64,
    /// When a record written now expires, seconds since the epoch.
    pub expires_at: i64,
    /// When an audit entry written now expires, seconds since the epoch.
    pub audit_expires_at: i64,
}

impl Times {
    pub(super) fn new(clock: Arc<dyn Clock>, ttl_days: u32) -> Self {
        Self {
            clock,
            ttl_seconds: i64::from(ttl_days) * SECONDS_PER_DAY,
            audit_seconds: DEFAULT_AUDIT_DAYS * SECONDS_PER_DAY,
        }
    }

    /// The same times, with audit entries kept for `days`.
    pub(super) fn keeping_audit(mut self, days: u32) -> Self {
        self.audit_seconds = i64::from(days) * SECONDS_PER_DAY;
        self
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    pub(super) fn now(&self) -> Now {
        let ms = self.clock.now_ms();
        let s = ms.div_euclid(1000);
        Now {
            ms,
            s,
            expires_at: s.saturating_add(self.ttl_seconds),
            audit_expires_at: s.saturating_add(self.audit_seconds),
        }
    }
}

impl Now {
    /// When a lease that is given back now expires, seconds since the epoch.
    pub(super) fn free_lease_expires_at(self, has_memo: bool) -> i64 {
        match has_memo {
            true => self.memo_expires_at(),
            false => self.s.saturating_add(LEASE_DAYS * SECONDS_PER_DAY),
        }
    }

    /// When a memo written now expires, seconds since the epoch.
    pub(super) fn memo_expires_at(self) -> i64 {
        self.s.saturating_add(KEPT_DAYS * SECONDS_PER_DAY)
    }

    /// When a record that ends now expires, seconds since the epoch.
    pub(super) fn record_expires_at(self, status: Status) -> i64 {
        match status {
            Status::Held => self.s.saturating_add(KEPT_DAYS * SECONDS_PER_DAY),
            _ => self.expires_at,
        }
    }
}
