//! No two runs of one task at the same time: a document in the table says who is at it, and until
//! when at the latest.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::task::Task;
use crate::clock::{Clock, later};
use crate::failure::Failure;
use crate::store::{Store, Stored};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    owner: Option<String>,
    until_ms: i64,
}

/// The permission to run a task.
pub(super) struct Lease {
    name: String,
    version: u64,
}

/// The answer to [`Lease::take`].
pub(super) enum Taken {
    Ours(Lease),
    /// Another run has it, until then at the latest.
    Busy {
        until_ms: i64,
    },
}

impl Lease {
    /// Takes the lease of `task` for `time`, if nobody has it or its owner's time is over.
    pub(super) async fn take(
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        task: Task,
        time: Duration,
    ) -> Result<Taken, Failure> {
        let name = format!("lease#{}", task.as_str());
        let now_ms = clock.now_ms();
        let (entry, version) = match store.document(&name).await? {
            Some(found) => {
                let entry: Entry = serde_json::from_str(&found.json).unwrap_or_default();
                (entry, found.version)
            }
            None => (Entry::default(), 0),
        };
        if entry.until_ms > now_ms {
            return Ok(Taken::Busy {
                until_ms: entry.until_ms,
            });
        }
        let ours = Entry {
            owner: Some(uuid::Uuid::new_v4().to_string()),
            until_ms: later(now_ms, time),
        };
        Ok(
            match store.put_document(&name, &json(&ours), version).await? {
                Stored::Written => Taken::Ours(Self {
                    name,
                    version: version + 1,
                }),
                Stored::Conflict => Taken::Busy {
                    until_ms: ours.until_ms,
                },
            },
        )
    }

    /// Gives the lease back. One that another run has taken over by now is left alone.
    pub(super) async fn release(self, store: &Arc<dyn Store>) {
        let free = json(&Entry::default());
        if let Err(error) = store.put_document(&self.name, &free, self.version).await {
            tracing::warn!(lease = self.name, "the lease ends by itself only: {error}");
        }
    }
}

fn json(entry: &Entry) -> String {
    serde_json::to_string(entry).unwrap_or_default()
}
