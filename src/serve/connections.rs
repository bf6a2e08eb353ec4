//! Which connections are open, and which of them goes when another one wants in.
//!
//! A connection is *busy* while it carries a request that was let in, and *idle* otherwise: before its first request,
//! between two, and while it sends without the secret. Busy ones are never closed for others. When there is no room, the
//! address with the most idle connections loses the one that was idle longest. So a caller who opens many closes their own.
//!
//! A place is free once its socket is closed, so there are never more open sockets than places.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// A connection that has just come, or has just had its answer, is left alone for so long: its request may be on the way.
/// An address over its share has no such right, so a crowd that comes back at once cannot keep others waiting.
const MIN_IDLE: Duration = Duration::from_millis(20);
/// For so long after a connection was closed for another one, connections count as running out.
const PRESSURE: Duration = Duration::from_secs(60);

/// The connections of one listener. Clones share them.
#[derive(Clone)]
pub struct Connections(Arc<Shared>);

struct Shared {
    max: usize,
    open: Mutex<Open>,
    changed: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    places: HashMap<u64, Place>,
    networks: HashMap<IpAddr, Network>,
    /// Told to leave, and not gone yet.
    leaving: usize,
    evicted: u64,
    evicted_at: Option<Instant>,
    unreadable: u64,
    accept_failures: u64,
    accepting: Accepting,
}

struct Place {
    network: IpAddr,
    state: State,
    leave: Arc<Notify>,
}

/// The places of one address.
#[derive(Default)]
struct Network {
    places: usize,
    idle: BTreeSet<(Instant, u64)>,
    sender: Sender,
}

/// Whether one of an address's open connections has carried a request that was let in.
#[derive(Default, PartialEq, Eq)]
enum Sender {
    #[default]
    Stranger,
    /// It has the secret, so it is Okta, or the proxy in front of this program.
    LetIn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It had no turn yet to show its request.
    New,
    Idle(Instant),
    Busy,
    Leaving,
}

/// Whether the system accepted the last connection.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Accepting {
    #[default]
    Works,
    Fails,
}

/// How close the connections are to running out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// There is room.
    None,
    /// Idle connections were closed for new ones within the last minute.
    Evicting,
    /// All are busy: another one has to wait.
    Full,
    /// The system gives no more connections, most likely for want of file descriptors.
    Refused,
}

/// What an operator sees of a listener.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(super) struct Counts {
    /// Open now.
    pub open: usize,
    /// At the most.
    pub max: usize,
    /// Closed for new ones since the start.
    pub evicted: u64,
    /// Connections since the start that sent no readable HTTP/1 request.
    pub unreadable: u64,
    /// How often the system did not give a connection, since the start.
    pub accept_failures: u64,
}

/// A place that a connection holds until this is dropped. Clones are the same place.
#[derive(Clone)]
pub struct HeldPlace(Arc<Token>);

struct Token {
    id: u64,
    from: IpAddr,
    leave: Arc<Notify>,
    shared: Arc<Shared>,
}

/// Keeps a connection from being closed for others.
pub struct Busy(HeldPlace);

impl Connections {
    /// At most `max` at once.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Shared {
            max,
            open: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// A place for a connection from `from`, when there is room or an idle one can be closed for it.
    pub(crate) async fn enter(&self, from: IpAddr) -> HeldPlace {
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
        let mut open = self.0.open();
        open.accepting = Accepting::Works;
        if open.places.len() >= self.0.max {
            open.evict_one(self.0.max);
            return None;
        }
        let id = open.next;
        open.next += 1;
        let leave = Arc::new(Notify::new());
        let network = network(from);
        let place = Place {
            network,
            state: State::New,
            leave: Arc::clone(&leave),
        };
        open.places.insert(id, place);
        open.networks.entry(network).or_default().places += 1;
        let shared = Arc::clone(&self.0);
        Some(HeldPlace(Arc::new(Token {
            id,
            from,
            leave,
            shared,
        })))
    }

    /// The system did not give a connection: closes an idle one, and waits until one is gone, at most for `at_most`.
    pub(crate) async fn make_room(&self, at_most: Duration) {
        let changed = self.0.changed.notified();
        self.0.open().accept_failed(self.0.max);
        let _ = timeout(at_most, changed).await;
    }

