//! Who may come in.

use std::{io, net::SocketAddr, sync::Arc};

use descartes_rpc::{
    error::{ErrorKind, RpcError},
    peer::Peer,
    same_user::{PeerSocket, UidLookup, is_admitted},
};
use tokio::net::UnixStream;

use super::{TRANSPORT, ZmqConfig};

/// Why nobody vouches for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    OtherUser,
    /// The kernel knows no owner of the peer's socket, or the peer is on another machine.
    Unknown,
    /// Loopback says nothing here (a container), so credentials are needed.
    LoopbackNotTrusted,
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
        };
        RpcError::new(ErrorKind::Unauthenticated, message).reason(reason).hint(hint)
    }
}

/// The rule of the same user, decided once for a connection.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    trust_loopback: bool,
    own_uid: u32,
    lookup: Arc<dyn UidLookup>,
}

impl Rule {
    pub(super) fn new(config: &ZmqConfig) -> Self {
        Self {
            trust_loopback: config.trust_loopback,
            own_uid: config.own_uid,
            lookup: Arc::clone(&config.uid_lookup),
        }
    }

    /// Who is at the other end of a TCP connection.
    pub(super) fn judge(&self, peer: SocketAddr, server: SocketAddr) -> Result<Peer, Stranger> {
        let socket = PeerSocket::new(peer, server);
        if !socket.is_loopback() {
            return Err(Stranger::Unknown);
        }
        if !self.trust_loopback {
            return Err(Stranger::LoopbackNotTrusted);
        }
        let owner = self.lookup.uid_of(&socket).unwrap_or_else(|error| {
            tracing::debug!(%peer, %error, "the owner of a connection could not be looked up");
            None
        });
        self.admit(owner.ok_or(Stranger::Unknown)?)
            .map(|found| found.with_address(peer.to_string()))
    }

    /// Who is at the other end of a Unix socket, by the kernel's word.
    pub(super) fn judge_local(&self, stream: &UnixStream) -> Result<Peer, Stranger> {
        let found = stream.peer_cred().map_err(|error: io::Error| {
            tracing::debug!(%error, "the user of a connection could not be told");
            Stranger::Unknown
        })?;
        let pid = found.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        let peer = self.admit(found.uid())?;
        Ok(pid.into_iter().fold(peer, Peer::with_pid))
    }

    fn admit(&self, uid: u32) -> Result<Peer, Stranger> {
        if is_admitted(uid, self.own_uid) {
            // Who is admitted is the owner; a service need not know whose process it is in.
            Ok(Peer::owner(TRANSPORT).with_uid(uid))
        } else {
            tracing::debug!(uid, "refused a connection of another user");
            Err(Stranger::OtherUser)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Says(Result<Option<u32>, io::ErrorKind>);

    impl UidLookup for Says {
        fn uid_of(&self, _: &PeerSocket) -> io::Result<Option<u32>> {
            self.0.map_err(io::Error::from)
        }
    }

    fn rule(trust_loopback: bool, says: Says) -> Rule {
        Rule { trust_loopback, own_uid: 1000, lookup: Arc::new(says) }
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
            let rule = rule(trust, Says(says));
            let judged = rule.judge(peer.parse().unwrap(), "127.0.0.1:5555".parse().unwrap());
            let judged = judged.map(|peer| peer.credentials().unwrap().uid);
            assert_eq!(judged, expected, "{says:?} for {peer}");
        }
    }

    #[tokio::test]
    async fn the_kernel_knows_this_very_process() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let own = rustix::process::geteuid().as_raw();
        let mut rule = rule(true, Says(Ok(None)));
        rule.own_uid = own;
        let found = rule.judge_local(&ours).unwrap().credentials().unwrap();
        assert_eq!((found.uid, found.pid), (own, Some(std::process::id())));
        rule.own_uid = own + 1;
        assert_eq!(rule.judge_local(&ours).is_err(), own != 0);
    }
}
