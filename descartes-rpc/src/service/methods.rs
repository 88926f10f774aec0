//! The innermost service: the methods themselves.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tower::Service;

use super::{CallContext, Dispatch, Dispatched, Outcome};
use crate::{
    error::{ErrorKind, RpcError},
    message::{Id, Reply, Request, Response},
};

/// Calls the method that a request was found to be for.
#[derive(Clone)]
pub(super) struct Methods {
    dispatch: Arc<dyn Dispatch>,
}

impl Methods {
    pub(super) const fn new(dispatch: Arc<dyn Dispatch>) -> Self {
        Self { dispatch }
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Methods")
    }
}

impl Service<Request> for Methods {
    type Response = Reply;
    type Error = Infallible;
    type Future = MethodFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> MethodFuture {
        let id = request.id.clone();
        MethodFuture { id, call: call(self.dispatch.as_ref(), request) }
    }
}

/// Calls the method that `request` was found to be for.
pub(super) fn call(dispatch: &dyn Dispatch, request: Request) -> Dispatched {
    let Request { id, params, peer, connection, streams, admission, .. } = request;
    let (Some(found), Some(principal)) = (admission.found, admission.principal) else {
        // Nothing of ours calls without having found the method first.
        return Dispatched::Now(Err(RpcError::new(ErrorKind::MethodNotFound, "no such method")));
    };
    let state = admission.state;
    let cx = CallContext { peer, principal, request_id: id, connection, streams, state };
    dispatch.call(found, cx, params)
}

/// The reply to the call `id` that ended so; none if it was a notification.
pub(super) fn reply(id: Option<Id>, outcome: Result<Outcome, RpcError>) -> Reply {
    let Some(id) = id else { return Reply::none() };
    match outcome {
        Ok(Outcome { result, stream }) => {
            Reply { response: Some(Response { id, outcome: Ok(result) }), notifications: stream }
        }
        Err(error) => Reply { response: Some(Response::failed(id, error)), notifications: None },
    }
}

/// The future of [`Methods`].
#[derive(Debug)]
pub(super) struct MethodFuture {
    id: Option<Id>,
    call: Dispatched,
}

impl Future for MethodFuture {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.call {
            Dispatched::Later(call) => ready!(call.as_mut().poll(cx)),
            Dispatched::Now(outcome) => std::mem::replace(outcome, Ok(Outcome::default())),
        };
        let id = self.id.take();
        Poll::Ready(Ok(reply(id, outcome)))
    }
}
