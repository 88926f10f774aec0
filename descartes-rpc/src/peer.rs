//! Who is at the other end.

mod standing;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use descartes_core::{runner::Whereabouts, trace::TraceContext};
use tokio::sync::watch;

use crate::{
    auth::{Over, Principal},
    error::RpcError,
    message::EndReason,
    meter::{Meter, Rejection},
};
use standing::Process;
pub(crate) use standing::Standing;

/// The other end of a connection: how it came, and what is known of who it is.
///
/// A fresh peer has no authority; a transport vouches for it with [`Peer::with_uid`] or
/// [`Peer::with_principal`]. Clones share the principal, which a login replaces for the whole
/// connection: a duplex connection needs a peer of its own.
///
/// Where a transport also tells the peer's process ([`Peer::with_pid`], [`Peer::with_socket`]), the
/// service finds out whether that is one of an agent's. A peer of which it is not told counts as
/// outside of every agent.
#[derive(Clone)]
pub struct Peer {
    transport: &'static str,
    connection_id: u64,
    address: Option<Arc<str>>,
    credentials: Option<Credentials>,
    standing: Option<Arc<Standing>>,
    principal: Arc<watch::Sender<Option<Principal>>>,
    meter: Option<Meter>,
    trace: Option<TraceContext>,
}

/// Names connections in logs; nothing else depends on it.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

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
        let connection_id = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let principal = Arc::new(watch::Sender::new(None));
        Self {
            transport,
            connection_id,
            address: None,
            credentials: None,
            standing: None,
            principal,
            meter: None,
            trace: None,
        }
    }

    /// A peer that owns this instance: the application itself, or what it vouches for.
    #[must_use]
    pub fn owner(transport: &'static str) -> Self {
        Self::new(transport).with_principal(Principal::owner())
    }

    /// The same peer on a connection that goes on as another transport; who logs in on it changes no
    /// other clone, and what it asks is of no trace yet.
    #[must_use]
    pub fn over(mut self, transport: &'static str) -> Self {
        self.transport = transport;
        self.trace = None;
        self.principal = Arc::new(watch::Sender::new(self.principal()));
        self
    }

    /// The same end of the connection without what it was worth: nobody vouches for it any more. What
    /// is known of its process stays known.
    #[must_use]
    pub fn unvouched(&self) -> Self {
        let principal = Arc::new(watch::Sender::new(None));
        Self { credentials: None, principal, ..self.clone() }
    }

    /// Notes where the peer connects from, for logs.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<Arc<str>>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// A peer of the same transport without any authority, of which nothing is known but its
    /// connection and where it is counted.
    #[must_use]
    pub fn stripped(&self) -> Self {
        let (connection_id, meter) = (self.connection_id, self.meter.clone());
        Self { connection_id, meter, ..Self::new(self.transport) }
    }

    /// Counts in `meter` what of its messages is refused before it is known to be a call.
    #[must_use]
    pub fn counted_by(mut self, meter: Meter) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Counts a message of it that was answered with `error` before it was known to be a call.
    pub fn count_refusal(&self, error: &RpcError) {
        if let Some(meter) = &self.meter {
            let why = Rejection::of(error).unwrap_or(Rejection::Malformed);
            meter.refused(self.transport, why, error);
        }
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
        self.principal = Arc::new(watch::Sender::new(Some(principal)));
        self
    }

    /// Notes the trace that what this clone asks belongs to; where that is known changes from call to
    /// call.
    #[must_use]
    pub fn within(mut self, trace: Option<TraceContext>) -> Self {
        self.trace = trace;
        self
    }

    /// The trace that what it asks belongs to.
    #[must_use]
    pub const fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    /// The transport's name.
    #[must_use]
    pub const fn transport(&self) -> &'static str {
        self.transport
    }

    /// The number of its connection, as logs name it: that of a peer and its clones, of no other peer
    /// in this process.
    #[must_use]
    pub const fn connection_id(&self) -> u64 {
        self.connection_id
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
        self.principal.borrow().clone()
    }

    /// Resolves when it is known who it is: at once, or when somebody has logged in. Cancel safe.
    pub async fn known(&self) {
        let mut principal = self.principal.subscribe();
        // It cannot fail: the sender is here, in self.
        drop(principal.wait_for(Option::is_some).await);
    }

    /// Resolves when the credentials that it came or has logged in with are over; never where they
    /// have no bound. Cancel safe.
    pub async fn validity_over(&self) {
        self.validity_end().await;
    }

    /// Makes it `principal` for everything that its connection sends from now on; gives back whom
    /// that makes it, which inside of an agent is the agent.
    pub(crate) fn log_in(&self, principal: Principal) -> Principal {
        self.principal.send_replace(Some(principal.clone()));
        match self.whereabouts() {
            Whereabouts::Outside => principal,
            found => principal.found(found),
        }
    }

    /// Resolves when its connection is to end: the credentials that it came or has logged in with
    /// are over, or it has none when the time to log in is over. Cancel safe.
    pub(crate) async fn departs(&self, login: Option<Duration>) -> EndReason {
        if let Some(deadline) = login
            && tokio::time::timeout(deadline, self.known()).await.is_err()
        {
            return EndReason::Forbidden;
        }
        match self.validity_end().await {
            Over::Expired => EndReason::TokenExpired,
            Over::Revoked => EndReason::Forbidden,
        }
    }

    /// Resolves when the credentials that it came or has logged in with are over. Cancel safe.
    pub(crate) async fn validity_end(&self) -> Over {
        let mut principal = self.principal.subscribe();
        loop {
            let validity = principal.borrow_and_update().as_ref().map(|one| one.validity().clone());
            let validity = validity.unwrap_or_default();
            tokio::select! {
                over = validity.over() => return over,
                changed = principal.changed() => {
                    changed.expect("the sender is here, in self");
                }
            }
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("transport", &self.transport)
            .field("connection_id", &self.connection_id)
            .field("address", &self.address)
            .field("credentials", &self.credentials)
            .field("standing", &self.standing)
            .field("principal", &self.principal())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_vouched_for_no_more_keeps_its_place_and_its_process() {
        let peer = Peer::owner("http").with_address("127.0.0.1:7").with_socket(7, || true);
        let nobody = peer.with_uid(0).unvouched();
        assert_eq!((nobody.principal(), nobody.credentials()), (None, None));
        assert_eq!((nobody.transport(), nobody.address()), ("http", Some("127.0.0.1:7")));
        // It is looked for like that of any other peer whose socket was told.
        assert_eq!(nobody.whereabouts(), Whereabouts::Unknown);
        assert_eq!(Peer::new("http").unvouched().whereabouts(), Whereabouts::Outside);
    }

    #[test]
    fn a_login_is_for_all_clones_of_one_connection_and_for_no_other() {
        let first = Peer::owner("http");
        let (same, other) = (first.clone(), first.clone().over("ws"));
        first.log_in(Principal::new("ann", []));
        let name = |peer: &Peer| peer.principal().unwrap().name().to_owned();
        assert_eq!((name(&same).as_str(), name(&other).as_str()), ("ann", "local"));
        assert_eq!(other.transport(), "ws");
        assert_eq!(first.connection_id(), other.connection_id(), "it is the same connection");
        assert_ne!(first.connection_id(), Peer::new("http").connection_id());
    }
}
