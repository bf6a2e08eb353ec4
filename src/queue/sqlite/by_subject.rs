//! Receives messages subject by subject, for a worker that knows how many subjects it can take.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::{Received, SqliteQueue, Taken, Unreadable};
use crate::clock::later;
use crate::failure::Failure;

impl SqliteQueue {
    /// Receives the messages of up to `subjects` subjects, at most `each` of one, and hides them for `visibility`. The
    /// subjects that have waited longest come first. Each group has the messages of one subject, in order. An
    /// unreadable message counts, but does not stop the others.
    pub async fn receive_subjects(
        &self,
        subjects: usize,
        each: usize,
        visibility: Duration,
    ) -> Result<Taken, Failure> {
        let now_ms = self.clock.now_ms();
        let until_ms = later(now_ms, visibility);
        let each = i64::try_from(each).unwrap_or(i64::MAX);
        self.write(move |connection| {
            let mut taken = Taken::default();
            for _ in 0..subjects {
                // A message that was received before is hidden, and so is its subject.
                let Some(subject) = longest_waiting(connection, now_ms)? else {
                    break;
                };
                take(connection, subject, (now_ms, each), until_ms, &mut taken)?;
            }
            Ok(taken)
        })
        .await
    }

    /// Deletes messages, even if they have become dead letters by now, and returns how many. A receipt that is not its
    /// message's last one changes nothing.
    pub async fn delete_all(&self, receipts: Vec<String>) -> Result<usize, Failure> {
        self.write(move |connection| {
            let mut delete =
                connection.prepare_cached("DELETE FROM messages WHERE receipt = ?1")?;
            let mut deleted = 0;
            for receipt in receipts {
                deleted += delete.execute([receipt])?;
            }
            Ok(deleted)
        })
        .await
    }
}

fn longest_waiting(connection: &Connection, now_ms: i64) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT subject FROM subjects WHERE ready_at_ms <= ?1 ORDER BY ready_at_ms LIMIT 1",
        )?
        .query_row([now_ms], |row| row.get(0))
        .optional()
}

/// Hides the messages of one subject, at most `each`, under new receipts.
fn take(
    connection: &Connection,
    subject: String,
    (now_ms, each): (i64, i64),
    until_ms: i64,
    taken: &mut Taken,
) -> rusqlite::Result<()> {
    let mut of_subject = connection.prepare_cached(
        "SELECT seq, uuid, body, receive_count FROM messages INDEXED BY messages_in_order \
         WHERE dead = 0 AND subject = ?1 AND visible_at_ms <= ?2 ORDER BY seq LIMIT ?3",
    )?;
    let found: Vec<(i64, String, String, u32)> = of_subject
        .query_map((&subject, now_ms, each), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut hide = connection.prepare_cached(
        "UPDATE messages SET receipt = ?2, visible_at_ms = ?3, postponed = 0, \
         receive_count = receive_count + 1 WHERE seq = ?1",
    )?;
    let mut group = Vec::with_capacity(found.len());
    for (seq, uuid, body, count) in found {
        let receipt = uuid::Uuid::new_v4().to_string();
        hide.execute((seq, &receipt, until_ms))?;
        let receive_count = count.saturating_add(1);
        match serde_json::from_str(&body) {
            Ok(change) => group.push(Received {
                change,
                receipt,
                receive_count,
            }),
            Err(_) => taken.unreadable.push(Unreadable {
                uuid,
                subject: subject.clone(),
                receipt,
                receive_count,
            }),
        }
    }
    if !group.is_empty() {
        taken.groups.push(group);
    }
    Ok(())
}
