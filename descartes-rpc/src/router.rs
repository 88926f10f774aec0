//! The methods as a dispatch table, and what they all work on.

mod about;
mod within;

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use descartes_core::Descartes;
use descartes_core::agent::{Reach, Want};
use descartes_core::runner::{CallerProcess, Whereabouts};
use futures_util::future::BoxFuture;

use crate::audit::{self, Audit};
use crate::auth::{Principal, authorize};
use crate::connection::OrderKey;
use crate::decode;
use crate::error::RpcError;
use crate::idempotency::{DigestKey, Running};
use crate::message::{Params, Request};
use crate::methods;
use crate::requests::Requests;
use crate::service::{CallContext, Dispatch, Dispatched, Found, MethodTraits, Rpc, RpcBuilder};

pub use about::{
    About, PUBLISHER, ReloadHook, ShutdownHook, ShutdownRequest, Transports, UsageProbe,
};

/// A call on its way into its method.
#[derive(Debug)]
pub(crate) struct Call {
    /// What all methods work on.
    pub(crate) host: Arc<Host>,
    /// Who asks, and how.
    pub(crate) cx: CallContext,
    /// What of what is there exists for the caller.
    pub(crate) reach: Reach,
    /// What was called.
    pub(crate) method: &'static str,
}

impl Call {
    /// The agents behind this service.
    pub(crate) fn descartes(&self) -> &Descartes {
        &self.host.descartes
    }

    /// The name that records and events carry for the caller.
    pub(crate) fn by(&self) -> Arc<str> {
        self.cx.by().into()
    }
}

/// What all methods work on.
#[derive(Debug)]
pub(crate) struct Host {
    /// The agents.
    pub(crate) descartes: Descartes,
    /// What the application says of itself.
    pub(crate) about: About,
    /// Effects that are under way, by idempotency key.
    pub(crate) running: Running,
    /// What digests of parameters are made with.
    pub(crate) digest: DigestKey,
    /// The names of requests to agents.
    pub(crate) requests: Requests,
    /// What is written down of who did what.
    pub(crate) audit: Audit,
    /// The OpenRPC document, once somebody asked.
    document: OnceLock<Bytes>,
}

impl Host {
    /// The OpenRPC document.
    pub(crate) fn document(&self) -> Bytes {
        self.document.get_or_init(|| methods::document(&self.about.version)).clone()
    }
}

/// The methods of this interface, for one Descartes. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    pub(crate) host: Arc<Host>,
}

impl Router {
    /// The methods over `descartes`, in an application that says `about` of itself.
    #[must_use]
    pub fn new(descartes: Descartes, about: About) -> Self {
        let (running, digest) = (Running::default(), DigestKey::default());
        let requests = Requests::default();
        let (document, audit) = (OnceLock::new(), Audit::new(descartes.clone()));
        about.auth.tell(audit.door());
        let host = Host { descartes, about, running, digest, requests, audit, document };
        Self { host: Arc::new(host) }
    }

    /// The names of all methods, in the order of the document.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        methods::ENTRIES.iter().map(|entry| entry.declaration.name)
    }

    /// The OpenRPC document as JSON.
    #[must_use]
    pub fn document(&self) -> Bytes {
        self.host.document()
    }
}

impl Rpc {
    /// A service over `descartes`, in an application that says nothing of itself.
    pub fn builder(descartes: Descartes) -> RpcBuilder {
        Self::described(descartes, About::default())
    }

    /// A service over `descartes`, in an application that says `about` of itself.
    pub fn described(descartes: Descartes, about: About) -> RpcBuilder {
        Self::over(Arc::new(Router::new(descartes, about)))
    }
}

impl Dispatch for Router {
    fn find(&self, method: &str) -> Option<Found> {
        let index = methods::index(method)?;
        let entry = methods::ENTRIES.get(index)?;
        let declared = &entry.declaration;
        let traits = MethodTraits {
            name: declared.name,
            scope: declared.scope,
            mutating: declared.mutating,
            waits: declared.waits,
            control: declared.control,
            immediate: entry.immediate,
            ordered: declared.ordered,
            open: declared.open,
        };
        Some(Found { index, traits })
    }

    fn order_key(&self, found: Found, params: &Params) -> Option<OrderKey> {
        let members = methods::ENTRIES.get(found.index)?.members;
        if let Some(chat) = decode::member_of("session_id", members, params) {
            return Some(OrderKey::of("chat", &chat));
        }
        let asked = decode::agent_of(members, params)?;
        // A name and the identifier it stands for are one agent.
        match self.host.descartes.resolve(&asked, Want::Any) {
            Ok(agent) => Some(OrderKey::of("agent", &agent.to_string())),
            Err(_) => Some(OrderKey::of("agent", &asked)),
        }
    }

    fn refused(
        &self,
        found: Option<Found>,
        principal: Option<&Principal>,
        request: &Request,
        error: &RpcError,
    ) {
        let entry = found.and_then(|found| methods::ENTRIES.get(found.index));
        let method = entry.map_or("", |entry| entry.declaration.name);
        let resource = entry.and_then(|entry| audit::named(entry.members, &request.params));
        let who = (principal, &request.peer);
        self.host.audit.denied(who, method, resource.as_deref(), error);
    }

    fn has_agents(&self) -> bool {
        self.host.descartes.has_live_agents()
    }

    fn whereabouts(&self, caller: CallerProcess) -> BoxFuture<'static, Whereabouts> {
        let descartes = self.host.descartes.clone();
        Box::pin(async move { descartes.whereabouts(caller).await })
    }

    fn call(&self, found: Found, cx: CallContext, params: Params) -> Dispatched {
        let entry = &methods::ENTRIES[found.index];
        let reach = match authorize(Some(&cx.principal), entry.declaration.scope) {
            Ok(reach) => reach,
            Err(error) => return Dispatched::Now(Err(error)),
        };
        let (host, method) = (Arc::clone(&self.host), entry.declaration.name);
        (entry.run)(Call { host, cx, reach, method }, params)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("methods", &methods::ENTRIES.len()).finish_non_exhaustive()
    }
}
