//! Who is at the other end.

mod standing;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use descartes_core::runner::Whereabouts;

use crate::auth::Principal;
use standing::Process;
pub(crate) use standing::Standing;

/// The other end of a connection: how it came, and what is known of who it is.
///
/// A fresh peer has no authority; a transport vouches for it with [`Peer::with_uid`] or
/// [`Peer::with_principal`]. Clones share the principal, which a login replaces for the whole
/// connection.
///
/// Where a transport also tells the peer's process ([`Peer::with_pid`], [`Peer::with_socket`]), the
/// service finds out whether that is one of an agent's. A peer of which it is not told counts as
/// outside of every agent.
#[derive(Clone)]
pub struct Peer {
    transport: &'static str,
    address: Option<Arc<str>>,
    credentials: Option<Credentials>,
    standing: Option<Arc<Standing>>,
    principal: Arc<RwLock<Option<Principal>>>,
}

/// What the operating system says of a peer's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The user it runs as.
    pub uid: u32,
    /// The process, if the transport can tell. It may have ended since.
    pub pid: Option<u32>,
}

impl Peer {
    /// A peer of `transport` without any authority.
    #[must_use]
    pub fn new(transport: &'static str) -> Self {
        let principal = Arc::new(RwLock::new(None));
        Self { transport, address: None, credentials: None, standing: None, principal }
    }

    /// A peer that owns this instance: the application itself, or what it vouches for.
    #[must_use]
    pub fn owner(transport: &'static str) -> Self {
        Self::new(transport).with_principal(Principal::owner())
    }

    /// The same peer on a connection that goes on as another transport.
    #[must_use]
    pub const fn over(mut self, transport: &'static str) -> Self {
        self.transport = transport;
        self
    }

    /// Notes where the peer connects from, for logs.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<Arc<str>>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Vouches that the peer runs as `uid`; what that is worth is decided by the service.
    #[must_use]
    pub const fn with_uid(mut self, uid: u32) -> Self {
        let pid = match self.credentials {
            Some(credentials) => credentials.pid,
            None => None,
        };
        self.credentials = Some(Credentials { uid, pid });
        self
    }

    /// Adds the process, which was there just now, to the credentials; without [`Peer::with_uid`]
    /// before it, this does nothing.
    #[must_use]
    pub fn with_pid(mut self, pid: u32) -> Self {
        if let Some(credentials) = &mut self.credentials {
            credentials.pid = Some(pid);
            self.standing = Some(Arc::new(Standing::of(Process::Id { pid, seen: Instant::now() })));
        }
        self
    }

    /// Tells the number that the system gave the peer's own socket, by which its process is found,
    /// and how to see that it is still held by one.
    #[must_use]
    pub fn with_socket(
        mut self,
        number: u64,
        held: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let held = Arc::new(held);
        self.standing = Some(Arc::new(Standing::of(Process::Socket { number, held })));
        self
    }

    /// Vouches that the peer is `principal`.
    #[must_use]
    pub fn with_principal(mut self, principal: Principal) -> Self {
        self.principal = Arc::new(RwLock::new(Some(principal)));
        self
    }

    /// The transport's name.
    #[must_use]
    pub const fn transport(&self) -> &'static str {
        self.transport
    }

    /// Where it connects from.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// What the operating system says of it.
    #[must_use]
    pub const fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// What is known of where its process is, if the transport told the process.
    pub(crate) fn standing(&self) -> Option<&Arc<Standing>> {
        self.standing.as_ref()
    }

    /// Where its process is, seen from the agents of the service. It is found out by the first call
    /// that the service takes from the connection.
    #[must_use]
    pub fn whereabouts(&self) -> Whereabouts {
        self.standing.as_ref().map_or(Whereabouts::Outside, |standing| standing.whereabouts())
    }

    /// Who it was vouched for as, or has logged in as.
    #[must_use]
    pub fn principal(&self) -> Option<Principal> {
        self.principal.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("transport", &self.transport)
            .field("address", &self.address)
            .field("credentials", &self.credentials)
            .field("standing", &self.standing)
            .field("principal", &self.principal())
            .finish()
    }
}
