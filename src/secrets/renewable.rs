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
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::failure::Side;

    /// Counts up; fails while told to.
    #[derive(Clone, Default)]
    struct Counter {
        reads: Arc<AtomicU64>,
        down: Arc<AtomicU64>,
    }

    #[async_trait]
    impl ValueSource<u64> for Counter {
        async fn read(&self, _: Deadline) -> Result<u64, Failure> {
            let reads = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
            match self.down.load(Ordering::SeqCst) {
                0 => Ok(reads),
                1 => Err(Failure::retryable(Side::Settings, "down")),
                _ => std::future::pending().await,
            }
        }
    }

    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    fn soon() -> Deadline {
        Deadline::within(Duration::from_secs(1))
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_value_is_read_again_in_the_background() {
        let source = Counter::default();
        let value = Renewable::new(0, source.clone());
        tokio::time::advance(GOOD_FOR - Duration::from_secs(1)).await;
        assert_eq!(*value.current(), 0);
        settle().await;
        assert_eq!(source.reads.load(Ordering::SeqCst), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        // Served at once, and read once however many ask.
        assert_eq!((*value.current(), *value.current()), (0, 0));
        settle().await;
        assert_eq!(*value.current(), 1);
        settle().await;
        assert_eq!(source.reads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_unused_for_long_is_read_again_before_use() {
        let source = Counter::default();
        let value = Renewable::new(0, source.clone());
        tokio::time::advance(MAX_AGE - Duration::from_secs(1)).await;
        assert_eq!(*value.fresh(soon()).await, 0);
        settle().await;
        tokio::time::advance(MAX_AGE).await;
        assert_eq!(*value.fresh(soon()).await, 2);
        // Out of reach: the old one serves on, and one try a minute costs no other caller time.
        source.down.store(2, Ordering::SeqCst);
        tokio::time::advance(MAX_AGE).await;
        let began = Instant::now();
        for _ in 0..3 {
            assert_eq!(*value.fresh(soon()).await, 2);
        }
        assert!(
            began.elapsed() <= Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_down_stops_nothing_and_is_asked_once_a_minute() {
        let source = Counter::default();
        let value = Renewable::new(0, source.clone());
        for down in [1, 2] {
            source.down.store(down, Ordering::SeqCst);
            source.reads.store(0, Ordering::SeqCst);
            tokio::time::advance(GOOD_FOR).await;
            for _ in 0..50 {
                assert_eq!(*value.current(), 0);
                settle().await;
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            settle().await;
            assert_eq!(source.reads.load(Ordering::SeqCst), 1, "{down}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_value_is_read_again_once_a_minute_by_one_of_many() {
        let source = Counter::default();
        let value = Renewable::new(0, source.clone());
        let first = value.current();
        let all =
            futures_util::future::join_all((0..20).map(|_| value.renew(&first, soon()))).await;
        assert!(all.iter().all(|new| new.as_deref() == Some(&1)));
        assert_eq!(source.reads.load(Ordering::SeqCst), 1);
        let second = value.current();
        tokio::time::advance(MIN_PAUSE - Duration::from_secs(1)).await;
        assert_eq!(value.renew(&second, soon()).await, None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(value.renew(&second, soon()).await.as_deref(), Some(&2));
        source.down.store(2, Ordering::SeqCst);
        tokio::time::advance(MIN_PAUSE).await;
        let third = value.current();
        assert_eq!(value.renew(&third, soon()).await, None);
        assert_eq!(*value.current(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_others_used_up_delays_a_read_and_does_not_drop_it() {
        let source = Counter::default();
        let budget = Budget {
            every: Duration::from_secs(10),
            burst: 3,
        };
        let value = Renewable::with_budget(0, source.clone(), budget);
        for read in 1..=3 {
            let refused = value.current();
            assert_eq!(value.renew(&refused, soon()).await.as_deref(), Some(&read));
        }
        for _ in 0..100 {
            let refused = value.current();
            assert_eq!(value.renew(&refused, soon()).await, None);
        }
        assert_eq!(source.reads.load(Ordering::SeqCst), 3);
        tokio::time::sleep(Duration::from_millis(10_001)).await;
        settle().await;
        assert_eq!(*value.current(), 4, "read for a refused caller, once");
        assert_eq!(source.reads.load(Ordering::SeqCst), 4);
        // In the long run it is one in ten seconds.
        tokio::time::sleep(Duration::from_secs(100)).await;
        for _ in 0..3 {
            let refused = value.current();
            assert!(value.renew(&refused, soon()).await.is_some());
        }
        let refused = value.current();
        assert_eq!(value.renew(&refused, soon()).await, None);
    }

    #[tokio::test]
    async fn a_value_without_a_source_stays() {
        let value = Renewable::from(7);
        let refused = value.current();
        assert_eq!(value.renew(&refused, soon()).await, None);
        assert_eq!(*value.current(), 7);
    }
}
