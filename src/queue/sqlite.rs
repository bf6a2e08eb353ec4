//! The queue on SQLite, for running without AWS. It behaves like SQS FIFO. It keeps the order within a subject. While a
//! message is in flight or postponed, later messages of its subject wait. It queues the same change once in five
//! minutes, and not again while its message is in the queue. Unlike in SQS, a new message of a subject ends the pauses of its postponed messages. A message that the
//! worker received too often becomes a dead letter.
//!
//! The cost of sending and receiving does not depend on how many messages wait. At most [`MAX_WAITING`] may wait.

mod by_subject;
mod pauses;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use tokio::sync::Notify;

use super::Queue;
use crate::clock::Clock;
use crate::event::Change;
use crate::failure::{Cause, Failure, Side};
use crate::ledger::Record;
use crate::sqlite::Database;

/// How long a uuid is remembered (SQS developer guide, "FIFO queues").
const DEDUPLICATION_MS: i64 = 5 * 60 * 1000;

/// Among so many messages of its subject, the oldest ones, another copy of a queued change is found. This limits the cost
/// of sending. Beyond it a copy is queued, too, which is harmless: the record decides about both.
const MAX_COMPARED: u32 = 1_000;

/// The most messages that may wait or be in flight. More are refused. This limits the file to about 170 MB.
pub(crate) const MAX_WAITING: u32 = 300_000;

/// See the module.
#[derive(Clone)]
pub struct SqliteQueue {
    database: Database,
    clock: Arc<dyn Clock>,
    max_waiting: u32,
    sent: Arc<Notify>,
}

/// A message in flight. No other worker receives it before its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The change that was sent.
    pub change: Change,
    /// Identifies this receive. The next receive of the message has another receipt.
    pub receipt: String,
    /// How often the message was received, this time included.
    pub receive_count: u32,
}

/// A message in flight that cannot be read, because another program or version wrote it.
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

/// The messages of one receive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// Each group has the messages of one subject, in order. No group is empty.
    pub groups: Vec<Vec<Received>>,
    /// The unreadable messages of all subjects.
    pub unreadable: Vec<Unreadable>,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Depth {
    /// Messages that wait, postponed ones included.
    pub waiting: i64,
    /// Of these, the postponed ones.
    pub postponed: i64,
    /// Messages in flight.
    pub in_flight: i64,
    /// Dead letters.
    pub dead: i64,
    /// How long ago the oldest message that is not a dead letter was sent, in milliseconds.
    pub oldest_age_ms: Option<i64>,
}

impl SqliteQueue {
    /// The queue in `database`.
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self {
            database,
            clock,
            max_waiting: MAX_WAITING,
            sent: Arc::default(),
        }
    }

    /// The same queue with room for this many messages.
    #[must_use]
    pub fn with_room_for(mut self, messages: u32) -> Self {
        self.max_waiting = messages;
        self
    }

    /// Waits until a message is sent through this queue or a clone of it, at most for `at_most`. A message that was sent
    /// since the last wait counts, so none is missed between a receive and a wait.
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

    /// Removes a dead letter whose record does not wait for it: the record is settled, or has expired. The ledger removes
    /// the others when it settles their records.
    pub async fn discard_dead_letter(&self, uuid: &str, subject: &str) -> Result<(), Failure> {
        let (uuid, subject) = (uuid.to_owned(), subject.to_owned());
        self.write(move |connection| {
            let sql = "DELETE FROM messages WHERE dead = 1 AND uuid = ?1 AND subject = ?2";
            connection.execute(sql, [&uuid, &subject]).map(|_| ())
        })
        .await
    }

    /// Makes the message of this receipt a dead letter. Does nothing if the receipt is not the message's last one.
    pub async fn make_dead_letter(&self, receipt: String) -> Result<(), Failure> {
        self.write(move |connection| {
            let sql = "UPDATE messages SET dead = 1 WHERE receipt = ?1";
            connection.execute(sql, [receipt]).map(|_| ())
        })
        .await
    }

    /// The dead letters.
    pub async fn dead_letters(&self) -> Result<DeadLetters, Failure> {
        self.database.read(Side::Queue, dead_letters).await
    }

    /// Fails, as [`Queue::send`] would, if no other change fits.
    pub(crate) async fn has_room(&self) -> Result<(), Failure> {
        let live = self.database.read(Side::Queue, live).await?;
        match live < i64::from(self.max_waiting) {
            true => Ok(()),
            false => Err(full(self.max_waiting)),
        }
    }

    /// How full the queue is.
    pub async fn depth(&self) -> Result<Depth, Failure> {
        let now_ms = self.clock.now_ms();
        self.database
            .read(Side::Queue, move |connection| depth(connection, now_ms))
            .await
    }
}

/// The changes whose messages used up their receives. Only an operator replays them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetters(HashSet<(String, String)>);

