//! Throughput and lag over time. The ledger itself is the record of both: it says when an event was
//! published and when it was done, and it survives restarts.

use rusqlite::Connection;
use serde::Serialize;

/// How much of the past the plots show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Its name in addresses.
    pub name: &'static str,
    /// The width of one bar, milliseconds.
    pub step_ms: i64,
    /// How many bars.
    pub steps: i64,
}

/// The windows there are; the first is the default.
pub(crate) const WINDOWS: [Window; 3] = [
    Window {
        name: "1h",
        step_ms: 60_000,
        steps: 60,
    },
    Window {
        name: "24h",
        step_ms: 15 * 60_000,
        steps: 96,
    },
    Window {
        name: "7d",
        step_ms: 2 * 60 * 60_000,
        steps: 84,
    },
];

/// One bar of the plots.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Bar {
    /// When it begins, milliseconds since the epoch.
    pub at_ms: i64,
    /// Events done.
    pub done: i64,
    /// Events that failed.
    pub failed: i64,
    /// Mean time from publication until done, milliseconds.
    pub lag_mean_ms: Option<f64>,
    /// The longest.
    pub lag_max_ms: Option<f64>,
}

/// The bars of a window that ends now.
pub(crate) fn series(
    connection: &Connection,
    now_ms: i64,
    window: Window,
) -> rusqlite::Result<Vec<Bar>> {
    let first = now_ms.div_euclid(window.step_ms) - window.steps + 1;
    let mut bars: Vec<Bar> = (first..first + window.steps)
        .map(|step| Bar {
            at_ms: step * window.step_ms,
            done: 0,
            failed: 0,
            lag_mean_ms: None,
            lag_max_ms: None,
        })
        .collect();
    let mut statement = connection.prepare_cached(
        "SELECT updated_at_ms / ?1, SUM(status = 'done'), SUM(status = 'failed'), AVG(lag), \
         MAX(lag) FROM (SELECT updated_at_ms, status, CASE WHEN status = 'done' THEN \
         MAX(updated_at_ms - unixepoch(published, 'subsec') * 1000, 0) END AS lag FROM events \
         WHERE updated_at_ms >= ?2) GROUP BY 1",
    )?;
    let mut rows = statement.query((window.step_ms, first * window.step_ms))?;
    while let Some(row) = rows.next()? {
        let step: i64 = row.get(0)?;
        let at = usize::try_from(step - first).ok();
        if let Some(bar) = at.and_then(|at| bars.get_mut(at)) {
            bar.done = row.get(1)?;
            bar.failed = row.get(2)?;
            bar.lag_mean_ms = row.get(3)?;
            bar.lag_max_ms = row.get(4)?;
        }
    }
    Ok(bars)
}
