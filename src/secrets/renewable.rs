//! A value that is read again when it grows old or proves wrong.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use crate::deadline::Deadline;
use crate::failure::Failure;

/// A value older than this is read again in the background when a request uses it.
const GOOD_FOR: Duration = Duration::from_secs(4 * 60);
/// A value older than this is read again before the request that uses it, where that matters.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// The least time between two reads that no refused value caused.
const MIN_PAUSE: Duration = Duration::from_secs(60);
/// How long a read in the background may take.
const MAX_BACKGROUND_READ: Duration = Duration::from_secs(5);

/// How often a refused value may cause a read: wrong secrets from outside must not become calls to AWS without end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// The time after which one more read is allowed.
    pub every: Duration,
    /// How many reads are allowed at once after a long time without any.
    pub burst: u32,
}

impl Budget {
    /// For values that only the other side refuses.
    pub(crate) const ONE_A_MINUTE: Self = Self {
        every: MIN_PAUSE,
        burst: 1,
    };
}

/// Who asks for a newer value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Not refused by a newly read value yet.
    New,
    /// Refused by a newly read value before. It uses up nothing of the budget: it causes a read if the last one is
    /// [`Budget::every`] ago.
    Refused,
}

/// Where a value comes from.
#[async_trait]
pub(crate) trait ValueSource<T>: Send + Sync {
    /// The value as it is now.
    async fn read(&self, deadline: Deadline) -> Result<T, Failure>;
}

/// A value, and how to get a newer one. Clones share it.
pub struct Renewable<T>(Arc<Shared<T>>);

struct Shared<T> {
    /// The value, and when it was read.
    current: RwLock<(Arc<T>, Instant)>,
    renewal: Option<Renewal<T>>,
}

struct Renewal<T> {
    source: Box<dyn ValueSource<T>>,
    budget: Budget,
    reads: Mutex<Reads>,
    /// A read is arranged for when the budget allows it.
    arranged: AtomicBool,
}

/// When reading the value was last tried again, and when the budget is whole again.
struct Reads {
    repeated: Option<Instant>,
    whole: Instant,
}

impl<T> Clone for Renewable<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Renewable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewable(…)")
    }
}

impl<T> From<T> for Renewable<T> {
    /// A value that stays.
    fn from(value: T) -> Self {
        Self(Arc::new(Shared {
            current: RwLock::new((Arc::new(value), Instant::now())),
            renewal: None,
        }))
    }
}

impl<T: Clone, const N: usize> From<&[T; N]> for Renewable<Vec<T>> {
    fn from(values: &[T; N]) -> Self {
        values.to_vec().into()
    }
}

