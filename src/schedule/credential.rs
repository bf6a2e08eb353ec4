//! Asks Okta once a day, during a reconcile, when the program's credential there ends. Keeps the answer for the status
//! page. A failure does not stop the run. Anypoint does not say when the secret of a connected app ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Scheduler;
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::okta::{CredentialLife, Outlook};
use crate::store::{overwrite, read};
use crate::telemetry::Metric;

/// The document that keeps the answer.
pub const CREDENTIAL: &str = "credential#okta";
/// How old the answer may get. Every run asks if the credential is about to end.
const ASKED_EVERY_MS: i64 = 24 * 60 * 60 * 1000;
/// With less time left, the next run asks.
const MIN_TIME: Duration = Duration::from_secs(8);

/// What Okta said about the end of the credential, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedCredential {
    /// When the run asked.
    pub checked_at_ms: i64,
    /// What Okta said.
    #[serde(flatten)]
    pub life: CredentialLife,
}

impl NotedCredential {
    fn is_fresh(&self, now_ms: i64) -> bool {
        let age_ms = now_ms - self.checked_at_ms;
        let (outlook, _) = self.life.outlook(now_ms);
        (0..ASKED_EVERY_MS).contains(&age_ms) && outlook != Outlook::EndsSoon
    }
}

impl Scheduler {
    /// Asks when the credential ends if the last answer is a day old, and sets the metric.
    pub(super) async fn note_credential(&self, deadline: Deadline) {
        if deadline.remaining() < MIN_TIME {
            return;
        }
        let now_ms = self.clock().now_ms();
        match self.noted_credential(now_ms, deadline).await {
            Ok(noted) => {
                let (outlook, text) = noted.life.outlook(now_ms);
                if outlook == Outlook::EndsSoon {
                    tracing::warn!(
                        side = Side::Okta.as_str(),
                        "the credential ends soon: {text}"
                    );
                }
                if let Some(token) = noted.life.token() {
                    let metric = Metric::CredentialEndsInDays(Side::Okta);
                    self.metrics.measure(metric, token.days_left(now_ms));
                }
            }
            Err(failure) => tracing::warn!("could not ask when the credential ends: {failure}"),
        }
    }

    async fn noted_credential(
        &self,
        now_ms: i64,
        deadline: Deadline,
    ) -> Result<NotedCredential, Failure> {
        let documents = self.documents();
        let noted: Option<NotedCredential> = read(documents, CREDENTIAL).await?;
        if let Some(noted) = noted.filter(|noted| noted.is_fresh(now_ms)) {
            return Ok(noted);
        }
        let life = self.ports.okta.credential_life(deadline).await?;
        let noted = NotedCredential {
            checked_at_ms: now_ms,
            life,
        };
        overwrite(documents, CREDENTIAL, &noted).await?;
        Ok(noted)
    }
}
