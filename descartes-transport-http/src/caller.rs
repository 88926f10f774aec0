//! Who makes a request, as far as the transport can vouch for it.

use descartes_rpc::{
    error::{ErrorKind, RpcError},
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
    /// Nobody knows.
    Stranger(Stranger),
}

/// Why nobody vouches for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// The rule of the same user does not let it in.
    User(same_user::Stranger),
    /// A proxy stands between, so the socket's owner is not the caller.
    Forwarded,
    /// The application that mounts the service named no principal.
    Unnamed,
}

impl Stranger {
    pub(crate) fn error(self) -> RpcError {
        let (reason, message, hint) = match self {
            Self::User(stranger) => return stranger.error(),
            Self::Forwarded => (
                "forwarded",
                "the request came through a proxy, so its sender could not be told",
                "connect without a proxy",
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

impl From<Result<Peer, same_user::Stranger>> for Caller {
    fn from(judged: Result<Peer, same_user::Stranger>) -> Self {
        judged.map_or_else(|stranger| Self::Stranger(Stranger::User(stranger)), Self::Known)
    }
}