impl DeadLetters {
    /// Whether the change of this record is a dead letter.
    pub fn contains(&self, record: &Record) -> bool {
        self.0
            .contains(&(record.uuid().to_owned(), record.subject.clone()))
    }

    /// The subjects of the dead letters with this uuid.
    pub fn subjects_of(&self, uuid: &str) -> Vec<String> {
        let same = self.0.iter().filter(|(other, _)| other == uuid);
        same.map(|(_, subject)| subject.clone()).collect()
    }

    /// Their uuids, in order.
    pub fn uuids(&self) -> Vec<String> {
        let uuids: BTreeSet<&String> = self.0.iter().map(|(uuid, _)| uuid).collect();
        uuids.into_iter().cloned().collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

pub(crate) fn dead_letters(connection: &Connection) -> rusqlite::Result<DeadLetters> {
    let mut statement =
        connection.prepare_cached("SELECT uuid, subject FROM messages WHERE dead = 1")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(DeadLetters(rows.collect::<rusqlite::Result<_>>()?))
}

/// How full the queue is. Does not read messages that only wait.
pub(crate) fn depth(connection: &Connection, now_ms: i64) -> rusqlite::Result<Depth> {
    let count = |sql: &str| -> rusqlite::Result<i64> {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_row([now_ms], |row| row.get(0))
    };
    let in_flight = count(
        "SELECT COUNT(*) FROM messages INDEXED BY messages_out \
         WHERE dead = 0 AND postponed = 0 AND receipt IS NOT NULL AND visible_at_ms > ?1",
    )?;
    let postponed = count(
        "SELECT COUNT(*) FROM messages INDEXED BY messages_postponed \
         WHERE dead = 0 AND postponed = 1 AND visible_at_ms > ?1",
    )?;
    let dead = connection
        .prepare_cached("SELECT COUNT(*) FROM messages WHERE dead = 1")?
        .query_row([], |row| row.get(0))?;
    let oldest: Option<i64> = connection
        .prepare_cached(
            "SELECT sent_at_ms FROM messages NOT INDEXED WHERE dead = 0 ORDER BY seq LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(Depth {
        waiting: (live(connection)? - in_flight).max(0),
        postponed,
        in_flight,
        dead,
        oldest_age_ms: oldest.map(|sent_at_ms| now_ms.saturating_sub(sent_at_ms).max(0)),
    })
}

/// How many messages are not dead letters.
fn live(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("SELECT live FROM queue_length")?;
    statement.query_row([], |row| row.get(0))
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn send(&self, changes: &[Change]) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        let (now_ms, max_waiting) = (self.clock.now_ms(), i64::from(self.max_waiting));
        let changes = changes.to_vec();
        let fits = self
            .write(move |connection| {
                let waiting = live(connection)?;
                let more = i64::try_from(changes.len()).unwrap_or(i64::MAX);
                let fits = waiting.saturating_add(more) <= max_waiting;
                if fits {
                    put(connection, &changes, now_ms)?;
                }
                Ok(fits)
            })
            .await?;
        if !fits {
            return Err(full(self.max_waiting));
        }
        self.sent.notify_one();
        Ok(())
    }
}

fn put(connection: &Connection, changes: &[Change], now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM sent WHERE sent_at_ms <= ?1")?
        .execute([now_ms.saturating_sub(DEDUPLICATION_MS)])?;
    let mut remember = connection.prepare_cached(
        "INSERT OR IGNORE INTO sent (uuid, subject, sent_at_ms) VALUES (?1, ?2, ?3)",
    )?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO messages (uuid, subject, body, sent_at_ms, visible_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?4)",
    )?;
    // A change that fails for longer than its uuid is remembered keeps its pause and its place.
    let mut queued = connection.prepare_cached(
        "SELECT 1 FROM (SELECT uuid FROM messages INDEXED BY messages_in_order \
         WHERE dead = 0 AND subject = ?1 ORDER BY seq LIMIT ?3) WHERE uuid = ?2",
    )?;
    for change in changes {
        let subject = change.subject.to_string();
        if queued.exists((&subject, change.uuid.as_str(), MAX_COMPARED))? {
            continue;
        }
        if remember.execute((change.uuid.as_str(), &subject, now_ms))? == 0 {
            continue;
        }
        let body = serde_json::to_string(change)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        pauses::cut(connection, &subject, now_ms)?;
        insert.execute((change.uuid.as_str(), &subject, body, now_ms))?;
    }
    Ok(())
}

fn full(max_waiting: u32) -> Failure {
    Failure::retryable(
        Side::Queue,
        format!("{max_waiting} messages are waiting, and the queue accepts no more"),
    )
    .because(Cause::LimitReached)
    .advising("find out on the status page what holds the queue up; catch-up queues the rest later")
}
