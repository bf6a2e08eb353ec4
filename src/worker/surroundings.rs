//! Whether a side refuses everybody: then the surroundings are at fault, and no change is worked on.
//!
//! A refusal (401, 403, a refused sign-in) about one subject is followed by a call about nobody in
//! particular. If that is refused, too, the side is out of order for everybody: changes go back, and
//! nothing more is begun until one such call succeeds. Every turn makes one; how often a refused sign-in
//! and a refused token are tried again is the session's business (`src/http/session.rs`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::provision::Ports;

/// A probe may take this long.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// What is known of both sides.
pub(super) struct Surroundings {
    okta: crate::okta::Okta,
    anypoint: crate::anypoint::Anypoint,
    app: crate::ids::OktaAppId,
    refused: Mutex<HashMap<Side, Failure>>,
}

impl Surroundings {
    pub(super) fn new(ports: &Ports) -> Self {
        Self {
            okta: ports.okta.clone(),
            anypoint: ports.anypoint.clone(),
            app: ports.app.clone(),
            refused: Mutex::default(),
        }
    }

    /// The failure of the side that refuses everybody, if there is one.
    pub(super) async fn out_of_order(&self, deadline: Deadline) -> Option<Failure> {
        let side = self.lock().keys().next().copied()?;
        match self.probe(side, deadline).await {
            Ok(()) => {
                tracing::warn!(side = %side, "the side takes our calls again");
                self.lock().remove(&side);
                None
            }
            Err(failure) if failure.cause.is_refusal() => {
                self.note(failure.clone());
                Some(failure)
            }
            // It does not answer at all: the work itself finds out and says so.
            Err(_) => None,
        }
    }

    /// Whether a refusal about one subject is everybody's; then the side is out of order.
    pub(super) async fn affects_everybody(&self, refusal: &Failure, deadline: Deadline) -> bool {
        if !matches!(refusal.side, Side::Okta | Side::Anypoint) {
            return false;
        }
        match self.probe(refusal.side, deadline).await {
            Err(failure) if failure.cause.is_refusal() => {
                self.note(failure);
                true
            }
            _ => false,
        }
    }

    async fn probe(&self, side: Side, deadline: Deadline) -> Result<(), Failure> {
        let deadline = deadline.or_within(PROBE_TIME);
        if side == Side::Okta {
            self.okta.check_app(&self.app, deadline).await?;
        } else {
            self.anypoint.check_organization(deadline).await?;
        }
        Ok(())
    }

    fn note(&self, failure: Failure) {
        self.lock().insert(failure.side, failure);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Side, Failure>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
