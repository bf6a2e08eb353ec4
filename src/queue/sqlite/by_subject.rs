//! Taking messages out subject by subject, for a worker that knows how many subjects it can take on.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::{READY, Received, SqliteQueue, bury, change, hide, later};
use crate::failure::Failure;

impl SqliteQueue {
    /// Takes out the messages of up to `subjects` subjects, those that wait longest first, at most
    /// `each` of one subject, and hides them for `visibility`. One group is one subject's, in order.
    pub async fn receive_subjects(
        &self,
        subjects: usize,
        each: usize,
        visibility: Duration,
    ) -> Result<Vec<Vec<Received>>, Failure> {
        let now_ms = self.clock.now_ms();
        let (max_receives, until_ms) = (self.max_receives, later(now_ms, visibility));
        let each = i64::try_from(each).unwrap_or(i64::MAX);
        self.write(move |connection| {
            bury(connection, now_ms, max_receives)?;
            let mut groups = Vec::new();
            while groups.len() < subjects {
                // What was taken out before is hidden, and its subject with it.
                let Some(subject) = longest_waiting(connection, now_ms)? else {
                    break;
                };
                let mut of_subject = connection.prepare_cached(
                    "SELECT seq, body, receive_count FROM messages WHERE dead = 0 \
                     AND subject = ?1 AND visible_at_ms <= ?2 ORDER BY seq LIMIT ?3",
                )?;
                let found = of_subject
                    .query_map((&subject, now_ms, each), |row| {
                        Ok((row.get(0)?, change(row, 1)?, row.get(2)?))
                    })?
                    .collect::<rusqlite::Result<_>>()?;
                groups.push(hide(connection, found, until_ms)?);
            }
            Ok(groups)
        })
        .await
    }

    /// Takes messages off the queue; a receipt that is not the message's last one changes nothing.
    pub async fn delete_all(&self, receipts: Vec<String>) -> Result<(), Failure> {
        self.write(move |connection| {
            let mut delete =
                connection.prepare_cached("DELETE FROM messages WHERE receipt = ?1")?;
            for receipt in receipts {
                delete.execute([receipt])?;
            }
            Ok(())
        })
        .await
    }
}

fn longest_waiting(connection: &Connection, now_ms: i64) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(&format!(
            "SELECT subject FROM messages AS m NOT INDEXED WHERE {READY} ORDER BY seq LIMIT 1"
        ))?
        .query_row([now_ms], |row| row.get(0))
        .optional()
}
