//! Which connections are open, and which of them is closed to make room for a new one.
//!
//! A connection is *busy* while it carries a request that was let in, and *idle* otherwise: before its first request,
//! between two, and while it sends without the secret. Busy ones are never closed for others. When there is no room, the
//! address with the most idle connections loses the one that was idle longest. So a caller who opens many closes their own.
//!
//! A place is free once its socket is closed, so there are never more open sockets than places.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::places::{Counts, MIN_IDLE, Places, Pressure, State};

/// The connections of one listener. Clones share them.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    places: Mutex<Places>,
    changed: Notify,
}

/// A place that a connection holds until this is dropped. Clones are the same place.
#[derive(Clone)]
pub(super) struct HeldPlace(Arc<Token>);

struct Token {
    id: u64,
    from: IpAddr,
    leave: Arc<Notify>,
    shared: Arc<Shared>,
}

/// Keeps a connection from being closed for others.
pub(super) struct Busy(HeldPlace);

impl Connections {
    /// At most `max` at once.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Shared {
            places: Mutex::new(Places::new(max)),
            changed: Notify::new(),
        }))
    }

    /// A place for a connection from `from`, when there is room or an idle one can be closed for it.
    pub async fn enter(&self, from: IpAddr) -> HeldPlace {
        loop {
            let changed = self.0.changed.notified();
            if let Some(held) = self.try_enter(from.to_canonical()) {
                return held;
            }
            // One becomes free, or has been idle for long enough.
            let _ = timeout(MIN_IDLE, changed).await;
        }
    }

    fn try_enter(&self, from: IpAddr) -> Option<HeldPlace> {
        let (id, leave) = self.0.places().take(from)?;
        let shared = Arc::clone(&self.0);
        Some(HeldPlace(Arc::new(Token {
            id,
            from,
            leave,
            shared,
        })))
    }

    /// The system did not give a connection: closes an idle one, and waits until one is gone, at most for `at_most`.
    pub async fn make_room(&self, at_most: Duration) {
        let changed = self.0.changed.notified();
        self.0.places().accept_failed();
        let _ = timeout(at_most, changed).await;
    }

    /// A connection sent something that is no HTTP/1 request.
    pub fn count_unreadable(&self) {
        self.0.places().count_unreadable();
    }

    /// Waits until no connection is open.
    pub async fn all_gone(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.places().is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// How close they are to running out.
    pub fn pressure(&self) -> Pressure {
        self.0.places().pressure()
    }

    /// For operators.
    pub fn counts(&self) -> Counts {
        self.0.places().counts()
    }
}

impl Shared {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldPlace {
    /// The connection was polled: if its request was there, it is busy by now.
    pub fn was_polled(&self) {
        self.change(|state| match state {
            State::New => State::Idle(Instant::now()),
            other => other,
        });
    }

    /// The connection carries a request that was let in, for as long as the value lives.
    pub fn busy(&self) -> Busy {
        self.change(|_| State::Busy);
        Busy(self.clone())
    }

    /// Whether it comes from this machine.
    pub fn is_loopback(&self) -> bool {
        self.0.from.is_loopback()
    }

    /// Waits until the connection has to close for another one.
    pub async fn told_to_leave(&self) {
        self.0.leave.notified().await;
    }

    fn change(&self, change: impl FnOnce(State) -> State) {
        self.0.shared.places().change(self.0.id, change);
        self.0.shared.changed.notify_waiters();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|_| State::Idle(Instant::now()));
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.shared.places().free(self.id);
        self.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::super::places::PRESSURE;
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    /// A connection that had its turn, and leaves when it is told to.
    async fn idle(connections: &Connections, from: u8) -> JoinHandle<()> {
        let held = connections.enter(address(from)).await;
        held.was_polled();
        tokio::spawn(async move { held.told_to_leave().await })
    }

