//! On how many connections one principal may be.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

use crate::{
    bounded_map::{BoundedMap, Memory, Place},
    connection::Connection,
    error::RpcError,
    limits::{CROWD_RETRY_MILLIS, PRINCIPALS},
};

/// The configuration key that errors name.
const KEY: &str = "limits.connections_per_principal";

/// The principals of a service and on how many connections each is.
///
/// A connection counts from the first call of its principal that is no control, until it ends; over
/// HTTP that is as long as a request or a stream is answered. One that is too many stays open: what
/// is called on it is refused until another has ended.
#[derive(Debug, Default)]
pub struct Crowd {
    /// 0 is any number.
    most: AtomicU64,
    seated: Arc<Seated>,
}

/// On how many connections each principal is; who is on none is not here.
#[derive(Debug)]
struct Seated(Mutex<BoundedMap<Box<str>, Count>>);

#[derive(Debug, Default)]
struct Count(u64);

impl Memory for Count {
    fn is_over(&self, _now: Instant) -> bool {
        self.0 == 0
    }
}

impl Default for Seated {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(PRINCIPALS)))
    }
}

impl Seated {
    fn lock(&self) -> MutexGuard<'_, BoundedMap<Box<str>, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crowd {
    /// Puts another limit in force, or none. Who is here already stays.
    pub fn set(&self, most: Option<u64>) {
        self.most.store(most.unwrap_or(0), Ordering::Release);
    }

    /// Counts `connection` as one of `principal`, once, or refuses it.
    pub(crate) fn count(&self, connection: &Connection, principal: &str) -> Result<(), RpcError> {
        let most = self.most.load(Ordering::Acquire);
        if most == 0 {
            return Ok(());
        }
        connection.sit(principal, || self.seat(principal, most))
    }

    fn seat(&self, principal: &str, most: u64) -> Result<Seat, RpcError> {
        let mut seated = self.seated.lock();
        let place = seated.place(principal, Instant::now());
        let count = &mut seated.at(&place).0;
        if *count >= most {
            let error = RpcError::exhausted(KEY, *count, most).hint("close another connection");
            return Err(error.with("retry_after_ms", CROWD_RETRY_MILLIS));
        }
        *count += 1;
        drop(seated);
        Ok(Seat { seated: Arc::clone(&self.seated), principal: principal.into(), place })
    }
}

/// The place of a connection; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Seat {
    seated: Arc<Seated>,
    principal: Box<str>,
    place: Place<Box<str>>,
}

impl Seat {
    pub(crate) fn is_of(&self, principal: &str) -> bool {
        *self.principal == *principal
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seated = self.seated.lock();
        let count = &mut seated.at(&self.place).0;
        *count = count.saturating_sub(1);
        seated.tidy(&self.place, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_once_for_whom_it_is_until_it_ends() {
        let crowd = Crowd::default();
        let connections: Vec<Connection> = (0..4).map(|_| Connection::default()).collect();
        assert!(connections.iter().all(|one| crowd.count(one, "ann").is_ok()), "there is no limit");
        crowd.set(Some(2));
        for _ in 0..3 {
            assert!(connections[..2].iter().all(|one| crowd.count(one, "ann").is_ok()));
        }
        let refused = crowd.count(&connections[2], "ann").unwrap_err();
        assert_eq!(refused.detail("limit").unwrap(), KEY);
        assert_eq!(refused.detail("retry_after_ms").unwrap(), CROWD_RETRY_MILLIS);
        assert!(crowd.count(&connections[2], "bob").is_ok(), "each has its own");
        // Who logs in as somebody else gives the place back.
        assert!(crowd.count(&connections[0], "bob").is_ok());
        assert!(crowd.count(&connections[3], "ann").is_ok());
        drop(connections);
        assert_eq!(crowd.seated.lock().len(), 0);
    }

    #[test]
    fn another_limit_sends_nobody_away() {
        let crowd = Crowd::default();
        crowd.set(Some(2));
        let connections: Vec<Connection> = (0..3).map(|_| Connection::default()).collect();
        assert!(connections[..2].iter().all(|one| crowd.count(one, "ann").is_ok()));
        crowd.set(Some(1));
        assert!(connections[..2].iter().all(|one| crowd.count(one, "ann").is_ok()));
        assert!(crowd.count(&connections[2], "ann").is_err());
        crowd.set(None);
        assert!(crowd.count(&connections[2], "ann").is_ok());
    }
}
