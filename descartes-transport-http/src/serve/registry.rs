//! Who is connected, and who has to go when there are too many.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::state::ConnectionState;

/// The connections of one server.
#[derive(Debug)]
pub(crate) struct Registry {
    newcomers: usize,
    per_address: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    draining: bool,
    all: HashMap<u64, Arc<ConnectionState>>,
    /// Those that have not sent a whole request yet, the oldest first.
    newcomers: BTreeSet<u64>,
    addresses: HashMap<IpAddr, usize>,
}

/// The address has as many connections as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressFull;

impl Registry {
    pub(crate) fn new(newcomers: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { newcomers, per_address, seats: Mutex::default() })
    }

    /// Takes a place for a new connection, cutting the oldest newcomer if there are too many.
    ///
    /// Loopback addresses have no count of their own: everybody there is one person.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Seat, AddressFull> {
        let mut seats = self.lock();
        let counted = (!address.to_canonical().is_loopback()).then_some(address);
        if let Some(address) = counted {
            let count = seats.addresses.entry(address).or_default();
            if *count >= self.per_address {
                return Err(AddressFull);
            }
            *count += 1;
        }
        let id = seats.next;
        seats.next += 1;
        let state = Arc::new(ConnectionState::new(id, Arc::clone(self)));
        seats.all.insert(id, Arc::clone(&state));
        seats.newcomers.insert(id);
        let oldest = (seats.newcomers.len() > self.newcomers).then(|| seats.newcomers.pop_first());
        if let Some(cut) = oldest.flatten().and_then(|id| seats.all.get(&id)) {
            cut.cut();
        }
        if seats.draining {
            state.drain();
        }
        Ok(Seat { registry: Arc::clone(self), id, address: counted, state })
    }

    /// The connection has sent a whole request.
    pub(super) fn settle(&self, id: u64) {
        self.lock().newcomers.remove(&id);
    }

    /// Tells every connection, also later ones, to finish what it answers and close.
    pub(crate) fn drain(&self) {
        let mut seats = self.lock();
        seats.draining = true;
        seats.all.values().for_each(|state| state.drain());
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        self.lock().all.values().for_each(|state| state.cut());
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Seat {
    registry: Arc<Registry>,
    id: u64,
    address: Option<IpAddr>,
    pub(crate) state: Arc<ConnectionState>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.registry.lock();
        seats.all.remove(&self.id);
        seats.newcomers.remove(&self.id);
        let Some(address) = self.address else { return };
        if let Some(count) = seats.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                seats.addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn the_oldest_newcomer_gives_way_and_settled_ones_do_not() {
        let registry = Registry::new(2, 64);
        let seats: Vec<Seat> = (0..2).map(|_| registry.enter(HOME).unwrap()).collect();
        seats[0].state.settle();
        let third = registry.enter(HOME).unwrap();
        let fourth = registry.enter(HOME).unwrap();
        let cut: Vec<bool> = seats.iter().map(|seat| seat.state.is_cut()).collect();
        assert_eq!(cut, [false, true]);
        assert!(!third.state.is_cut() && !fourth.state.is_cut());
    }

    #[test]
    fn an_address_elsewhere_is_counted_until_its_connections_end() {
        let registry = Registry::new(64, 1);
        let first = registry.enter(AWAY).unwrap();
        assert_eq!(registry.enter(AWAY).err(), Some(AddressFull));
        assert!(registry.enter(HOME).is_ok() && registry.enter(HOME).is_ok());
        drop(first);
        assert!(registry.enter(AWAY).is_ok());
        assert!(registry.lock().addresses.is_empty() && registry.lock().all.is_empty());
    }

    #[test]
    fn who_comes_while_the_server_drains_is_told_at_once() {
        let registry = Registry::new(64, 64);
        let before = registry.enter(HOME).unwrap();
        registry.drain();
        let after = registry.enter(HOME).unwrap();
        assert!(before.state.is_draining() && after.state.is_draining());
        registry.cut();
        assert!(before.state.is_cut() && after.state.is_cut());
    }
}
