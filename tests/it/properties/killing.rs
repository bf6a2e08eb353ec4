//! Kills workers at their calls: the call takes effect, but its answer never arrives. Calls are all the points at which
//! a run waits. Half of the traps count only writes to Anypoint, which are few and matter most.

use std::sync::{Arc, Mutex};

use http::Method;

use super::counts::{Remote, Tally};
use crate::queued::between::Between;
use crate::runtime_api::Lambda;
use crate::world::World;

/// The host names by which the workers reach the servers. They identify the caller.
pub const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// One for each worker.
#[derive(Default)]
pub struct Traps {
    set: [Mutex<Option<Trap>>; 2],
    killed: Mutex<Tally>,
}

/// Which calls a trap counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    All,
    WritesToAnypoint,
}

struct Trap {
    worker: Arc<Lambda>,
    counted: Counted,
    calls_left: u32,
    is_sprung: bool,
}

impl Traps {
    /// Traps that notice every call between the workers and the servers.
    pub fn lay(world: &World, table: &Between, queue: &Between) -> Arc<Self> {
        let traps = Arc::new(Self::default());
        for (traffic, remote) in [
            (world.okta.traffic(), Remote::Okta),
            (world.anypoint.traffic(), Remote::Anypoint),
        ] {
            let traps = traps.clone();
            traffic.on_request(move |request| {
                let host = request.headers.iter().find(|(name, _)| name == "host");
                let host = host.map(|(_, value)| value.as_str()).unwrap_or_default();
                let what = format!("{} {}", request.method, words(&request.path));
                let is_token = request.path.contains("/oauth2/");
                let is_write = request.method != Method::GET && !is_token;
                let counted = match remote {
                    Remote::Anypoint if is_write => Counted::WritesToAnypoint,
                    _ => Counted::All,
                };
                traps.called(host, remote, &what, counted);
            });
        }
        for (between, remote) in [(table, Remote::Table), (queue, Remote::Queue)] {
            let traps = traps.clone();
            between.on_call(move |host, operation| {
                traps.called(host, remote, operation, Counted::All);
            });
        }
        traps
    }

    /// Kills the worker at `at` at this one of its next `counted` calls.
    pub fn set(&self, at: usize, worker: Arc<Lambda>, counted: Counted, call: u32) {
        *self.set[at].lock().unwrap() = Some(Trap {
            worker,
            counted,
            calls_left: call,
            is_sprung: false,
        });
    }

    /// Removes the trap. Returns whether it killed the worker.
    pub fn take(&self, at: usize) -> bool {
        let trap = self.set[at].lock().unwrap().take();
        trap.is_some_and(|trap| trap.is_sprung)
    }

    /// The killed workers, by their last call.
    pub fn killed(&self) -> Tally {
        self.killed.lock().unwrap().clone()
    }

    fn called(&self, host: &str, remote: Remote, what: &str, counted: Counted) {
        let Some(at) = HOSTS.iter().position(|name| host.starts_with(name)) else {
            return;
        };
        let mut trap = self.set[at].lock().unwrap();
        let Some(trap) = trap.as_mut().filter(|trap| !trap.is_sprung) else {
            return;
        };
        if trap.counted != Counted::All && trap.counted != counted {
            return;
        }
        trap.calls_left = trap.calls_left.saturating_sub(1);
        if trap.calls_left == 0 {
            trap.worker.kill9();
            trap.is_sprung = true;
            self.killed.lock().unwrap().add(what, remote, 1);
        }
    }
}

/// A path without ids, versions and the organization.
fn words(path: &str) -> String {
    let of_all = ["api", "accounts", "organizations"];
    let is_word = |part: &&str| {
        part.chars().all(|c| c.is_ascii_alphabetic()) && !part.is_empty() && !of_all.contains(part)
    };
    path.split('/')
        .filter(is_word)
        .collect::<Vec<_>>()
        .join("/")
}
