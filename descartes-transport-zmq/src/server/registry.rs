//! Who is connected, and who has to go when there are too many.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// The connections of one server.
#[derive(Debug)]
pub(super) struct Registry {
    newcomers: usize,
    per_address: usize,
    /// Close all now.
    cut: CancellationToken,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    /// Those that have not ended their handshake, the oldest first.
    newcomers: BTreeMap<u64, CancellationToken>,
    addresses: HashMap<IpAddr, usize>,
}

/// The address has as many connections as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddressFull;

impl Registry {
    pub(super) fn new(newcomers: usize, per_address: usize) -> Arc<Self> {
        let cut = CancellationToken::new();
        Arc::new(Self { newcomers, per_address, cut, seats: Mutex::default() })
    }

    /// Takes a place for a new connection, cutting the oldest newcomer if there are too many.
    ///
    /// Who comes by the Unix socket, or from loopback, has no count of its own: everybody there is
    /// one person.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Seat, AddressFull> {
        let mut seats = self.lock();
        let counted = address.filter(|address| !address.to_canonical().is_loopback());
        if let Some(address) = counted {
            let count = seats.addresses.entry(address).or_default();
            if *count >= self.per_address {
                return Err(AddressFull);
            }
            *count += 1;
        }
        let id = seats.next;
        seats.next += 1;
        let cut = self.cut.child_token();
        seats.newcomers.insert(id, cut.clone());
        if seats.newcomers.len() > self.newcomers
            && let Some((_, oldest)) = seats.newcomers.pop_first()
        {
            tracing::debug!("cutting the oldest of too many connections that say nothing");
            oldest.cancel();
        }
        Ok(Seat { registry: Arc::clone(self), id, address: counted, cut })
    }

    /// Closes every connection.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Seat {
    registry: Arc<Registry>,
    id: u64,
    address: Option<IpAddr>,
    cut: CancellationToken,
}

impl Seat {
    /// The handshake has ended, with somebody who was let in: this is no newcomer any more.
    pub(super) fn settle(&self) {
        self.registry.lock().newcomers.remove(&self.id);
    }

    /// Completes when the connection has to close now.
    pub(super) async fn cut_ordered(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.registry.lock();
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

    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const AWAY: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    #[test]
    fn the_oldest_newcomer_gives_way_and_settled_ones_do_not() {
        let registry = Registry::new(2, 64);
        let seats: Vec<Seat> = (0..2).map(|_| registry.enter(HOME).unwrap()).collect();
        seats[0].settle();
        let later = [registry.enter(HOME).unwrap(), registry.enter(None).unwrap()];
        let cut: Vec<bool> = seats.iter().map(|seat| seat.cut.is_cancelled()).collect();
        assert_eq!(cut, [false, true]);
        assert!(!later.iter().any(|seat| seat.cut.is_cancelled()));
        registry.cut();
        assert!(seats[0].cut.is_cancelled() && later[0].cut.is_cancelled());
    }

    #[test]
    fn an_address_elsewhere_is_counted_until_its_connections_end() {
        let registry = Registry::new(64, 1);
        let first = registry.enter(AWAY).unwrap();
        assert_eq!(registry.enter(AWAY).err(), Some(AddressFull));
        for _ in 0..3 {
            assert!(registry.enter(HOME).is_ok() && registry.enter(None).is_ok());
        }
        drop(first);
        assert!(registry.enter(AWAY).is_ok());
        assert!(registry.lock().addresses.is_empty() && registry.lock().newcomers.is_empty());
    }
}
