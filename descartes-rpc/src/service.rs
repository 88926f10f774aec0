//! The service that every transport serves.

mod builder;
mod context;
mod dispatch;
mod methods;
mod rpc;

use std::convert::Infallible;

use tower::Service;

pub use builder::RpcBuilder;
pub(crate) use context::{Admission, CallState};
pub use context::{CallContext, Outcome};
pub use dispatch::{Dispatch, Dispatched, Found, MethodTraits};
pub use rpc::{Rpc, RpcFuture};

use crate::message::{Reply, Request};

/// What a transport serves; every fitting tower service is one.
///
/// Failures are answers, never errors of the service: a layer that can fail sits under
/// [`CatchError`](crate::layer::CatchError).
pub trait RpcService:
    Service<Request, Response = Reply, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> RpcService for S where
    S: Service<Request, Response = Reply, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}
