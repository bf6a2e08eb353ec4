//! Time in a world: the real clock plus an offset, never the same millisecond twice.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A clock that a test can move forward; part of a world's saved state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorldClock {
    /// Added to the real time, milliseconds.
    pub offset_ms: i64,
    /// The last time handed out by [`WorldClock::tick`], epoch milliseconds.
    pub last_ms: i64,
}

impl WorldClock {
    /// The present, epoch milliseconds.
    pub fn now_ms(&self) -> i64 {
        Timestamp::now()
            .as_millisecond()
            .saturating_add(self.offset_ms)
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms = self.offset_ms.saturating_add(ms);
    }

    /// The present, later than every earlier answer of this method; epoch milliseconds.
    pub fn tick(&mut self) -> i64 {
        self.last_ms = self.now_ms().max(self.last_ms.saturating_add(1));
        self.last_ms
    }
}

/// Epoch milliseconds as both vendors print them: `2026-03-02T09:15:04.120Z`.
pub fn iso(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

/// An ISO 8601 time as epoch milliseconds; `None` if it is not one.
pub fn parse_iso(text: &str) -> Option<i64> {
    text.parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_millisecond)
}
