//! `Rpc`: authorisation, bounds and methods as one service.

use std::{
    convert::Infallible,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tower::Service;
use tracing::Instrument;

use super::{
    Dispatch, Dispatched, RpcBuilder,
    context::CallState,
    methods::{self, Methods},
};
use crate::{
    auth::{Policy, Principal, Scope, authorize},
    connection::{CallClass, WaitEnd},
    error::{ErrorKind, RpcError},
    layer::{
        CatchError, Crowd, Deadline, GiveUp, GivenUp, LoadShed, Noted, Ordered, Rates, Slots,
        Timeout, Trace, Watch, given_up, panicked,
    },
    message::{Reply, Request},
    meter::{AuthFailure, Meter},
    peer::{Peer, Standing},
};

/// What a call that cannot be answered at once goes through.
pub(super) type Stack = Trace<CatchError<GiveUp<Ordered<LoadShed<Timeout<Methods>>>>>>;

/// All methods as one service. Cheap to clone; clones share bounds and slots.
///
/// Always ready: a call that is too many is answered so. A method that needs not wait is answered
/// without a task, a slot or a boxed future.
#[derive(Clone)]
pub struct Rpc {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) dispatch: Arc<dyn Dispatch>,
    pub(super) policy: Policy,
    pub(super) slots: Arc<Slots>,
    pub(super) rates: Rates,
    pub(super) crowd: Crowd,
    pub(super) deadline: Deadline,
    /// Who is told of calls.
    pub(super) watch: Watch,
    /// Nothing new is begun.
    pub(super) closed: AtomicBool,
    /// Nobody is waited for.
    pub(super) given_up: GivenUp,
    pub(super) stack: Stack,
}

impl Rpc {
    /// A service over the methods of `dispatch`.
    pub fn over(dispatch: Arc<dyn Dispatch>) -> RpcBuilder {
        RpcBuilder::new(dispatch)
    }

    pub(super) fn from_shared(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// How busy the service is.
    #[must_use]
    pub fn slots(&self) -> &Slots {
        &self.shared.slots
    }

    /// How often one principal may call; it may be changed.
    #[must_use]
    pub fn rates(&self) -> &Rates {
        &self.shared.rates
    }

    /// On how many connections one principal may be; it may be changed.
    #[must_use]
    pub fn crowd(&self) -> &Crowd {
        &self.shared.crowd
    }

    /// What it has counted of its calls, and its transports of those who come, where they were
    /// given it.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.shared.watch.meter
    }

    /// Begins nothing new from now on: calls that would change something are refused with
    /// `unavailable`/`draining`, for their callers to come again. What was begun goes on, reading
    /// goes on, and so does control, by which what goes on is ended.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
    }

    /// Answers every call that is still at work, for a stop whose time is nearly over: with `timeout`
    /// where it may have begun to change something, which goes on, and with `unavailable` elsewhere;
    /// the reason of both is `draining`. It is for good, and transports need a moment to send what
    /// this says. Calls that can be answered at once still are.
    pub fn give_up(&self) {
        self.shared.given_up.set();
    }

    /// Whether `peer` may have what needs `scope`, for what is served beside the methods.
    ///
    /// # Errors
    ///
    /// As [`authorize`].
    pub async fn permits(&self, peer: &Peer, scope: Scope) -> Result<(), RpcError> {
        if let Some(standing) = self.unsettled(peer) {
            drop(standing.enter(|caller| self.shared.dispatch.whereabouts(caller)).await);
        }
        authorize(self.shared.policy.principal(peer).as_ref(), scope).map(drop)
    }

    /// How long calls may take that do not wait by their nature; it may be changed.
    #[must_use]
    pub fn deadline(&self) -> &Deadline {
        &self.shared.deadline
    }

    /// Finds out whom and what a call is for, and takes its places; refuses it otherwise.
    fn admit(&self, request: &mut Request) -> Result<Admitted, RpcError> {
        let shared = &self.shared;
        let found = shared.dispatch.find(&request.method);
        let opens = found.is_some_and(|found| found.traits.open) && request.connection.is_duplex();
        let mut principal = shared.policy.principal(&request.peer);
        if opens {
            principal.get_or_insert_with(Principal::nobody);
        }
        let refused = |request: &Request, found, error| {
            shared.dispatch.refused(found, principal.as_ref(), request, &error);
            error
        };
        if !opens {
            // Who nobody knows does not learn which methods there are.
            authorize(principal.as_ref(), Scope::Authenticated)
                .map_err(|error| refused(request, None, error))?;
        }
        let found = found.ok_or_else(|| unknown(request))?;
        // From here on it is a call of this method, also where it is refused.
        request.admission.found = Some(found);
        if !opens {
            authorize(principal.as_ref(), found.traits.scope)
                .map_err(|error| refused(request, Some(found), error))?;
        }
        if found.traits.mutating && !found.traits.control && shared.closed.load(Ordering::Acquire) {
            return Err(WaitEnd::Draining.error());
        }
        if let Some(principal) = principal.as_ref().filter(|_| !found.traits.control) {
            shared.rates.count(principal.name())?;
            shared.crowd.count(&request.connection, principal.name())?;
        }
        request.admission.principal = principal;
        if found.traits.immediate {
            return Ok(Admitted::Immediate);
        }
        let class = if found.traits.control { CallClass::Control } else { CallClass::Work };
        let ticket = (!request.batched).then(|| request.connection.begin(class)).transpose()?;
        let key = found.traits.ordered.then(|| shared.dispatch.order_key(found, &request.params));
        let turn = key.flatten().map(|key| request.connection.take_turn(key));
        request.admission.state = Some(Arc::new(CallState::new(ticket, turn)));
        Ok(Admitted::Queued)
    }

    fn call_now(&self, mut request: Request) -> RpcFuture {
        let id = request.id.clone();
        let mutating = request.traits().mutating;
        let mut noted = Noted::of(&mut request, &self.shared.watch);
        let dispatch = self.shared.dispatch.as_ref();
        // A panic leaves the dispatch as any other call would find it: methods share no half state.
        let span = noted.span().clone();
        let call = || span.in_scope(|| methods::call(dispatch, request));
        let outcome = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Dispatched::Now(outcome)) => outcome,
            Ok(Dispatched::Later(call)) => {
                let over = self.shared.given_up.wait();
                let call = async move {
                    let outcome = tokio::select! {
                        biased;
                        outcome = call => outcome,
                        () = over => Err(given_up(mutating, None)),
                    };
                    let reply = methods::reply(id, outcome);
                    noted.log(&reply);
                    Ok(reply)
                };
                return RpcFuture(State::Late(Box::pin(call.instrument(span))));
            }
            Err(panic) => Err(panicked(panic.as_ref())),
        };
        let reply = methods::reply(id, outcome);
        noted.log(&reply);
        RpcFuture::ready(reply)
    }
}

