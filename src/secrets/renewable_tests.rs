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
    let all = futures_util::future::join_all((0..20).map(|_| value.renew(&first, soon()))).await;
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
