//! The calls of a connection that only wait, and how one of them is cancelled.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

use super::Connection;
use crate::{
    auth::Over,
    error::{ErrorKind, RpcError},
    message::Id,
};

/// Why a waiting call is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitEnd {
    /// Its caller asked for it, or has gone.
    Cancelled,
    /// The daemon is going down.
    Draining,
    /// Its caller is believed no longer.
    Over(Over),
}

impl WaitEnd {
    /// What the caller is told.
    pub(crate) fn error(self) -> RpcError {
        match self {
            Self::Cancelled => RpcError::new(ErrorKind::Cancelled, "the call was cancelled"),
            Self::Draining => RpcError::new(ErrorKind::Unavailable, "the daemon is about to stop")
                .reason("draining")
                .hint("come again in a moment"),
            Self::Over(over) => over.error(),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Cancelled => 1,
            Self::Draining => 2,
            Self::Over(Over::Expired) => 3,
            Self::Over(Over::Revoked) => 4,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Cancelled),
            2 => Some(Self::Draining),
            3 => Some(Self::Over(Over::Expired)),
            4 => Some(Self::Over(Over::Revoked)),
            _ => None,
        }
    }
}

/// The waiting calls; bounded by the connection's limit.
#[derive(Default)]
pub(super) struct Waits {
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    waiting: Vec<Arc<Wait>>,
    /// Set once all were ended, so that one that begins a moment later ends as well.
    ended: Option<WaitEnd>,
}

struct Wait {
    id: Option<Id>,
    end: AtomicU8,
    waker: AtomicWaker,
}

impl Wait {
    fn end(&self, end: WaitEnd) {
        self.end.store(end.code(), Ordering::Release);
        self.waker.wake();
    }
}

impl Waits {
    pub(super) fn begin(
        &self,
        connection: &Connection,
        id: Option<&Id>,
        max: usize,
    ) -> Result<WaitTicket, RpcError> {
        let mut registry = self.lock();
        let current = registry.waiting.len() as u64;
        if registry.waiting.len() >= max {
            return Err(RpcError::exhausted("limits.waits_per_connection", current, max as u64));
        }
        let wait = Arc::new(Wait {
            id: id.cloned(),
            end: AtomicU8::new(registry.ended.map_or(0, WaitEnd::code)),
            waker: AtomicWaker::new(),
        });
        registry.waiting.push(Arc::clone(&wait));
        Ok(WaitTicket { connection: connection.clone(), wait })
    }

    pub(super) fn cancel(&self, id: &Id) -> bool {
        let registry = self.lock();
        let mut found = false;
        for wait in registry.waiting.iter().filter(|wait| wait.id.as_ref() == Some(id)) {
            wait.end(WaitEnd::Cancelled);
            found = true;
        }
        found
    }

    pub(super) fn end_all(&self, end: WaitEnd) {
        let mut registry = self.lock();
        registry.ended = Some(end);
        for wait in &registry.waiting {
            wait.end(end);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that only waits, until this is dropped.
pub(crate) struct WaitTicket {
    connection: Connection,
    wait: Arc<Wait>,
}

impl WaitTicket {
    /// Ready when the wait was ended from outside, with why.
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<WaitEnd> {
        self.wait.waker.register(cx.waker());
        let end = WaitEnd::from_code(self.wait.end.load(Ordering::Acquire));
        end.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for WaitTicket {
    fn drop(&mut self) {
        let mut registry = self.connection.waits().lock();
        if let Some(at) = registry.waiting.iter().position(|wait| Arc::ptr_eq(wait, &self.wait)) {
            registry.waiting.swap_remove(at);
        }
    }
}

impl fmt::Debug for WaitTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitTicket").field("id", &self.wait.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_waiting_call_is_cancelled_by_its_identifier_and_forgotten_when_done() {
        let connection = Connection::default();
        let cx = Context::from_waker(Waker::noop());
        let (mine, other) = (
            connection.begin_wait(Some(&Id::number(1))).unwrap(),
            connection.begin_wait(Some(&Id::text("1"))).unwrap(),
        );
        assert!(connection.cancel(&Id::number(1)));
        assert!(mine.poll_ended(&cx).is_ready());
        assert!(other.poll_ended(&cx).is_pending());
        drop(mine);
        connection.end_waits(WaitEnd::Draining);
        assert_eq!(other.poll_ended(&cx), Poll::Ready(WaitEnd::Draining));
        assert!(!connection.cancel(&Id::number(1)));
        assert_eq!(connection.waits().len(), 1);
    }
}
