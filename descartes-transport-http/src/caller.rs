//! Who makes a request, as far as the transport can vouch for it.

use std::{net::SocketAddr, sync::Arc};

use descartes_rpc::{
    error::{ErrorKind, RpcError},
    peer::Peer,
    same_user::{PeerSocket, UidLookup, is_admitted},
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
    OtherUser,
    /// The kernel knows no owner of the peer's socket, or the peer is on another machine.
    Unknown,
    /// Loopback says nothing here (a container), so credentials are needed.
    LoopbackNotTrusted,
    /// A proxy stands between, so the socket's owner is not the caller.
    Forwarded,
    /// The application that mounts the service named no principal.
    Unnamed,
}

impl Stranger {
    pub(crate) fn error(self) -> RpcError {
        let (reason, message, hint) = match self {
            Self::OtherUser => {
                ("other_user", "this daemon belongs to another user", "run a daemon of your own")
            }
            Self::Unknown => (
                "unknown_user",
                "the user behind this connection could not be told",
                "connect from the same machine as the user that runs the daemon",
            ),
            Self::LoopbackNotTrusted => (
                "loopback_not_trusted",
                "loopback connections are not trusted in a container",
                "use the Unix socket, or set [auth] trust_loopback = true",
            ),
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

/// How connections of the daemon's own port get their caller.
#[derive(Clone, Debug)]
pub(crate) struct SameUser {
    pub(crate) trust_loopback: bool,
    pub(crate) own_uid: u32,
    pub(crate) lookup: Arc<dyn UidLookup>,
}

impl SameUser {
    /// Decides once for a connection.
    pub(crate) fn judge(&self, peer: SocketAddr, server: SocketAddr) -> Caller {
        let socket = PeerSocket::new(peer, server);
        if !socket.is_loopback() {
            return Caller::Stranger(Stranger::Unknown);
        }
        if !self.trust_loopback {
            return Caller::Stranger(Stranger::LoopbackNotTrusted);
        }
        match self.lookup.uid_of(&socket) {
            Ok(Some(uid)) if is_admitted(uid, self.own_uid) => {
                // Who is admitted is the owner; a service need not know whose process it is in.
                Caller::Known(Peer::owner(TRANSPORT).with_address(peer.to_string()).with_uid(uid))
            }
            Ok(Some(uid)) => {
                tracing::debug!(%peer, uid, "refused a connection of another user");
                Caller::Stranger(Stranger::OtherUser)
            }
            Ok(None) => Caller::Stranger(Stranger::Unknown),
            Err(error) => {
                tracing::debug!(%peer, %error, "the owner of a connection could not be looked up");
                Caller::Stranger(Stranger::Unknown)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Says(Result<Option<u32>, io::ErrorKind>);

    impl UidLookup for Says {
        fn uid_of(&self, _: &PeerSocket) -> io::Result<Option<u32>> {
            self.0.map_err(io::Error::from)
        }
    }

    fn judge(trust_loopback: bool, says: Says, peer: &str) -> Result<u32, Stranger> {
        let rule = SameUser { trust_loopback, own_uid: 1000, lookup: Arc::new(says) };
        match rule.judge(peer.parse().unwrap(), "127.0.0.1:8080".parse().unwrap()) {
            Caller::Known(peer) => Ok(peer.credentials().unwrap().uid),
            Caller::Vouched(peer) => panic!("nobody vouched for {peer:?}"),
            Caller::Stranger(stranger) => Err(stranger),
        }
    }

    #[test]
    fn only_the_same_user_on_a_trusted_loopback_is_known() {
        const HERE: &str = "127.0.0.1:4000";
        let denied = io::ErrorKind::PermissionDenied;
        for (trust, says, peer, expected) in [
            (true, Ok(Some(1000)), HERE, Ok(1000)),
            (true, Ok(Some(0)), HERE, Ok(0)),
            (true, Ok(Some(1000)), "[::ffff:127.0.0.1]:4000", Ok(1000)),
            (true, Ok(Some(1001)), HERE, Err(Stranger::OtherUser)),
            (true, Ok(None), HERE, Err(Stranger::Unknown)),
            (true, Err(denied), HERE, Err(Stranger::Unknown)),
            (true, Ok(Some(1000)), "192.0.2.1:4000", Err(Stranger::Unknown)),
            (false, Ok(Some(1000)), HERE, Err(Stranger::LoopbackNotTrusted)),
        ] {
            assert_eq!(judge(trust, Says(says), peer), expected, "{says:?} for {peer}");
        }
    }
}
