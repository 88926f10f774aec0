//! The calls of a connection that only wait, and how one of them is cancelled.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

use super::Connection;
use crate::{error::RpcError, message::Id};

/// The waiting calls; bounded by the connection's limit.
#[derive(Default)]
pub(super) struct Waits {
    waiting: Mutex<Vec<Arc<Wait>>>,
}

struct Wait {
    id: Option<Id>,
    cancelled: AtomicBool,
    waker: AtomicWaker,
}

impl Waits {
    pub(super) fn begin(
        &self,
        connection: &Connection,
        id: Option<&Id>,
        max: usize,
    ) -> Result<WaitTicket, RpcError> {
        let mut waiting = self.lock();
        if waiting.len() >= max {
            let current = waiting.len() as u64;
            return Err(RpcError::exhausted("limits.waits_per_connection", current, max as u64));
        }
        let wait = Arc::new(Wait {
            id: id.cloned(),
            cancelled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        waiting.push(Arc::clone(&wait));
        Ok(WaitTicket { connection: connection.clone(), wait })
    }

    pub(super) fn cancel(&self, id: &Id) -> bool {
        let waiting = self.lock();
        let mut found = false;
        for wait in waiting.iter().filter(|wait| wait.id.as_ref() == Some(id)) {
            wait.cancelled.store(true, Ordering::Release);
            wait.waker.wake();
            found = true;
        }
        found
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Wait>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that only waits, until this is dropped.
pub(crate) struct WaitTicket {
    connection: Connection,
    wait: Arc<Wait>,
}

impl WaitTicket {
    /// Ready when somebody asked to give up.
    pub(crate) fn poll_cancelled(&self, cx: &Context<'_>) -> Poll<()> {
        self.wait.waker.register(cx.waker());
        if self.wait.cancelled.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for WaitTicket {
    fn drop(&mut self) {
        let mut waiting = self.connection.waits().lock();
        if let Some(at) = waiting.iter().position(|wait| Arc::ptr_eq(wait, &self.wait)) {
            waiting.swap_remove(at);
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
        assert!(mine.poll_cancelled(&cx).is_ready());
        assert!(other.poll_cancelled(&cx).is_pending());
        drop(mine);
        assert!(!connection.cancel(&Id::number(1)));
        assert_eq!(connection.waits().len(), 1);
    }
}
