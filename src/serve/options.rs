//! What `serve` is started with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::schedule::Task;
use crate::settings::{EngineSettings, HookSettings, ScheduleSettings};

/// Where the status page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusAddress {
    /// Nowhere.
    Off,
    /// Here. If another program has the address, `serve` does not start.
    At(SocketAddr),
    /// Here, or nowhere if another program has the address, such as another `serve`.
    IfFree(SocketAddr),
}

/// Where to listen and what to work on.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where Okta's deliveries come in.
    pub listen: SocketAddr,
    /// Where the status page is shown, if at all.
    pub status: StatusAddress,
    /// The database file; it is made if it is missing.
    pub data: PathBuf,
    /// How often the tasks run.
    pub intervals: Intervals,
    /// The settings that decide what is changed, for the commands that work on the file meanwhile.
    pub deciding: BTreeMap<String, String>,
}

/// How often the scheduled tasks run; `None` is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Reading the System Log.
    pub catch_up: Option<Duration>,
    /// Comparing both sides.
    pub reconcile: Option<Duration>,
    /// Bringing people from Anypoint to Okta.
    pub import: Option<Duration>,
}

impl Intervals {
    pub(super) fn each(self) -> [(Task, Option<Duration>); 3] {
        [
            (Task::CatchUp, self.catch_up),
            (Task::Reconcile, self.reconcile),
            (Task::Import, self.import),
        ]
    }
}

/// Every setting that serving needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For the receiver.
    pub hook: HookSettings,
    /// For the worker.
    pub engine: EngineSettings,
    /// For the scheduled tasks.
    pub schedule: ScheduleSettings,
}