    /// A connection sent something that is no HTTP/1 request.
    pub(crate) fn count_unreadable(&self) {
        self.0.open().unreadable += 1;
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_gone(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.open().places.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// How close they are to running out.
    pub(crate) fn pressure(&self) -> Pressure {
        let open = self.0.open();
        if open.accepting == Accepting::Fails {
            return Pressure::Refused;
        }
        let mut states = open.places.values().map(|place| place.state);
        let is_full = open.places.len() >= self.0.max;
        match open.evicted_at {
            _ if is_full && states.all(|state| state == State::Busy) => Pressure::Full,
            Some(at) if at.elapsed() < PRESSURE => Pressure::Evicting,
            _ => Pressure::None,
        }
    }

    /// For operators.
    pub fn counts(&self) -> Counts {
        let open = self.0.open();
        Counts {
            open: open.places.len(),
            max: self.0.max,
            evicted: open.evicted,
            unreadable: open.unreadable,
            accept_failures: open.accept_failures,
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn accept_failed(&mut self, max: usize) {
        self.accept_failures += 1;
        self.accepting = Accepting::Fails;
        self.evict_one(max);
    }

    /// Tells one connection to leave, if one may go and none is leaving already.
    fn evict_one(&mut self, max: usize) {
        if self.leaving > 0 {
            return;
        }
        let now = Instant::now();
        if let Some(id) = self.dispensable(max, now) {
            if let Some(place) = self.places.get(&id) {
                place.leave.notify_one();
            }
            self.change(id, |_| State::Leaving);
            self.evicted += 1;
            self.evicted_at = Some(now);
        }
    }

    /// The connection that may go: of the address that has the most idle ones, the one idle longest.
    fn dispensable(&self, max: usize, now: Instant) -> Option<u64> {
        let share = max / self.networks.len().max(1);
        let may_go = self.networks.values().filter_map(|network| {
            let (since, id) = *network.idle.first()?;
            let is_over = network.sender == Sender::Stranger && network.places > share;
            let may_go = is_over || now - since >= MIN_IDLE;
            may_go.then_some((network.idle.len(), std::cmp::Reverse(since), id))
        });
        may_go.max().map(|(_, _, id)| id)
    }

    fn change(&mut self, id: u64, change: impl FnOnce(State) -> State) {
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut place.state, State::Leaving);
        let after = match before {
            // Nothing keeps a connection that was told to leave.
            State::Leaving => State::Leaving,
            before => change(before),
        };
        place.state = after;
        let network = self.networks.entry(place.network).or_default();
        if let State::Idle(since) = before {
            network.idle.remove(&(since, id));
        }
        match after {
            State::Idle(since) => drop(network.idle.insert((since, id))),
            State::Busy => network.sender = Sender::LetIn,
            State::Leaving if before != State::Leaving => self.leaving += 1,
            State::New | State::Leaving => {}
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(place) = self.places.remove(&id) else {
            return;
        };
        if place.state == State::Leaving {
            self.leaving -= 1;
        }
        if let Some(network) = self.networks.get_mut(&place.network) {
            if let State::Idle(since) = place.state {
                network.idle.remove(&(since, id));
            }
            network.places -= 1;
            if network.places == 0 {
                self.networks.remove(&place.network);
            }
        }
    }
}

impl HeldPlace {
    /// The connection was polled: if its request was there, it is busy by now.
    pub(crate) fn was_polled(&self) {
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

    /// Waits until the connection has to go for another one.
    pub(crate) async fn told_to_leave(&self) {
        self.0.leave.notified().await;
    }

    fn change(&self, change: impl FnOnce(State) -> State) {
        self.0.shared.open().change(self.0.id, change);
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
        self.shared.open().remove(self.id);
        self.shared.changed.notify_waiters();
    }
}

/// What one client can choose an address in: itself, or its /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

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
    async fn the_address_with_the_most_idle_ones_loses_its_oldest() {
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
    async fn busy_and_new_ones_are_waited_for() {
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
        // What left by itself makes room as well.
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
    async fn only_an_address_over_its_share_gets_no_time() {
        let connections = Connections::new(4);
        let mut crowd = Vec::new();
        for _ in 0..3 {
            crowd.push(idle(&connections, 1).await);
        }
        let _other = idle(&connections, 2).await;
        let began = Instant::now();
        let okta = connections.enter(address(3)).await;
        assert_eq!((began.elapsed(), gone(&crowd).len()), (Duration::ZERO, 1));
        // With one place each, nobody is over it.
        let connections = Connections::new(4);
        for from in 0..4 {
            idle(&connections, from).await;
        }
        let _fifth = connections.enter(address(9)).await;
        assert!(began.elapsed() >= MIN_IDLE, "{:?}", began.elapsed());
        drop(okta);
    }

    /// What is not accepted in time is lost. So a crowd from as many addresses as there are places must not wait long.
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
    async fn without_file_descriptors_idle_ones_make_room_below_the_limit_too() {
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

    #[test]
    fn one_client_has_a_whole_network_of_version_6() {
        let same = |one: &str, other: &str| {
            let network = |text: &str| network(text.parse::<IpAddr>().unwrap().to_canonical());
            network(one) == network(other)
        };
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
        assert!(same("10.0.0.1", "::ffff:10.0.0.1"));
    }
}
