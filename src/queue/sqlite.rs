//! The queue on SQLite, for running without AWS. It behaves as SQS FIFO does: order is kept within a
//! subject, a message that is out or postponed holds back the later ones of its subject, a message
//! that was received too often is set aside as dead.

mod by_subject;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::Notify;

use super::{Queue, Redelivery};
use crate::clock::{Clock, later};
use crate::event::Change;
use crate::failure::{Failure, Side};
use crate::ids::EventUuid;
use crate::sqlite::Database;

/// How long a uuid is remembered (SQS developer guide, "FIFO queues").
const DEDUPLICATION_MS: i64 = 5 * 60 * 1000;

/// See the module.
#[derive(Clone)]
pub struct SqliteQueue {
    database: Database,
    clock: Arc<dyn Clock>,
    max_receives: u32,
    sent: Arc<Notify>,
}

impl fmt::Debug for SqliteQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteQueue")
            .field("max_receives", &self.max_receives)
            .finish_non_exhaustive()
    }
}

/// A message that is out: nobody else gets it before its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What was sent.
    pub change: Change,
    /// Names this receipt; the next receipt of the message has another one.
    pub receipt: String,
    /// How often the message was received, this time included.
    pub receive_count: u32,
}

/// A message that is out and that nobody can read: this program did not write it, or not this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The uuid it was sent under.
    pub uuid: String,
    /// The subject it was sent for.
    pub subject: String,
    /// As [`Received::receipt`].
    pub receipt: String,
    /// As [`Received::receive_count`].
    pub receive_count: u32,
}

/// What was taken out at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// One group is one subject's messages, in order; none is empty.
    pub groups: Vec<Vec<Received>>,
    /// What nobody can read, of any subject.
    pub unreadable: Vec<Unreadable>,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Messages that wait, postponed ones included.
    pub waiting: u64,
    /// Messages that are out.
    pub in_flight: u64,
    /// Messages that were received too often.
    pub dead: u64,
    /// How long ago the oldest message that is not dead was sent.
    pub oldest_age: Option<Duration>,
}

impl SqliteQueue {
    /// A queue in `database`; a message is set aside as dead after `max_receives` receipts.
    pub fn new(database: Database, max_receives: u32, clock: Arc<dyn Clock>) -> Self {
        Self {
            database,
            clock,
            max_receives,
            sent: Arc::default(),
        }
    }

    /// Waits until something is sent through this queue or a clone of it, at most for `at_most`. What
    /// was sent since the last wait counts, so nothing is missed between a receipt and a wait.
    pub async fn wait(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.sent.notified()).await;
    }

    async fn write<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.database.write(Side::Queue, work).await
    }

    /// Forgets the message of `uuid` if it was set aside as dead: what it asked for was done in another
    /// way. Nothing happens when there is none.
    pub async fn discard_dead(&self, uuid: &EventUuid) -> Result<(), Failure> {
        let uuid = uuid.clone();
        self.write(move |connection| {
            let sql = "DELETE FROM messages WHERE dead = 1 AND uuid = ?1";
            connection.execute(sql, [uuid.as_str()]).map(|_| ())
        })
        .await
    }

    /// How full the queue is.
    pub async fn depth(&self) -> Result<Depth, Failure> {
        let now_ms = self.clock.now_ms();
        self.database
            .read(Side::Queue, move |connection| {
                connection.query_row(
                    "SELECT COALESCE(SUM(dead = 0 AND NOT out), 0), \
                     COALESCE(SUM(dead = 0 AND out), 0), \
                     COALESCE(SUM(dead), 0), MIN(CASE WHEN dead = 0 THEN sent_at_ms END) \
                     FROM (SELECT dead, sent_at_ms, (receipt IS NOT NULL AND postponed = 0 \
                     AND visible_at_ms > ?1) AS out FROM messages)",
                    [now_ms],
                    |row| {
                        let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
                        let oldest: Option<i64> = row.get(3)?;
                        Ok(Depth {
                            waiting: count(0)?,
                            in_flight: count(1)?,
                            dead: count(2)?,
                            oldest_age: oldest.map(|sent_at_ms| {
                                let age = now_ms.saturating_sub(sent_at_ms).max(0);
                                Duration::from_millis(age.unsigned_abs())
                            }),
                        })
                    },
                )
            })
            .await
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn send(&self, changes: &[Change]) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        let now_ms = self.clock.now_ms();
        let changes = changes.to_vec();
        self.write(move |connection| {
            connection.execute(
                "DELETE FROM sent WHERE sent_at_ms <= ?1",
                [now_ms.saturating_sub(DEDUPLICATION_MS)],
            )?;
            let mut remember = connection
                .prepare("INSERT OR IGNORE INTO sent (uuid, sent_at_ms) VALUES (?1, ?2)")?;
            let mut insert = connection.prepare(
                "INSERT INTO messages (uuid, subject, body, sent_at_ms, visible_at_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?4)",
            )?;
            for change in changes {
                if remember.execute((change.uuid.as_str(), now_ms))? == 0 {
                    continue;
                }
                let body = serde_json::to_string(&change)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
                insert.execute((
                    change.uuid.as_str(),
                    change.subject.to_string(),
                    body,
                    now_ms,
                ))?;
            }
            Ok(())
        })
        .await?;
        self.sent.notify_one();
        Ok(())
    }
}

#[async_trait]
impl Redelivery for SqliteQueue {
    async fn postpone(&self, receipt_handle: &str, delay: Duration) -> Result<(), Failure> {
        let until_ms = later(self.clock.now_ms(), delay);
        let receipt = receipt_handle.to_owned();
        self.write(move |connection| {
            connection.execute(
                "UPDATE messages SET visible_at_ms = ?2, postponed = 1 WHERE receipt = ?1 AND dead = 0",
                (receipt, until_ms),
            )?;
            Ok(())
        })
        .await
    }
}

/// A message is ready when it is visible and no message of its subject is hidden.
const READY: &str = "dead = 0 AND visible_at_ms <= ?1 AND NOT EXISTS (\
                     SELECT 1 FROM messages AS other WHERE other.dead = 0 \
                     AND other.subject = m.subject AND other.visible_at_ms > ?1)";

/// Sets messages aside that were received as often as allowed and came back.
fn bury(connection: &Connection, now_ms: i64, max_receives: u32) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE messages SET dead = 1 \
         WHERE dead = 0 AND visible_at_ms <= ?1 AND receive_count >= ?2 AND receive_count > 0",
        (now_ms, max_receives),
    )?;
    Ok(())
}
