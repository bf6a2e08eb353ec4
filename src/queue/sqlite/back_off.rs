//! A failing change backs off, and the later ones of its subject wait behind it. A new one may be a removal, and
//! one look serves all of them. So a new message ends the pause. Nothing else does, which makes no loop.
//!
//! A receive whose pause is cut does not count. Otherwise many events about one subject would make a dead letter
//! of a change that failed for a minute.

use std::time::Duration;

use rusqlite::Connection;

use super::SqliteQueue;
use crate::clock::later;
use crate::failure::Failure;

impl SqliteQueue {
    /// Hides the message of this receipt, taken out at `taken_ms`, for `delay` from now. If another message of its
    /// subject was sent meanwhile, both can be taken at once. Nothing happens when the receipt is not the message's last one.
    pub async fn back_off(
        &self,
        receipt: String,
        delay: Duration,
        taken_ms: i64,
    ) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        let until_ms = later(now_ms, delay);
        self.write(move |connection| {
            let hidden = connection
                .prepare_cached(
                    "UPDATE messages SET visible_at_ms = ?2, postponed = 1 WHERE receipt = ?1 AND dead = 0 \
                     RETURNING subject",
                )?
                .query_map((receipt, until_ms), |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            for subject in hidden {
                if has_news(connection, &subject, taken_ms)? {
                    cut(connection, &subject, now_ms)?;
                }
            }
            Ok(())
        })
        .await
    }
}

/// Whether the last message of the subject came since then, and was never received.
fn has_news(connection: &Connection, subject: &str, since_ms: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT receipt IS NULL AND sent_at_ms >= ?2 FROM messages INDEXED BY messages_in_order \
             WHERE dead = 0 AND subject = ?1 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row((subject, since_ms), |row| row.get(0))
}

/// Shows the postponed messages of a subject now. Those that are out stay hidden.
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
