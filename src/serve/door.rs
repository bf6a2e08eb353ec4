//! The hook's address: its connections, its gate, and the log lines about them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::connections::Connections;
use super::places::{Counts, Pressure};
use super::prometheus::Totals;
use super::stopped;
use crate::receiver::Gate;

/// How often measured values are collected, so that they do not pile up.
const METRICS_EVERY: Duration = Duration::from_secs(60);

/// The connections and the gate of the hook's address.
#[derive(Clone)]
pub(super) struct Door {
    connections: Connections,
    gate: Gate,
}

/// What an operator sees of it.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(super) struct DoorCounts {
    pub connections: Counts,
    /// Requests without the right secret, since the start.
    pub refused: u64,
}

impl Door {
    pub fn new(connections: Connections, gate: Gate) -> Self {
        Self { connections, gate }
    }

    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// How close its connections are to running out.
    pub fn pressure(&self) -> Pressure {
        self.connections.pressure()
    }

    pub fn counts(&self) -> DoorCounts {
        DoorCounts {
            connections: self.connections.counts(),
            refused: self.gate.refusals().total(),
        }
    }

    /// Adds up what was counted, so that measured values do not pile up where nobody reads `/metrics`. Logs what
    /// happened here.
    pub async fn watch(self, totals: Arc<Totals>, mut stop: watch::Receiver<bool>) {
        let mut evicted_before = 0;
        loop {
            let stopped = timeout(METRICS_EVERY, stopped(&mut stop)).await;
            self.gate.refusals().say_rest();
            let now = self.connections.counts();
            let evicted = now.evicted - evicted_before;
            if evicted > 0 {
                tracing::warn!(
                    connections = evicted,
                    places = now.max,
                    "idle connections were closed for new ones"
                );
            }
            evicted_before = now.evicted;
            totals.collect();
            if stopped.is_ok() {
                return;
            }
        }
    }
}
