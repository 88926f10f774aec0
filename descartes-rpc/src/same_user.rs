//! Whose process is at the other end of a loopback connection (feature `same-user`).
//!
//! A port on 127.0.0.1 is open to every user of the machine. The kernel knows who owns the
//! peer's socket; so a person's own programs need no token and everybody else's are refused.
//! Every transport with a TCP port asks here, because none may use another.

mod netlink;
mod proc_net;
mod rule;

use std::{fmt, io, net::SocketAddr};

pub use rule::{SameUser, Stranger};

/// A connected pair of addresses, seen from the peer: its socket is the one that is looked up.
///
/// IPv4-mapped addresses are held as IPv4, so that both ends of one connection agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSocket {
    peer: SocketAddr,
    server: SocketAddr,
}

impl PeerSocket {
    /// The socket of `peer` that is connected to `server`, which is the accepting side.
    #[must_use]
    pub fn new(peer: SocketAddr, server: SocketAddr) -> Self {
        Self { peer: canonical(peer), server: canonical(server) }
    }

    /// Whether the peer is on this machine's loopback interface: elsewhere a uid means nothing.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.peer.ip().is_loopback()
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Tells the owner of a socket on this machine.
///
/// Called once for each connection, from the connection's task; an implementation may take some
/// microseconds but must not wait for another process.
pub trait UidLookup: Send + Sync + fmt::Debug + 'static {
    /// The uid that owns the peer's socket, or nothing when there is no such socket (any more).
    ///
    /// # Errors
    ///
    /// The kernel would not tell. The caller treats that as "not found".
    fn uid_of(&self, socket: &PeerSocket) -> io::Result<Option<u32>>;

    /// The same with the number of the peer's socket, by which it is found out whether an agent
    /// holds it. The default knows none, and nobody is taken for an agent then.
    ///
    /// # Errors
    ///
    /// Those of [`uid_of`](Self::uid_of).
    fn owner_of(&self, socket: &PeerSocket) -> io::Result<Option<SocketOwner>> {
        Ok(self.uid_of(socket)?.map(|uid| SocketOwner { uid, number: None }))
    }
}

/// Whose a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOwner {
    /// The user.
    pub uid: u32,
    /// The number that the system gave it (its inode); never given out again while it is held.
    pub number: Option<u64>,
}

/// Asks the kernel: an exact `sock_diag` lookup, or `/proc/net/tcp` where that is refused.
///
/// A socket that no process holds any more (closed, `TIME_WAIT`) is reported by the kernel with
/// uid 0; it is recognised by its missing inode and counts as not found.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelLookup;

impl UidLookup for KernelLookup {
    fn uid_of(&self, socket: &PeerSocket) -> io::Result<Option<u32>> {
        Ok(self.owner_of(socket)?.map(|owner| owner.uid))
    }

    fn owner_of(&self, socket: &PeerSocket) -> io::Result<Option<SocketOwner>> {
        netlink::owner_of(socket).or_else(|refused| {
            tracing::debug!(%refused, "sock_diag is refused, reading /proc/net instead");
            proc_net::owner_of(socket)
        })
    }
}

/// The rule itself: a peer of the user `owner` is let in by a daemon of the user `own` if they are
/// the same, or if it is root.
#[must_use]
pub const fn is_admitted(owner: u32, own: u32) -> bool {
    owner == own || owner == 0
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair(listen: &str) -> (TcpStream, PeerSocket) {
        let listener = TcpListener::bind(listen).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        (client, PeerSocket::new(peer, accepted.local_addr().unwrap()))
    }

    #[test]
    fn the_owner_of_a_living_socket_is_found_by_either_way() {
        let own = rustix::process::geteuid().as_raw();
        let (client, socket) = pair("127.0.0.1:0");
        assert!(socket.is_loopback());
        assert_eq!(KernelLookup.uid_of(&socket).unwrap(), Some(own));
        let number = Some(rustix::fs::fstat(&client).unwrap().st_ino);
        let expected = Some(SocketOwner { uid: own, number });
        assert_eq!(KernelLookup.owner_of(&socket).unwrap(), expected);
        assert_eq!(proc_net::owner_of(&socket).unwrap(), expected);
    }

    #[test]
    fn a_socket_that_is_gone_is_nobodys_and_not_roots() {
        let (client, socket) = pair("127.0.0.1:0");
        drop(client);
        assert_eq!(KernelLookup.uid_of(&socket).unwrap(), None);
        assert_eq!(proc_net::owner_of(&socket).unwrap(), None);
    }

    #[test]
    fn a_listener_on_the_peers_port_is_not_the_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = PeerSocket::new(address, "127.0.0.1:1".parse().unwrap());
        assert_eq!(KernelLookup.uid_of(&socket).unwrap(), None);
        assert_eq!(proc_net::owner_of(&socket).unwrap(), None);
    }

    #[test]
    fn only_the_same_user_and_root_are_admitted() {
        for (owner, own, admitted) in [
            (1000, 1000, true),
            (0, 1000, true),
            (1001, 1000, false),
            (1000, 0, false),
            (0, 0, true),
        ] {
            assert_eq!(is_admitted(owner, own), admitted, "{owner} at {own}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:7".parse().unwrap();
        let plain: SocketAddr = "127.0.0.1:7".parse().unwrap();
        assert_eq!(PeerSocket::new(mapped, mapped), PeerSocket::new(plain, plain));
        assert!(PeerSocket::new(mapped, mapped).is_loopback());
        assert!(!PeerSocket::new("10.0.0.1:7".parse().unwrap(), plain).is_loopback());
    }
}
