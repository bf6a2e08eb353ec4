//! Finds out whether a side refuses everybody. Then the surroundings are at fault, and the worker works on no change.
//!
//! After a refusal (401, 403, a refused sign-in) about one subject, the worker makes a *probe*: a call that is not about
//! one subject. If the side refuses that, too, it is out of order for everybody. Changes go back until a probe succeeds,
//! and every run makes one. The session decides how often it signs in again (`src/http/session.rs`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::provision::Ports;

/// How long a probe may take.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// The sides that refuse everybody, and what they said.
#[derive(Default)]
pub(super) struct Surroundings(Mutex<HashMap<Side, Failure>>);

impl Surroundings {
    /// Whether a side refused everybody when it was last asked.
    pub(super) fn are_in_doubt(&self) -> bool {
        !self.lock().is_empty()
    }

    /// The failure of the side that refuses everybody, if there is one.
    pub(super) async fn out_of_order(&self, ports: &Ports, deadline: Deadline) -> Option<Failure> {
        let side = self.lock().keys().next().copied()?;
        match probe(ports, side, deadline).await {
            Ok(()) => {
                tracing::warn!(side = %side, "the side accepts calls again");
                self.lock().remove(&side);
                None
            }
            Err(failure) if failure.cause.is_refusal() => {
                self.note(failure.clone());
                Some(failure)
            }
            // The side does not answer at all. The run itself will report that.
            Err(_) => None,
        }
    }

    /// Whether the side that refused one subject refuses everybody. If so, the side is marked as out of order.
    pub(super) async fn affects_everybody(
        &self,
        ports: &Ports,
        refusal: &Failure,
        deadline: Deadline,
    ) -> bool {
        if !matches!(refusal.side, Side::Okta | Side::Anypoint) {
            return false;
        }
        match probe(ports, refusal.side, deadline).await {
            Err(failure) if failure.cause.is_refusal() => {
                self.note(failure);
                true
            }
            _ => false,
        }
    }

    fn note(&self, failure: Failure) {
        self.lock().insert(failure.side, failure);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Side, Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn probe(ports: &Ports, side: Side, deadline: Deadline) -> Result<(), Failure> {
    let deadline = deadline.or_within(PROBE_TIME);
    let answer = match side {
        Side::Okta => ports.okta.check_app(&ports.app, deadline).await,
        _ => ports.anypoint.check_organization(deadline).await,
    };
    answer.map_err(Failure::from)
}
