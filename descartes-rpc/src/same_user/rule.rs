//! The rule of the same user, decided here for every transport.

use std::{net::SocketAddr, sync::Arc};

use super::{PeerSocket, UidLookup, is_admitted};
use crate::{
    error::{ErrorKind, RpcError},
    peer::Peer,
};

/// The number of no socket: a file system has no inode of this number.
const NO_SOCKET: u64 = 0;

/// Why nobody vouches for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stranger {
    /// The peer is another user's process.
    OtherUser,
    /// The kernel knows no owner of the peer's socket, or the peer is on another machine.
    Unknown,
    /// Loopback says nothing here (a container), so credentials are needed.
    LoopbackNotTrusted,
}

impl Stranger {
    /// What the peer is told.
    #[must_use]
    pub fn error(self) -> RpcError {
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

/// Who is let in without credentials, decided once for each connection.
///
/// Who is let in is the owner, for a service that knows no users; one that has agents finds out
/// whether the peer is one of them, by what is handed over here.
#[derive(Clone, Debug)]
pub struct SameUser {
    transport: &'static str,
    own_uid: u32,
    trust_loopback: bool,
    lookup: Arc<dyn UidLookup>,
}

impl SameUser {
    /// The rule for peers of `transport` at a daemon of the user `own_uid`.
    ///
    /// Without `trust_loopback` no TCP peer is let in: in a container loopback proves nothing.
    #[must_use]
    pub fn new(
        transport: &'static str,
        own_uid: u32,
        trust_loopback: bool,
        lookup: Arc<dyn UidLookup>,
    ) -> Self {
        Self { transport, own_uid, trust_loopback, lookup }
    }

    /// Who is at the other end of a TCP connection that `server` accepted.
    ///
    /// # Errors
    ///
    /// Why nobody vouches for it.
    pub fn judge(&self, peer: SocketAddr, server: SocketAddr) -> Result<Peer, Stranger> {
        let socket = PeerSocket::new(peer, server);
        if !socket.is_loopback() {
            return Err(Stranger::Unknown);
        }
        if !self.trust_loopback {
            return Err(Stranger::LoopbackNotTrusted);
        }
        let owner = self.lookup.owner_of(&socket).unwrap_or_else(|error| {
            tracing::debug!(%peer, %error, "the owner of a connection could not be looked up");
            None
        });
        let owner = owner.ok_or(Stranger::Unknown)?;
        let found = self.admit(owner.uid)?.with_address(peer.to_string());
        let Some(number) = owner.number else { return Ok(found) };
        let lookup = Arc::clone(&self.lookup);
        let held = move || matches!(lookup.owner_of(&socket), Ok(again) if again == Some(owner));
        Ok(found.with_socket(number, held))
    }

    /// The other end of a TCP connection as one that nobody vouches for, and who may have
    /// credentials. Where it is a process of an agent is found out all the same.
    #[must_use]
    pub fn unknown(&self, peer: SocketAddr, server: SocketAddr) -> Peer {
        let socket = PeerSocket::new(peer, server);
        let unknown = Peer::new(self.transport).with_address(peer.to_string());
        if !socket.is_loopback() {
            return unknown;
        }
        let owner = match self.lookup.owner_of(&socket) {
            Ok(Some(owner)) => owner,
            // It was closed already: whose it was, nobody will find out.
            Ok(None) => return unknown.with_socket(NO_SOCKET, || false),
            Err(_) => return unknown,
        };
        let Some(number) = owner.number else { return unknown };
        let lookup = Arc::clone(&self.lookup);
        let held = move || matches!(lookup.owner_of(&socket), Ok(again) if again == Some(owner));
        unknown.with_socket(number, held)
    }

    /// Who is at the other end of a Unix socket, by the credentials that the kernel tells of it.
    ///
    /// # Errors
    ///
    /// Why nobody vouches for it.
    pub fn judge_local(&self, uid: u32, pid: Option<u32>) -> Result<Peer, Stranger> {
        let peer = self.admit(uid)?;
        Ok(pid.into_iter().fold(peer, Peer::with_pid))
    }

    fn admit(&self, uid: u32) -> Result<Peer, Stranger> {
        if is_admitted(uid, self.own_uid) {
            return Ok(Peer::owner(self.transport).with_uid(uid));
        }
        tracing::debug!(transport = self.transport, uid, "refused a connection of another user");
        Err(Stranger::OtherUser)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use descartes_core::runner::Whereabouts;

    use super::*;

    #[derive(Debug)]
    struct Says(Result<Option<u32>, io::ErrorKind>);

    impl UidLookup for Says {
        fn uid_of(&self, _: &PeerSocket) -> io::Result<Option<u32>> {
            self.0.map_err(io::Error::from)
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
            let rule = SameUser::new("test", 1000, trust, Arc::new(Says(says)));
            let judged = rule.judge(peer.parse().unwrap(), "127.0.0.1:8080".parse().unwrap());
            let judged = judged.map(|peer| peer.credentials().unwrap().uid);
            assert_eq!(judged, expected, "{says:?} for {peer}");
        }
    }

    #[test]
    fn a_stranger_of_this_machine_whose_socket_is_gone_may_have_been_anybody() {
        let server = "127.0.0.1:8080".parse().unwrap();
        let denied = Err(io::ErrorKind::PermissionDenied);
        for (says, peer, expected) in [
            (Ok(None), "127.0.0.1:4000", Whereabouts::Unknown),
            (denied, "127.0.0.1:4000", Whereabouts::Outside),
            (Ok(None), "192.0.2.1:4000", Whereabouts::Outside),
        ] {
            let rule = SameUser::new("test", 1000, true, Arc::new(Says(says)));
            let found = rule.unknown(peer.parse().unwrap(), server);
            assert_eq!(
                (found.whereabouts(), found.principal()),
                (expected, None),
                "{says:?} {peer}"
            );
        }
    }

    #[test]
    fn a_process_of_the_same_user_or_root_is_known_by_its_credentials() {
        let rule = SameUser::new("test", 1000, false, Arc::new(Says(Ok(None))));
        for uid in [1000, 0] {
            let found = rule.judge_local(uid, Some(7)).unwrap().credentials().unwrap();
            assert_eq!((found.uid, found.pid), (uid, Some(7)));
        }
        assert_eq!(rule.judge_local(1001, Some(7)).unwrap_err(), Stranger::OtherUser);
    }
}