    fn gone(connections: &[JoinHandle<()>]) -> Vec<usize> {
        let ended = connections.iter().enumerate();
        let ended = ended.filter(|(_, connection)| connection.is_finished());
        ended.map(|(position, _)| position).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_address_with_the_most_idle_connections_loses_its_oldest() {
        let connections = Connections::new(4);
        let mut idle_ones = vec![idle(&connections, 1).await];
        tokio::time::advance(Duration::from_secs(1)).await;
        let held = connections.enter(address(2)).await;
        let busy = held.busy();
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(1)).await;
            idle_ones.push(idle(&connections, 2).await);
        }
        assert_eq!(connections.pressure(), Pressure::None);
        let _fifth = connections.enter(address(3)).await;
        assert_eq!(gone(&idle_ones), [1]);
        assert_eq!(connections.pressure(), Pressure::Evicting);
        drop(busy);
        tokio::time::advance(PRESSURE).await;
        assert_eq!(connections.pressure(), Pressure::None);
        assert_eq!(connections.counts().evicted, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_for_busy_and_new_connections() {
        let connections = Connections::new(2);
        let one = connections.enter(address(1)).await;
        let two = connections.enter(address(2)).await;
        let busy = one.busy();
        let evicted = || connections.counts().evicted;
        // Not served yet, then for a moment only.
        assert!(connections.try_enter(address(3)).is_none());
        two.was_polled();
        assert!(connections.try_enter(address(3)).is_none());
        let also_busy = two.busy();
        assert_eq!(connections.pressure(), Pressure::Full);
        drop(also_busy);
        assert_eq!(connections.pressure(), Pressure::None);
        assert_eq!(evicted(), 0);
        let began = Instant::now();
        let two = tokio::spawn(async move { two.told_to_leave().await });
        let third = connections.enter(address(3)).await;
        assert!(began.elapsed() <= MIN_IDLE * 2);
        two.await.unwrap();
        assert_eq!(connections.pressure(), Pressure::Evicting);
        // A connection that closed by itself makes room, too.
        drop((busy, one));
        assert_eq!(connections.counts().open, 1);
        assert!(connections.try_enter(address(2)).is_some());
        assert_eq!(evicted(), 1);
        drop(third);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_free_once_its_connection_is_gone() {
        let connections = Connections::new(1);
        let slow = connections.enter(address(1)).await;
        slow.was_polled();
        tokio::time::advance(MIN_IDLE).await;
        for _ in 0..3 {
            assert!(connections.try_enter(address(2)).is_none());
        }
        let counts = connections.counts();
        assert_eq!((counts.open, counts.evicted), (1, 1));
        // Its request came at the last moment. It was told to leave all the same.
        drop(slow.busy());
        assert!(connections.try_enter(address(2)).is_none());
        assert_eq!(connections.counts().evicted, 1);
        drop(slow);
        assert!(connections.try_enter(address(2)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_address_over_its_share_is_closed_at_once() {
        let connections = Connections::new(4);
        let mut crowd = Vec::new();
        for _ in 0..3 {
            crowd.push(idle(&connections, 1).await);
        }
        let _other = idle(&connections, 2).await;
        let began = Instant::now();
        let okta = connections.enter(address(3)).await;
        assert_eq!((began.elapsed(), gone(&crowd).len()), (Duration::ZERO, 1));
        // With one place each, no address is over its share.
        let connections = Connections::new(4);
        for from in 0..4 {
            idle(&connections, from).await;
        }
        let _fifth = connections.enter(address(9)).await;
        assert!(began.elapsed() >= MIN_IDLE, "{:?}", began.elapsed());
        drop(okta);
    }

    /// A connection that is not accepted in time is lost. So a crowd from as many addresses as there are places must
    /// not wait long.
    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_comes_back_is_let_in_as_fast_as_it_comes() {
        let connections = Connections::new(100);
        let began = Instant::now();
        for n in 0..2_000 {
            idle(&connections, (n % 200) as u8).await;
        }
        let a_second = 2_000.0 / began.elapsed().as_secs_f64();
        assert!(a_second > 4_000.0, "{a_second}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_the_secret_has_no_share() {
        let connections = Connections::new(4);
        let proxy = connections.enter(address(1)).await;
        drop(proxy.busy());
        let proxy = tokio::spawn(async move { proxy.told_to_leave().await });
        for from in [1, 1, 2] {
            idle(&connections, from).await;
        }
        let began = Instant::now();
        let _fifth = connections.enter(address(1)).await;
        assert!(began.elapsed() >= MIN_IDLE, "{:?}", began.elapsed());
        assert!(proxy.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn without_file_descriptors_idle_connections_make_room_below_the_limit() {
        let connections = Connections::new(9);
        let crowd = [
            idle(&connections, 1).await,
            idle(&connections, 1).await,
            idle(&connections, 2).await,
        ];
        tokio::time::advance(MIN_IDLE).await;
        let began = Instant::now();
        connections.make_room(Duration::from_secs(1)).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(gone(&crowd), [0]);
        assert_eq!(connections.pressure(), Pressure::Refused);
        let counts = connections.counts();
        assert_eq!((counts.evicted, counts.accept_failures), (1, 1));
        let _next = connections.enter(address(3)).await;
        assert_eq!(connections.pressure(), Pressure::Evicting);
    }
}
