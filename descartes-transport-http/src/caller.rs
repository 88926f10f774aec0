//! Who makes a request, as far as the transport can vouch for it.

use descartes_rpc::{
    error::{ErrorKind, RpcError},
    meter::Meter,
    peer::Peer,
    same_user,
};

/// The name of this transport in peers, logs and metrics.
pub(crate) const TRANSPORT: &str = "http";

/// The caller of a request.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// An application that mounts the service says who it is; it guards its own hosts.
    Vouched(Peer),
    /// The peer is the same user, by the kernel's word.
    Known(Peer),
    /// Nobody knows; the peer has no authority but what its credentials give it.
    Stranger(Stranger, Peer),
}

impl Caller {
    /// The other end, whoever it is.
    pub(crate) const fn peer(&self) -> &Peer {
        match self {
            Self::Vouched(peer) | Self::Known(peer) | Self::Stranger(_, peer) => peer,
        }
    }

    /// The other end without what its connection is worth: for a request of which that does not
    /// hold, as one that came through a proxy. An agent that says so of itself is an agent still.
    pub(crate) fn stranger(&self) -> Peer {
        match self {
            Self::Stranger(_, peer) => peer.clone(),
            Self::Vouched(peer) | Self::Known(peer) => peer.unvouched(),
        }
    }

    /// The same, whose messages are counted in `meter`.
    pub(crate) fn counted_by(self, meter: &Meter) -> Self {
        let counted = |peer: Peer| peer.counted_by(meter.clone());
        match self {
            Self::Vouched(peer) => Self::Vouched(counted(peer)),
            Self::Known(peer) => Self::Known(counted(peer)),
            Self::Stranger(stranger, peer) => Self::Stranger(stranger, counted(peer)),
        }
    }
}

/// Why nobody vouches for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// The rule of the same user does not let it in.
    User(same_user::Stranger),
    /// Everybody needs credentials.
    Credentials,
    /// A proxy stands between, so the socket's owner is not the caller.
    Forwarded,
    /// The application that mounts the service named no principal.
    Unnamed,
}

impl Stranger {
    pub(crate) fn error(self) -> RpcError {
        let (reason, message, hint) = match self {
            Self::User(stranger) => return stranger.error(),
            Self::Credentials => (
                "no_credentials",
                "credentials are needed",
                "send Authorization: Bearer with a key or token",
            ),
            Self::Forwarded => (
                "forwarded",
                "the request came through a proxy, so its sender could not be told",
                "connect without a proxy, or send a key or token",
            ),
            Self::Unnamed => (
                "unauthenticated",
                "credentials are needed",
                "the application that mounts this service must insert a Principal",
            ),
        };
        RpcError::new(ErrorKind::Unauthenticated, message).reason(reason).hint(hint)
    }
}
