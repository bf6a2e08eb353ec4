//! Where a world lives: behind a lock, with its previous state kept when a stale read is to be played.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::call::Past;
use super::fault::FaultId;
use super::traffic::Traffic;

struct Kept<W> {
    now: W,
    before: Option<W>,
    /// The states at the times when faults were set, by fault.
    frozen: BTreeMap<FaultId, W>,
}

/// Shared ownership of a world; the server and the tests hold one each.
pub struct WorldCell<W> {
    kept: Arc<Mutex<Kept<W>>>,
    changed: Arc<Notify>,
    traffic: Traffic,
}

impl<W> Clone for WorldCell<W> {
    fn clone(&self) -> Self {
        Self {
            kept: Arc::clone(&self.kept),
            changed: Arc::clone(&self.changed),
            traffic: self.traffic.clone(),
        }
    }
}

impl<W> fmt::Debug for WorldCell<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorldCell").finish_non_exhaustive()
    }
}

impl<W: Clone> WorldCell<W> {
    /// Puts a world behind a lock. `traffic` says whether previous states have to be kept.
    pub fn new(world: W, traffic: Traffic) -> Self {
        let kept = Kept {
            now: world,
            before: None,
            frozen: BTreeMap::new(),
        };
        Self {
            kept: Arc::new(Mutex::new(kept)),
            changed: Arc::new(Notify::new()),
            traffic,
        }
    }

    /// The world for reading and changing. Do not hold the guard while awaiting an answer of the simulator: it waits for it.
    pub fn guard(&self) -> WorldGuard<'_, W> {
        WorldGuard {
            kept: self.kept.lock().unwrap_or_else(PoisonError::into_inner),
            cell: self,
            written: false,
        }
    }

    /// A copy of the world as it was; `None` if no other state than the present one is kept.
    pub(super) fn past(&self, past: Past) -> Option<W> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match past {
            Past::Now => None,
            Past::BeforeLastChange => kept.before.clone(),
            Past::When(fault) => kept.frozen.get(&fault).cloned(),
        }
    }

    /// Notified whenever a guard that changed the world is dropped.
    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }
}

/// Exclusive access to a world until dropped. The first change through one guard keeps the state before it, as long as a
/// [`StaleRead`](super::fault::FaultKind::StaleRead) fault is set.
pub struct WorldGuard<'a, W: Clone> {
    kept: MutexGuard<'a, Kept<W>>,
    cell: &'a WorldCell<W>,
    written: bool,
}

impl<W: Clone> WorldGuard<'_, W> {
    /// The world for bookkeeping that does not count as a change (a read counter, a token's expiry).
    pub(super) fn quietly(&mut self) -> &mut W {
        &mut self.kept.now
    }
}

impl<W: Clone> Deref for WorldGuard<'_, W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.kept.now
    }
}

impl<W: Clone> DerefMut for WorldGuard<'_, W> {
    fn deref_mut(&mut self) -> &mut W {
        if !self.written {
            self.written = true;
            if self.cell.traffic.wants_history() {
                self.kept.before = Some(self.kept.now.clone());
            }
            let frozen = self.cell.traffic.frozen();
            self.kept.frozen.retain(|fault, _| frozen.contains(fault));
            for fault in frozen {
                if !self.kept.frozen.contains_key(&fault) {
                    let now = self.kept.now.clone();
                    self.kept.frozen.insert(fault, now);
                }
            }
        }
        &mut self.kept.now
    }
}

impl<W: Clone> Drop for WorldGuard<'_, W> {
    fn drop(&mut self) {
        if self.written {
            self.cell.changed.notify_one();
        }
    }
}
