//! What the service needs to know of its methods.

use std::fmt;

use descartes_core::runner::{CallerProcess, Whereabouts};
use futures_util::future::BoxFuture;

use super::{CallContext, Outcome};
use crate::{
    auth::{Principal, Scope},
    connection::OrderKey,
    error::RpcError,
    message::{Params, Request},
};

/// How a method is treated on its way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodTraits {
    /// The method's name, for logs and measurements.
    pub name: &'static str,
    /// What its caller must be allowed; by default what nobody has but who may do everything.
    pub scope: Scope,
    /// It changes something.
    pub mutating: bool,
    /// It mostly waits: it gives back its slot while it does, and the request timeout is not for
    /// it.
    pub waits: bool,
    /// It gets through when others are shed, and does not wait for its turn.
    pub control: bool,
    /// It has its effect on the spot: [`Dispatch::call`] answers with [`Dispatched::Now`], or only
    /// the answer comes later. The call takes no slot.
    pub immediate: bool,
    /// It may be called on a connection that nobody is known on yet.
    pub open: bool,
    /// Calls of one connection that change the same thing take effect in the order sent; the
    /// dispatch tells the thing by [`Dispatch::order_key`].
    pub ordered: bool,
}

/// A method that was found: its place in the dispatch's table and how to treat it.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Given back to [`Dispatch::call`].
    pub index: usize,
    /// How to treat the method.
    pub traits: MethodTraits,
}

/// The methods behind a service.
pub trait Dispatch: Send + Sync + 'static {
    /// Looks a method up; called for every request, so it must not allocate.
    fn find(&self, method: &str) -> Option<Found>;

    /// What an `ordered` call changes; called before the call, in the order of arrival. It must not
    /// block. `None` lets the call go without a turn.
    fn order_key(&self, found: Found, params: &Params) -> Option<OrderKey> {
        let (_, _) = (found, params);
        None
    }

    /// Is told of a call that was refused because of who its caller is; `found` unless no method has
    /// the name, or nobody knows the caller. It must not block.
    fn refused(
        &self,
        found: Option<Found>,
        principal: Option<&Principal>,
        request: &Request,
        error: &RpcError,
    ) {
        let (_, _, _, _) = (found, principal, request, error);
    }

    /// Whether any process can be an agent's at this moment; asked at the first call of each
    /// connection. It must not block.
    fn has_agents(&self) -> bool {
        false
    }

    /// Whether the process at the other end of a connection is an agent's. Asked once for each
    /// connection, if [`has_agents`](Self::has_agents) says so; calls of that connection wait.
    fn whereabouts(&self, caller: CallerProcess) -> BoxFuture<'static, Whereabouts> {
        let _ = caller;
        Box::pin(std::future::ready(Whereabouts::Outside))
    }

    /// Calls a method. Authorisation, slots, turns and deadlines are behind the call already.
    ///
    /// Dropping the future must not halve an effect: a method that changes something moves `cx`
    /// into a task of its own by its first commit.
    fn call(&self, found: Found, cx: CallContext, params: Params) -> Dispatched;
}

/// The outcome of a call, now or later.
pub enum Dispatched {
    /// It is there.
    Now(Result<Outcome, RpcError>),
    /// It comes.
    Later(BoxFuture<'static, Result<Outcome, RpcError>>),
}

impl fmt::Debug for Dispatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(outcome) => f.debug_tuple("Now").field(outcome).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}
