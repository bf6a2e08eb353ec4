//! Makes the requests of a run, a limited number at a time, and notes what they could not read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::unread::Unread;
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::schedule::Scheduler;

/// How many requests run at the same time, to both remotes together.
pub const READS_AT_ONCE: usize = 8;

/// The answers of one side to requests for lists.
#[derive(Default)]
pub(super) struct ListsRead {
    pub(super) answered: usize,
    pub(super) failed: Vec<Failure>,
}

pub(super) type ListsBySide = BTreeMap<Side, ListsRead>;

/// One object that was read by its id. `Err`: a problem of this object alone.
pub(crate) type ReadOne<T> = Result<Option<T>, Failure>;

/// Reads both sides, and counts its requests for the progress.
pub(crate) struct SideReader<'a> {
    pub(super) scheduler: &'a Scheduler,
    pub(crate) deadline: Deadline,
    permits: Semaphore,
    unread: Mutex<Unread>,
    lists_read: Mutex<ListsBySide>,
    begun: AtomicUsize,
    done: AtomicUsize,
}

impl<'a> SideReader<'a> {
    pub(crate) fn new(scheduler: &'a Scheduler, deadline: Deadline) -> Self {
        Self {
            scheduler,
            deadline,
            permits: Semaphore::new(READS_AT_ONCE),
            unread: Mutex::default(),
            lists_read: Mutex::default(),
            begun: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        }
    }

    pub(crate) fn unread(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lists_read(&self) -> MutexGuard<'_, ListsBySide> {
        self.lists_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What could not be read so far.
    pub(crate) fn take_unread(&self) -> Unread {
        std::mem::take(&mut *self.unread())
    }

    /// Waits for its turn, then for `read`.
    pub(crate) async fn run<T, E: Into<Failure>>(
        &self,
        weight: u32,
        read: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, Failure> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let permit = self.permits.acquire_many(weight).await;
        let found = read.await.map_err(Into::into)?;
        drop(permit);
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let begun = self.begun.load(Ordering::Relaxed);
        self.scheduler
            .progress("reading both sides", done, Some(begun));
        Ok(found)
    }
}