impl<T: Send + Sync + 'static> Renewable<T> {
    /// `value`, which `source` just gave, read again at most once a minute.
    pub(crate) fn new(value: T, source: impl ValueSource<T> + 'static) -> Self {
        Self::with_budget(value, source, Budget::ONE_A_MINUTE)
    }

    /// The same; refused values cause reads within `budget`.
    pub(crate) fn with_budget(
        value: T,
        source: impl ValueSource<T> + 'static,
        budget: Budget,
    ) -> Self {
        let now = Instant::now();
        Self(Arc::new(Shared {
            current: RwLock::new((Arc::new(value), now)),
            renewal: Some(Renewal {
                source: Box::new(source),
                budget,
                reads: Mutex::new(Reads {
                    repeated: None,
                    whole: now,
                }),
                arranged: AtomicBool::new(false),
            }),
        }))
    }

    /// The value. When it is old it is read again in the background, and served meanwhile.
    pub fn current(&self) -> Arc<T> {
        self.refresh_early();
        self.0.held()
    }

    /// The value, read again first if it is more than five minutes old: a caller with a value that was withdrawn
    /// must not be let in because nobody called for an hour. If it cannot be read by `deadline`, the old one serves on.
    pub async fn fresh(&self, deadline: Deadline) -> Arc<T> {
        if let Some(renewal) = &self.0.renewal
            && self.0.age() >= MAX_AGE
            && let Ok(reads) = timeout_at(deadline.instant(), renewal.reads.lock()).await
            && self.0.age() >= MAX_AGE
            && reads.may_repeat()
        {
            self.0.read(Caller::New, renewal, reads, deadline).await;
        }
        self.current()
    }

    /// A value in place of `refused`: one that came in the meantime, or one read now. `None` when
    /// there is no source, it could not be read, or the budget is used up. In that case the value is read when the
    /// budget allows it, so that a caller who was refused because of others is let in next time.
    pub async fn renew(&self, refused: &Arc<T>, deadline: Deadline) -> Option<Arc<T>> {
        self.renew_for(Caller::New, refused, deadline).await
    }

    /// The same for a caller who may have been refused before.
    pub(crate) async fn renew_for(
        &self,
        caller: Caller,
        refused: &Arc<T>,
        deadline: Deadline,
    ) -> Option<Arc<T>> {
        let renewal = self.0.renewal.as_ref()?;
        let reads = timeout_at(deadline.instant(), renewal.reads.lock())
            .await
            .ok()?;
        let held = self.0.held();
        if !Arc::ptr_eq(&held, refused) {
            return Some(held);
        }
        let wait = match caller {
            Caller::New => reads.wait(renewal.budget),
            Caller::Refused if reads.is_recent(renewal.budget) => return None,
            Caller::Refused => None,
        };
        let Some(wait) = wait else {
            return self.0.read(caller, renewal, reads, deadline).await;
        };
        drop(reads);
        self.arrange(renewal, wait);
        None
    }

    /// Reads the value after `wait`, in the background.
    fn arrange(&self, renewal: &Renewal<T>, wait: Duration) {
        if renewal.arranged.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(renewal) = &shared.renewal {
                renewal.arranged.store(false, Ordering::Relaxed);
                let reads = renewal.reads.lock().await;
                // Somebody else was faster.
                if reads.wait(renewal.budget).is_none() {
                    let deadline = Deadline::within(MAX_BACKGROUND_READ);
                    shared.read(Caller::New, renewal, reads, deadline).await;
                }
            }
        });
    }

    fn refresh_early(&self) {
        let Some(renewal) = &self.0.renewal else {
            return;
        };
        // A read that is under way is enough.
        let old = renewal
            .reads
            .try_lock()
            .is_ok_and(|reads| self.0.age() >= GOOD_FOR && reads.may_repeat());
        if !old || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Some(renewal) = &shared.renewal
                && let Ok(reads) = renewal.reads.try_lock()
                && reads.may_repeat()
            {
                shared
                    .read(
                        Caller::New,
                        renewal,
                        reads,
                        Deadline::within(MAX_BACKGROUND_READ),
                    )
                    .await;
            }
        });
    }
}

impl Reads {
    fn may_repeat(&self) -> bool {
        self.repeated.is_none_or(|at| at.elapsed() >= MIN_PAUSE)
    }

    /// How long until the budget allows a read; `None` when it does now.
    fn wait(&self, budget: Budget) -> Option<Duration> {
        let ahead = budget.every * budget.burst.saturating_sub(1);
        let missing = self.whole.saturating_duration_since(Instant::now());
        let wait = missing.saturating_sub(ahead);
        (!wait.is_zero()).then_some(wait)
    }

    /// Whether the last read is too fresh for one who was refused before.
    fn is_recent(&self, budget: Budget) -> bool {
        self.repeated.is_some_and(|at| at.elapsed() < budget.every)
    }

    /// A read for a new caller takes its part of the budget.
    fn spend(&mut self, caller: Caller, budget: Budget) {
        let now = Instant::now();
        self.repeated = Some(now);
        if caller == Caller::New {
            self.whole = self.whole.max(now) + budget.every;
        }
    }
}

impl<T> Shared<T> {
    fn held(&self) -> Arc<T> {
        let held = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&held.0)
    }

    fn age(&self) -> Duration {
        let held = self.current.read().unwrap_or_else(PoisonError::into_inner);
        held.1.elapsed()
    }

    async fn read(
        &self,
        caller: Caller,
        renewal: &Renewal<T>,
        mut reads: MutexGuard<'_, Reads>,
        deadline: Deadline,
    ) -> Option<Arc<T>> {
        reads.spend(caller, renewal.budget);
        let reading = timeout_at(deadline.instant(), renewal.source.read(deadline));
        let value = match reading.await {
            Ok(Ok(value)) => Arc::new(value),
            Ok(Err(failure)) => {
                tracing::warn!(
                    "a secret could not be read again; the old one serves on: {failure}"
                );
                return None;
            }
            Err(_) => {
                tracing::warn!("a secret could not be read again in time; the old one serves on");
                return None;
            }
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) =
            (Arc::clone(&value), Instant::now());
        Some(value)
    }
}

#[cfg(test)]
#[path = "renewable_tests.rs"]
mod tests;
