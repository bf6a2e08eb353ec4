//! How the faults that are set strike requests.

use std::time::Duration;

use super::fault::{Fault, FaultId, FaultKind, Moment, Request};

/// A fault that was set, and what became of it.
pub(super) struct SetFault {
    pub id: FaultId,
    pub fault: Fault,
    /// When it was set, counted from the start of the server.
    since: Duration,
    matched: u32,
    pub fired: u32,
    pub removed: bool,
    /// The running window of a call budget, and the calls in it.
    window: (u64, u32),
    /// Tokens that this fault ended, as they were sent.
    dead: Vec<String>,
}

impl SetFault {
    pub fn new(id: FaultId, fault: Fault, since: Duration) -> Self {
        Self {
            id,
            fault,
            since,
            matched: 0,
            fired: 0,
            removed: false,
            window: (0, 0),
            dead: Vec::new(),
        }
    }

    pub fn may_strike(&self, elapsed: Duration) -> bool {
        let age = elapsed.saturating_sub(self.since);
        !self.removed
            && self.fault.times.is_none_or(|times| self.fired < times)
            && self.fault.lasts.is_none_or(|lasts| age < lasts)
    }

    /// Strikes a request that carries `token`, and counts that, if it is its turn.
    pub fn strike(
        &mut self,
        request: &Request,
        token: &str,
        elapsed: Duration,
        now_ms: u64,
    ) -> Option<Strike> {
        let mut strike = Strike {
            id: self.id,
            kind: self.fault.kind.clone(),
            moment: self.fault.moment,
            allowance: None,
        };
        if !self.removed && self.dead.iter().any(|dead| dead == token) {
            return Some(strike);
        }
        if !self.may_strike(elapsed) || !self.fault.matches(request) {
            return None;
        }
        self.matched += 1;
        if self.matched <= self.fault.skip {
            return None;
        }
        match self.fault.kind {
            FaultKind::CallBudget { calls, window } => {
                strike.allowance = Some(spend(&mut self.window, calls, window, now_ms));
            }
            FaultKind::TokenDies(_) => self.dead.push(token.to_owned()),
            _ => {}
        }
        let passes = (strike.allowance.as_ref()).is_some_and(|allowance| allowance.left.is_some());
        self.fired += u32::from(!passes);
        Some(strike)
    }
}

/// A fault that strikes a request.
pub(super) struct Strike {
    pub id: FaultId,
    pub kind: FaultKind,
    pub moment: Moment,
    /// What is left of a call budget.
    pub allowance: Option<Allowance>,
}

impl Strike {
    /// Whether the faults that were set later do not see the request.
    pub fn is_last(&self) -> bool {
        let is_refused = |allowance: &Allowance| allowance.left.is_none();
        self.kind.replaces() || self.allowance.as_ref().is_some_and(is_refused)
    }
}

/// What is left of a call budget after a call.
pub(super) struct Allowance {
    /// Calls left; `None` if this one was too many.
    pub left: Option<u32>,
    /// When the window ends, epoch seconds.
    pub reset_s: u64,
}

/// Takes one call from the budget of the window that it falls into.
fn spend(window: &mut (u64, u32), calls: u32, length: Duration, now_ms: u64) -> Allowance {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
    let number = now_ms / length;
    if window.0 != number {
        *window = (number, 0);
    }
    window.1 = window.1.saturating_add(1);
    let reset_ms = number.saturating_add(1).saturating_mul(length);
    Allowance {
        left: calls.checked_sub(window.1),
        reset_s: reset_ms.div_ceil(1000),
    }
}
