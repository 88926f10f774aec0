//! What a method knows about its call, and what it gives back.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use descartes_core::agent::Reach;

use super::dispatch::Found;
use crate::{
    auth::{Principal, Scope, authorize},
    connection::{CallTicket, Connection, SubscriptionTicket, Turn},
    error::{ErrorKind, RpcError},
    layer::Slot,
    message::{Id, NotificationStream},
    peer::Peer,
};

/// What a method gives back: its encoded result, and for a subscription what follows.
#[derive(Default)]
pub struct Outcome {
    /// The result as JSON text.
    pub result: Bytes,
    /// The notifications that follow the answer.
    pub stream: Option<NotificationStream>,
}

impl Outcome {
    /// A result that nothing follows.
    #[must_use]
    pub const fn of(result: Bytes) -> Self {
        Self { result, stream: None }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("bytes", &self.result.len())
            .field("stream", &self.stream.is_some())
            .finish()
    }
}

/// What a method knows about its call.
///
/// While it lives, the call's slot and its place in the order of effects are taken; a method that
/// goes on in a task of its own takes it along.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallContext {
    /// Who asks, as a connection.
    pub peer: Peer,
    /// Who asks, as a name with rights.
    pub principal: Principal,
    /// The caller's name for the call, unless it is a notification.
    pub request_id: Option<Id>,
    /// The connection it came in by.
    pub connection: Connection,
    /// Whether notifications can follow the answer.
    pub streams: bool,
    pub(crate) state: Option<Arc<CallState>>,
}

impl CallContext {
    /// The context of a call that came past no service, as `principal`, with a stream allowed.
    #[must_use]
    pub fn new(peer: Peer, principal: Principal, connection: Connection) -> Self {
        Self { peer, principal, request_id: None, connection, streams: true, state: None }
    }

    /// The name that records and events carry for this caller.
    #[must_use]
    pub fn by(&self) -> &str {
        self.principal.name()
    }

    /// How far the caller reaches with `scope`; refuses the call when it does not have that.
    ///
    /// # Errors
    ///
    /// `forbidden`, naming the scope.
    pub fn reach(&self, scope: Scope) -> Result<Reach, RpcError> {
        authorize(Some(&self.principal), scope)
    }

    /// Opens a subscription on the connection of this call.
    ///
    /// # Errors
    ///
    /// `invalid_request`/`no_stream` where nothing can follow the answer, `resource_exhausted`
    /// when the connection has too many.
    pub fn open_subscription(&self) -> Result<SubscriptionTicket, RpcError> {
        if !self.streams {
            return Err(RpcError::new(
                ErrorKind::InvalidRequest,
                "no notifications can follow this answer",
            )
            .reason("no_stream")
            .with("use", "event.read")
            .hint("use event.read, or a transport and call that can carry a stream"));
        }
        self.connection.open_subscription()
    }

    /// Says that the effect has its place in order, so that the next call of this connection on the
    /// same thing may begin. Without it, that one begins when this context is dropped.
    pub fn effect_placed(&self) {
        if let Some(state) = &self.state {
            state.end_turn();
        }
    }

    /// Says which idempotency key leads back to this call's outcome if its caller times out.
    pub fn announce_key(&self, key: &str) {
        if let Some(state) = &self.state {
            state.key.get_or_init(|| key.into());
        }
    }
}

/// What the layers of the service share about one call; released when the call and what it left
/// running are done.
#[derive(Debug)]
pub(crate) struct CallState {
    turn: Mutex<Option<Turn>>,
    key: OnceLock<Box<str>>,
    begun: AtomicBool,
    at_work: Mutex<AtWork>,
}

/// What a call holds while it is at work.
#[derive(Debug, Default)]
struct AtWork {
    slot: Option<Slot>,
    // Held for its drop, which takes the call off its connection's count.
    _ticket: Option<CallTicket>,
}

/// What the service has found out about a request so far.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    pub(crate) found: Option<Found>,
    pub(crate) principal: Option<Principal>,
    pub(crate) state: Option<Arc<CallState>>,
}

impl CallState {
    pub(crate) fn new(ticket: Option<CallTicket>, turn: Option<Turn>) -> Self {
        Self {
            turn: Mutex::new(turn),
            key: OnceLock::new(),
            begun: AtomicBool::new(false),
            at_work: Mutex::new(AtWork { slot: None, _ticket: ticket }),
        }
    }

    /// The key that was announced.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.get().map(AsRef::as_ref)
    }

    /// Ready when the call's turn has come, or it needs none.
    pub(crate) fn poll_turn(&self, cx: &Context<'_>) -> Poll<()> {
        self.lock_turn().as_ref().map_or(Poll::Ready(()), |turn| turn.poll_first(cx))
    }

    /// Keeps the slot until the call and what it left running are done.
    pub(crate) fn keep_slot(&self, slot: Slot) {
        self.begun.store(true, Ordering::Release);
        self.lock_work().slot = Some(slot);
    }

    /// Whether the call has ever had a slot: before, it was in no method.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// The call is no longer at work: it only waits.
    pub(crate) fn give_back(&self) {
        drop(std::mem::take(&mut *self.lock_work()));
    }

    /// The call has its effect: the next one on the same thing may begin.
    fn end_turn(&self) {
        let turn = self.lock_turn().take();
        drop(turn);
    }

    fn lock_turn(&self) -> MutexGuard<'_, Option<Turn>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_work(&self) -> MutexGuard<'_, AtWork> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
