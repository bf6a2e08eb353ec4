//! What the file says in numbers, for the status page and for `/metrics`.

use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;
use crate::provision::{Changes, Ports, paused_since};
use crate::queue::{Depth, depth};
use crate::schedule::{CREDENTIAL, NotedCredential, Task};

/// Records by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct States {
    /// Claimed, and not reported on yet.
    pub in_progress: i64,
    /// Done.
    pub done: i64,
    /// Dry runs: planned only.
    pub dry_run: i64,
    /// Failed; tried again by itself.
    pub failed_retryable: i64,
    /// Failed for good.
    pub failed_permanent: i64,
    /// Held by the brake.
    pub held: i64,
    /// Looked at once; a second look is due.
    pub waiting: i64,
}

/// How many links of one kind came to be in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LinkCount {
    /// `user` or `group`.
    pub kind: String,
    /// How they came to be.
    pub origin: String,
    /// How many.
    pub count: i64,
}

/// What the file says in numbers.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Numbers {
    /// When this was read.
    pub at_ms: i64,
    /// Records by state.
    pub events: States,
    /// The queue.
    pub queue: Depth,
    /// Links.
    pub links: Vec<LinkCount>,
    /// The last report of each scheduled task.
    pub reports: Vec<Value>,
    /// What Okta last said about the end of our credential.
    pub credential: Option<NotedCredential>,
}

impl Numbers {
    /// Reads the numbers.
    pub fn read(connection: &Connection, now_ms: i64) -> rusqlite::Result<Self> {
        let mut reports = Vec::new();
        for task in Task::ALL {
            reports.extend(document(connection, &format!("report#{}", task.as_str()))?);
        }
        Ok(Self {
            at_ms: now_ms,
            events: states(connection)?,
            queue: depth(connection, now_ms)?,
            links: link_counts(connection)?,
            reports,
            credential: document(connection, CREDENTIAL)?,
        })
    }
}

/// Who has paused changes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Paused {
    /// The setting `CHANGES`.
    pub by_setting: bool,
    /// An operator.
    pub by_command: bool,
}

impl Paused {
    /// Reads what the settings and the table say.
    pub async fn read(ports: &Ports) -> Result<Self, Failure> {
        Ok(Self {
            by_setting: ports.policy.changes == Changes::Pause,
            by_command: paused_since(&*ports.documents).await?.is_some(),
        })
    }
}

fn states(connection: &Connection) -> rusqlite::Result<States> {
    connection.query_row(
        "SELECT COALESCE(SUM(status = 'in_progress'), 0), \
         COALESCE(SUM(status = 'done' AND dry_run IS NULL), 0), \
         COALESCE(SUM(status = 'failed' AND error_class = 'retryable'), 0), \
         COALESCE(SUM(status = 'failed' AND error_class <> 'retryable'), 0), \
         COALESCE(SUM(status = 'held'), 0), COALESCE(SUM(status = 'waiting'), 0), \
         COALESCE(SUM(status = 'done' AND dry_run = 1), 0) FROM events",
        [],
        |row| {
            Ok(States {
                in_progress: row.get(0)?,
                done: row.get(1)?,
                failed_retryable: row.get(2)?,
                failed_permanent: row.get(3)?,
                held: row.get(4)?,
                waiting: row.get(5)?,
                dry_run: row.get(6)?,
            })
        },
    )
}

fn link_counts(connection: &Connection) -> rusqlite::Result<Vec<LinkCount>> {
    connection
        .prepare_cached(
            "SELECT 'user', origin, COUNT(*) FROM user_links GROUP BY origin UNION ALL \
             SELECT 'group', origin, COUNT(*) FROM team_links GROUP BY origin",
        )?
        .query_map([], |row| {
            Ok(LinkCount {
                kind: row.get(0)?,
                origin: row.get(1)?,
                count: row.get(2)?,
            })
        })?
        .collect()
}

/// A document, if it is there and can be read.
fn document<T: DeserializeOwned>(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<T>> {
    let sql = "SELECT json FROM documents WHERE name = ?1";
    let json: Option<String> = connection
        .query_row(sql, [name], |row| row.get(0))
        .optional()?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}