enum Admitted {
    Immediate,
    Queued,
}

fn unknown(request: &Request) -> RpcError {
    const SHOWN: usize = 64;
    let shown: String = request.method.chars().take(SHOWN).collect();
    RpcError::new(ErrorKind::MethodNotFound, format!("no method {shown:?}"))
        .hint("rpc.discover lists the methods")
}

impl Service<Request> for Rpc {
    type Response = Reply;
    type Error = Infallible;
    type Future = RpcFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> RpcFuture {
        match self.unsettled(&request.peer) {
            None => self.begin(request),
            Some(standing) => {
                let rpc = self.clone();
                RpcFuture(State::Late(Box::pin(rpc.settle(standing, request))))
            }
        }
    }
}

impl Rpc {
    /// What is not known yet of where the peer's process is, if a call has to wait for it.
    fn unsettled(&self, peer: &Peer) -> Option<Arc<Standing>> {
        let standing = peer.standing()?;
        let outside = || !self.shared.dispatch.has_agents();
        (!standing.is_open(outside)).then(|| Arc::clone(standing))
    }

    /// Begins a call in the order of its arrival once it is known where its peer's process is.
    async fn settle(self, standing: Arc<Standing>, request: Request) -> Result<Reply, Infallible> {
        let look = |caller| self.shared.dispatch.whereabouts(caller);
        let first = tokio::select! {
            biased;
            first = standing.enter(look) => first,
            () = self.shared.given_up.wait() => {
                return Ok(Reply::failed(request.id, given_up(false, None)));
            }
        };
        let call = self.begin(request);
        drop(first);
        call.await
    }

    fn begin(&self, mut request: Request) -> RpcFuture {
        match self.admit(&mut request) {
            Ok(Admitted::Immediate) => self.call_now(request),
            Ok(Admitted::Queued) => {
                let mut stack = self.shared.stack.clone();
                RpcFuture(State::Stack(Box::pin(stack.call(request))))
            }
            Err(error) => {
                if error.kind() == ErrorKind::Unauthenticated {
                    let why = AuthFailure::of(&error).unwrap_or(AuthFailure::NoCredentials);
                    self.shared.watch.meter.auth_failed(why);
                }
                let mut noted = Noted::of(&mut request, &self.shared.watch);
                let reply = Reply::failed(request.id, error);
                noted.log(&reply);
                RpcFuture::ready(reply)
            }
        }
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("slots", &self.shared.slots).finish_non_exhaustive()
    }
}

/// The future of [`Rpc`]. Dropping it ends a waiting call; what a call has begun to change goes on.
pub struct RpcFuture(State);

enum State {
    Ready(Option<Reply>),
    Late(futures_util::future::BoxFuture<'static, Result<Reply, Infallible>>),
    Stack(Pin<Box<<Stack as Service<Request>>::Future>>),
}

impl RpcFuture {
    const fn ready(reply: Reply) -> Self {
        Self(State::Ready(Some(reply)))
    }
}

impl Future for RpcFuture {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(reply) => Poll::Ready(Ok(reply.take().unwrap_or_default())),
            State::Late(call) => call.as_mut().poll(cx),
            State::Stack(call) => call.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for RpcFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RpcFuture")
    }
}
