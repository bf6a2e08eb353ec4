//! After the clock went back, times that were written before are too far ahead: a postponed message would
//! hold its subject until the clock is there again.

use std::time::Duration;

use super::SqliteQueue;
use crate::clock::later;
use crate::failure::Failure;
use crate::queue::pause::MAX_PAUSE;

impl SqliteQueue {
    /// Shows messages that are hidden for too long, and says how many. A message that is out is hidden for `visibility`
    /// at most, a postponed one for the longest pause, and one that was never received not at all.
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
