//! Which connections are open, and which of them goes when another one wants in.
//!
//! A connection is *busy* while it carries a request that was let in, and *idle* otherwise: before its first request,
//! between two, and while it sends without the secret. Busy ones are never closed for others. When there is no room, the
//! address with the most idle connections loses the one that was idle longest. So a caller who opens many closes their own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// A connection that has just come, or has just had its answer, is left alone for so long: its request may be on the way.
const MIN_IDLE: Duration = Duration::from_millis(200);
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
    /// Closed for others, since the beginning.
    evicted: u64,
    evicted_at: Option<Instant>,
}

struct Place {
    network: IpAddr,
    state: State,
    leave: Arc<Notify>,
}

#[derive(Clone, Copy)]
enum State {
    /// It had no turn yet to show its request.
    New,
    Idle(Instant),
    Busy,
}

/// How close the connections are to running out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// There is room.
    None,
    /// Idle connections were closed for new ones within the last minute.
    Evicting,
    /// All are busy: another one has to wait.
    Full,
}

/// What an operator sees of a listener.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Figures {
    /// Open now.
    pub open: usize,
    /// At the most.
    pub max: usize,
    /// Closed for new ones since the start.
    pub evicted: u64,
}

/// A place that a connection holds until this is dropped. Clones are the same place.
#[derive(Clone)]
pub struct Held(Arc<Token>);

struct Token {
    id: u64,
    from: IpAddr,
    leave: Arc<Notify>,
    shared: Arc<Shared>,
}

/// Keeps a connection from being closed for others.
pub struct Busy(Held);

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
    pub async fn enter(&self, from: IpAddr) -> Held {
        loop {
            let changed = self.0.changed.notified();
            if let Some(held) = self.try_enter(from.to_canonical()) {
                return held;
            }
            // One becomes free, or has been idle for long enough.
            let _ = timeout(MIN_IDLE, changed).await;
        }
    }

    fn try_enter(&self, from: IpAddr) -> Option<Held> {
        let mut open = self.0.open();
        if open.places.len() >= self.0.max {
            let now = Instant::now();
            let longest = open.dispensable(now)?;
            if let Some(place) = open.places.remove(&longest) {
                place.leave.notify_one();
            }
            open.evicted += 1;
            open.evicted_at = Some(now);
        }
        let id = open.next;
        open.next += 1;
        let leave = Arc::new(Notify::new());
        let place = Place {
            network: network(from),
            state: State::New,
            leave: Arc::clone(&leave),
        };
        open.places.insert(id, place);
        let shared = Arc::clone(&self.0);
        Some(Held(Arc::new(Token {
            id,
            from,
            leave,
            shared,
        })))
    }

    /// Waits until no connection is open.
    pub async fn all_gone(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.open().places.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// How close they are to running out.
    pub fn pressure(&self) -> Pressure {
        let open = self.0.open();
        let mut states = open.places.values().map(|place| place.state);
        let is_full = open.places.len() >= self.0.max;
        match open.evicted_at {
            _ if is_full && states.all(|state| matches!(state, State::Busy)) => Pressure::Full,
            Some(at) if at.elapsed() < PRESSURE => Pressure::Evicting,
            _ => Pressure::None,
        }
    }

    /// For operators.
    pub fn figures(&self) -> Figures {
        let open = self.0.open();
        Figures {
            open: open.places.len(),
            max: self.0.max,
            evicted: open.evicted,
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The connection that may go: of the address that has the most idle ones, the one idle longest.
    fn dispensable(&self, now: Instant) -> Option<u64> {
        let mut of_address: HashMap<IpAddr, (usize, Instant, u64)> = HashMap::new();
        for (id, place) in &self.places {
            let idle = match place.state {
                State::Idle(since) if now - since >= MIN_IDLE => since,
                _ => continue,
            };
            let (count, longest, which) = of_address.entry(place.network).or_insert((0, idle, *id));
            *count += 1;
            if idle < *longest {
                (*longest, *which) = (idle, *id);
            }
        }
        let most = of_address
            .into_values()
            .max_by_key(|(count, longest, _)| (*count, std::cmp::Reverse(*longest)));
        most.map(|(_, _, id)| id)
    }
}

impl Held {
    /// The connection was polled: if its request was there, it is busy by now.
    pub fn had_a_turn(&self) {
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
    pub async fn told_to_leave(&self) {
        self.0.leave.notified().await;
    }

    fn change(&self, change: impl FnOnce(State) -> State) {
        if let Some(place) = self.0.shared.open().places.get_mut(&self.0.id) {
            place.state = change(place.state);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|_| State::Idle(Instant::now()));
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.shared.open().places.remove(&self.id);
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
    use futures_util::FutureExt as _;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    async fn is_told(held: &Held) -> bool {
        timeout(Duration::ZERO, held.told_to_leave()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_address_with_the_most_idle_ones_loses_its_oldest() {
        let connections = Connections::new(4);
        let mut held = Vec::new();
        for from in [1, 2, 2, 2] {
            held.push(connections.enter(address(from)).await);
            held.last().unwrap().had_a_turn();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(connections.pressure(), Pressure::None);
        let busy = held[1].busy();
        let _fifth = connections.enter(address(3)).await;
        let told = [0, 1, 2, 3].map(|n| is_told(&held[n]).now_or_never());
        assert_eq!(told, [false, false, true, false].map(Some));
        assert_eq!(connections.pressure(), Pressure::Evicting);
        drop(busy);
        tokio::time::advance(PRESSURE).await;
        assert_eq!(connections.pressure(), Pressure::None);
        assert_eq!(connections.figures().evicted, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn busy_and_new_ones_are_waited_for() {
        let connections = Connections::new(2);
        let (one, two) = (
            connections.enter(address(1)).await,
            connections.enter(address(1)).await,
        );
        let busy = one.busy();
        // Not served yet, then for a moment only.
        assert!(connections.try_enter(address(2)).is_none());
        two.had_a_turn();
        assert!(connections.try_enter(address(2)).is_none());
        let also_busy = two.busy();
        assert_eq!(connections.pressure(), Pressure::Full);
        drop(also_busy);
        assert_eq!(connections.pressure(), Pressure::None);
        let began = Instant::now();
        let _third = connections.enter(address(2)).await;
        assert!(began.elapsed() <= MIN_IDLE * 2);
        assert!(is_told(&two).await);
        assert_eq!(connections.pressure(), Pressure::Evicting);
        // What left by itself makes room as well.
        drop((busy, one, two));
        assert_eq!(connections.figures().open, 1);
        assert!(connections.try_enter(address(2)).is_some());
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
