//! The subscriptions of a connection, and how they are ended from outside.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::Connection;
use crate::{
    error::RpcError,
    message::{EndReason, Text},
};

/// The open subscriptions; bounded by the connection's limit.
#[derive(Default)]
pub(super) struct Subscriptions {
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    open: HashMap<Text, Arc<Mutex<Ending>>>,
    /// Set once all were ended, so that one opened a moment later ends as well.
    ended: Option<EndReason>,
}

#[derive(Default)]
struct Ending {
    reason: Option<EndReason>,
    waker: Option<Waker>,
}

impl Subscriptions {
    pub(super) fn open(
        &self,
        connection: &Connection,
        max: usize,
    ) -> Result<SubscriptionTicket, RpcError> {
        let mut registry = self.lock();
        let current = registry.open.len();
        if current >= max {
            let key = "limits.subscriptions_per_connection";
            return Err(RpcError::exhausted(key, current as u64, max as u64));
        }
        let id = Text::from(uuid::Uuid::now_v7().to_string());
        let ending = Arc::new(Mutex::new(Ending { reason: registry.ended, waker: None }));
        registry.open.insert(id.clone(), Arc::clone(&ending));
        Ok(SubscriptionTicket { connection: connection.clone(), id, ending })
    }

    pub(super) fn end(&self, id: &str, reason: EndReason) -> bool {
        let ending = self.lock().open.get(id).cloned();
        ending.is_some_and(|ending| {
            end(&ending, reason);
            true
        })
    }

    pub(super) fn end_all(&self, reason: EndReason) {
        let open: Vec<_> = {
            let mut registry = self.lock();
            registry.ended = Some(reason);
            registry.open.values().cloned().collect()
        };
        for ending in open {
            end(&ending, reason);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(ending: &Mutex<Ending>, reason: EndReason) {
    let waker = {
        let mut ending = ending.lock().unwrap_or_else(PoisonError::into_inner);
        // The first reason stands: it is the one the reader can act on.
        ending.reason.get_or_insert(reason);
        ending.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// An open subscription of a connection; dropping it forgets it.
pub struct SubscriptionTicket {
    connection: Connection,
    id: Text,
    ending: Arc<Mutex<Ending>>,
}

impl SubscriptionTicket {
    /// The subscription's name.
    #[must_use]
    pub const fn id(&self) -> &Text {
        &self.id
    }

    /// Ends the subscription from inside, say because its token has expired.
    pub fn end(&self, reason: EndReason) {
        end(&self.ending, reason);
    }

    /// Ready when the subscription was ended, with the reason.
    pub fn poll_ended(&self, cx: &Context<'_>) -> Poll<EndReason> {
        let mut ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = ending.reason {
            return Poll::Ready(reason);
        }
        match &mut ending.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for SubscriptionTicket {
    fn drop(&mut self) {
        self.connection.subscriptions().lock().open.remove(self.id.as_str());
    }
}

impl fmt::Debug for SubscriptionTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionTicket").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_ends_by_name_and_is_forgotten_when_dropped() {
        let connection = Connection::default();
        let cx = Context::from_waker(Waker::noop());
        let ticket = connection.open_subscription().unwrap();
        assert!(ticket.poll_ended(&cx).is_pending());
        assert!(connection.unsubscribe(ticket.id()));
        assert_eq!(ticket.poll_ended(&cx), Poll::Ready(EndReason::Unsubscribed));
        let id = ticket.id().clone();
        drop(ticket);
        assert!(!connection.unsubscribe(&id));
        assert_eq!(connection.subscription_count(), 0);
    }

    #[test]
    fn a_subscription_opened_during_shutdown_ends_at_once() {
        let connection = Connection::default();
        let cx = Context::from_waker(Waker::noop());
        let before = connection.open_subscription().unwrap();
        connection.end_streams(EndReason::Shutdown);
        let after = connection.open_subscription().unwrap();
        for ticket in [before, after] {
            assert_eq!(ticket.poll_ended(&cx), Poll::Ready(EndReason::Shutdown));
        }
    }

    #[test]
    fn the_sixty_fifth_subscription_is_refused() {
        let connection = Connection::default();
        let open: Vec<_> = (0..64).map(|_| connection.open_subscription().unwrap()).collect();
        assert!(connection.open_subscription().is_err());
        drop(open);
        assert!(connection.open_subscription().is_ok());
    }
}
