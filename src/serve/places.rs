//! The places of a listener: which are taken, and which connection is closed to make room for a new one.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection that has just come, or has just had its answer, is left alone for this long: its request may be on the
/// way. An address over its share has no such right, so a crowd that comes back at once cannot keep others waiting.
pub(super) const MIN_IDLE: Duration = Duration::from_millis(20);
/// Connections count as running out for this long after one was closed for another.
pub(super) const PRESSURE: Duration = Duration::from_secs(60);

/// All places of one listener.
pub(super) struct Places {
    next: u64,
    taken: HashMap<u64, Place>,
    networks: HashMap<IpAddr, Network>,
    /// Told to leave, and not gone yet.
    leaving: usize,
    evicted_at: Option<Instant>,
    accepting: Accepting,
    counts: Counts,
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
pub(super) enum State {
    /// It had no turn yet to show its request.
    New,
    Idle(Instant),
    Busy,
    Leaving,
}

/// Whether the system accepted the last connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepting {
    Works,
    Fails,
}

/// How close the connections are to running out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressure {
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

impl Places {
    pub fn new(max: usize) -> Self {
        Self {
            next: 0,
            taken: HashMap::new(),
            networks: HashMap::new(),
            leaving: 0,
            evicted_at: None,
            accepting: Accepting::Works,
            counts: Counts {
                max,
                ..Counts::default()
            },
        }
    }

    /// Takes a place. Returns its number, and the signal that tells its connection to leave. If no place is free, tells
    /// an idle connection to leave.
    pub fn take(&mut self, from: IpAddr) -> Option<(u64, Arc<Notify>)> {
        self.accepting = Accepting::Works;
        if self.is_full() {
            self.evict_one();
            return None;
        }
        let id = self.next;
        self.next += 1;
        let place = Place {
            network: network(from),
            state: State::New,
            leave: Arc::default(),
        };
        let leave = Arc::clone(&place.leave);
        self.networks.entry(place.network).or_default().places += 1;
        self.taken.insert(id, place);
        Some((id, leave))
    }

    /// The system did not give a connection: an idle one is told to leave.
    pub fn accept_failed(&mut self) {
        self.counts.accept_failures += 1;
        self.accepting = Accepting::Fails;
        self.evict_one();
    }

    pub fn count_unreadable(&mut self) {
        self.counts.unreadable += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    fn is_full(&self) -> bool {
        self.taken.len() >= self.counts.max
    }

    pub fn pressure(&self) -> Pressure {
        if self.accepting == Accepting::Fails {
            return Pressure::Refused;
        }
        let mut places = self.taken.values();
        match self.evicted_at {
            _ if self.is_full() && places.all(|place| place.state == State::Busy) => Pressure::Full,
            Some(at) if at.elapsed() < PRESSURE => Pressure::Evicting,
            _ => Pressure::None,
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            open: self.taken.len(),
            ..self.counts
        }
    }

    /// Tells one connection to leave, if one may go and none is leaving already.
    fn evict_one(&mut self) {
        if self.leaving > 0 {
            return;
        }
        let now = Instant::now();
        let Some(id) = self.dispensable(now) else {
            return;
        };
        if let Some(place) = self.taken.get(&id) {
            place.leave.notify_one();
        }
        self.change(id, |_| State::Leaving);
        self.counts.evicted += 1;
        self.evicted_at = Some(now);
    }

    /// The connection that may go: of the address that has the most idle ones, the one idle longest.
    fn dispensable(&self, now: Instant) -> Option<u64> {
        let share = self.counts.max / self.networks.len().max(1);
        let may_go = self.networks.values().filter_map(|network| {
            let (since, id) = *network.idle.first()?;
            let is_over = network.sender == Sender::Stranger && network.places > share;
            let may_go = is_over || now - since >= MIN_IDLE;
            may_go.then_some((network.idle.len(), Reverse(since), id))
        });
        may_go.max().map(|(_, _, id)| id)
    }

    /// Gives a place another state. Nothing keeps a connection that was told to leave.
    pub fn change(&mut self, id: u64, change: impl FnOnce(State) -> State) {
        let Some(place) = self.taken.get_mut(&id) else {
            return;
        };
        let before = place.state;
        if before == State::Leaving {
            return;
        }
        let after = change(before);
        place.state = after;
        let network = self.networks.entry(place.network).or_default();
        if let State::Idle(since) = before {
            network.idle.remove(&(since, id));
        }
        match after {
            State::Idle(since) => drop(network.idle.insert((since, id))),
            State::Busy => network.sender = Sender::LetIn,
            State::Leaving => self.leaving += 1,
            State::New => {}
        }
    }

    /// A connection is gone, and its place is free.
    pub fn free(&mut self, id: u64) {
        let Some(place) = self.taken.remove(&id) else {
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

/// The range from which one client can choose its address: the address itself, or its /64 network.
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
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one_client() {
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
