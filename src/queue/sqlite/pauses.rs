//! The pauses of messages. A failing change backs off, and later changes of its subject wait behind it. A new change may
//! be a removal, and one look serves all of them, so a new message ends the pause. Nothing else ends it, so there
//! is no retry loop.
//!
//! A receive whose pause was cut does not count. Otherwise many events about one subject would make a dead letter
//! of a change that failed for a minute.
//!
//! A clock that was set back leaves times that are too far ahead. A postponed message would block its subject until the
//! clock reaches them. So every pause is shortened by the step of the clock. If the step is not known, times that are
//! longer than possible are cut.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _};

use super::SqliteQueue;
use crate::clock::later;
use crate::failure::Failure;
use crate::queue::Redelivery;
use crate::queue::pause::MAX_PAUSE;

#[async_trait]
impl Redelivery for SqliteQueue {
    async fn postpone(&self, receipt_handle: &str, delay: Duration) -> Result<(), Failure> {
        let (receipt, until_ms) = (receipt_handle.to_owned(), later(self.clock.now_ms(), delay));
        self.write(move |connection| hide(connection, &receipt, until_ms).map(|_| ()))
            .await
    }
}

impl SqliteQueue {
    /// Hides the message of this receipt, received at `taken_ms`, for `delay` from now. If another message of its subject
    /// was sent meanwhile, both can be received at once. Does nothing if the receipt is not the message's last one.
    pub async fn back_off(
        &self,
        receipt: String,
        delay: Duration,
        taken_ms: i64,
    ) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        self.write(move |connection| {
            if let Some(subject) = hide(connection, &receipt, later(now_ms, delay))?
                && has_news(connection, &subject, taken_ms)?
            {
                cut(connection, &subject, now_ms)?;
            }
            Ok(())
        })
        .await
    }

    /// After the clock was set back by `step_ms`, leaves hidden messages hidden for exactly the time that was left.
    pub async fn set_back(&self, step_ms: i64) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        self.write(move |connection| {
            let sql = "UPDATE messages SET visible_at_ms = MAX(visible_at_ms - ?2, ?1), \
                       sent_at_ms = MIN(sent_at_ms, ?1) WHERE dead = 0 AND visible_at_ms > ?1";
            connection.execute(sql, (now_ms, step_ms)).map(|_| ())
        })
        .await
    }

    /// Shows messages that are hidden for too long, and returns how many. A message in flight may be hidden for
    /// `visibility`, and a postponed message for the longest pause. A message that was never received is not hidden.
    pub async fn cut_times(&self, visibility: Duration) -> Result<usize, Failure> {
        let now_ms = self.clock.now_ms();
        let (out, postponed) = (later(now_ms, visibility), later(now_ms, MAX_PAUSE));
        self.write(move |connection| {
            let shown = connection.execute(
                "UPDATE messages SET visible_at_ms = ?1, sent_at_ms = MIN(sent_at_ms, ?1) \
                 WHERE dead = 0 AND visible_at_ms > CASE WHEN receipt IS NULL THEN ?1 \
                 WHEN postponed = 1 THEN ?3 ELSE ?2 END",
                (now_ms, out, postponed),
            )?;
            // A uuid is remembered for five minutes, not for a day.
            let sql = "UPDATE sent SET sent_at_ms = ?1 WHERE sent_at_ms > ?1";
            connection.execute(sql, [now_ms])?;
            Ok(shown)
        })
        .await
    }
}

/// Hides the message of a receipt. Returns its subject, or `None` if the receipt is not the message's last one.
fn hide(connection: &Connection, receipt: &str, until_ms: i64) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "UPDATE messages SET visible_at_ms = ?2, postponed = 1 WHERE receipt = ?1 AND dead = 0 \
             RETURNING subject",
        )?
        .query_row((receipt, until_ms), |row| row.get(0))
        .optional()
}

/// Whether the last message of the subject was sent since `since_ms` and never received.
fn has_news(connection: &Connection, subject: &str, since_ms: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT receipt IS NULL AND sent_at_ms >= ?2 FROM messages INDEXED BY messages_in_order \
             WHERE dead = 0 AND subject = ?1 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row((subject, since_ms), |row| row.get(0))
}

/// Shows the postponed messages of a subject now. Messages in flight stay hidden.
pub(super) fn cut(connection: &Connection, subject: &str, now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE messages INDEXED BY messages_by_subject \
             SET visible_at_ms = ?2, receive_count = MAX(receive_count - 1, 0) \
             WHERE dead = 0 AND subject = ?1 AND postponed = 1 AND visible_at_ms > ?2",
        )?
        .execute((subject, now_ms))
        .map(|_| ())
}
