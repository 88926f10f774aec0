//! An exact `sock_diag` lookup of one TCP socket: a request and a reply of 72 bytes and a header.
//!
//! The layouts are those of `linux/netlink.h` and `linux/inet_diag.h`, which never change.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
    netlink::{self, SocketAddrNetlink},
};

use super::{PeerSocket, SocketOwner};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const IPPROTO_TCP: u8 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP_LISTEN: u8 = 10;
const ENOENT: i32 = 2;
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
const REPLY: usize = HEADER + 72;

/// The owner of the process that holds the peer's socket.
pub(super) fn owner_of(socket: &PeerSocket) -> io::Result<Option<SocketOwner>> {
    let kernel = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(netlink::SOCK_DIAG),
    )?;
    let to = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&kernel, &request(socket), SendFlags::empty(), &to)?;
    // The kernel has queued its reply before `sendto` returns: there is nothing to wait for.
    let mut reply = [0; 512];
    let (length, _) = rustix::net::recv(&kernel, &mut reply, RecvFlags::empty())?;
    read_reply(reply.get(..length).unwrap_or_default(), socket)
}

/// `nlmsghdr` and `inet_diag_req_v2` for the one socket.
fn request(socket: &PeerSocket) -> Vec<u8> {
    let mut out = Vec::with_capacity(REQUEST);
    out.extend_from_slice(&u32::try_from(REQUEST).unwrap_or_default().to_ne_bytes());
    out.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    out.extend_from_slice(&[0; 8]); // sequence number, port id
    let family = if socket.peer.is_ipv4() { AF_INET } else { AF_INET6 };
    out.extend_from_slice(&[family, IPPROTO_TCP, 0, 0]);
    out.extend_from_slice(&u32::MAX.to_ne_bytes()); // any state
    out.extend_from_slice(&socket.peer.port().to_be_bytes());
    out.extend_from_slice(&socket.server.port().to_be_bytes());
    out.extend_from_slice(&address_field(socket.peer.ip()));
    out.extend_from_slice(&address_field(socket.server.ip()));
    out.extend_from_slice(&0_u32.to_ne_bytes()); // any interface
    out.extend_from_slice(&[0xff; 8]); // no cookie
    debug_assert_eq!(out.len(), REQUEST, "the layout of inet_diag_req_v2");
    out
}

fn address_field(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut field = [0; 16];
            field[..4].copy_from_slice(&address.octets());
            field
        }
    }
}

/// Reads `nlmsghdr` and `inet_diag_msg`, or the error in their place.
fn read_reply(reply: &[u8], wanted: &PeerSocket) -> io::Result<Option<SocketOwner>> {
    let kind = u16::from_ne_bytes(bytes(reply, 4)?);
    if kind == NLMSG_ERROR {
        let errno = i32::from_ne_bytes(bytes(reply, HEADER)?);
        return match errno.wrapping_neg() {
            ENOENT => Ok(None),
            errno => Err(io::Error::from_raw_os_error(errno)),
        };
    }
    if kind != SOCK_DIAG_BY_FAMILY || reply.len() < REPLY {
        return Err(garbled());
    }
    let [family, state] = bytes(reply, HEADER)?;
    let found = PeerSocket::new(endpoint(reply, family, 4, 8)?, endpoint(reply, family, 6, 24)?);
    let uid = u32::from_ne_bytes(bytes(reply, HEADER + 64)?);
    let inode = u32::from_ne_bytes(bytes(reply, HEADER + 68)?);
    // The lookup falls back to a listener of that port; a closed socket has uid 0 and no inode.
    let held = inode != 0 && state != TCP_LISTEN && found == *wanted;
    Ok(held.then_some(SocketOwner { uid, number: Some(inode.into()) }))
}

/// One end of the connection: port and address stand at these offsets of `inet_diag_msg`.
fn endpoint(reply: &[u8], family: u8, port: usize, address: usize) -> io::Result<SocketAddr> {
    let port = u16::from_be_bytes(bytes(reply, HEADER + port)?);
    let address = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::from(bytes::<4>(reply, HEADER + address)?)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(bytes::<16>(reply, HEADER + address)?)),
        _ => return Err(garbled()),
    };
    Ok(SocketAddr::new(address, port))
}

fn bytes<const N: usize>(reply: &[u8], at: usize) -> io::Result<[u8; N]> {
    reply.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or_else(garbled)
}

fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a sock_diag reply that is none")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP_ESTABLISHED: u8 = 1;
    const TCP_TIME_WAIT: u8 = 6;

    fn socket() -> PeerSocket {
        PeerSocket::new("127.0.0.1:4000".parse().unwrap(), "127.0.0.1:8080".parse().unwrap())
    }

    fn reply(family: u8, state: u8, uid: u32, inode: u32) -> Vec<u8> {
        let asked = request(&socket());
        let mut out = asked[..HEADER].to_vec();
        out.extend_from_slice(&[family, state, 0, 0]);
        out.extend_from_slice(&asked[HEADER + 8..REQUEST]);
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&uid.to_ne_bytes());
        out.extend_from_slice(&inode.to_ne_bytes());
        out
    }

    #[test]
    fn a_held_socket_tells_its_owner() {
        let found = read_reply(&reply(AF_INET, TCP_ESTABLISHED, 1000, 77), &socket());
        assert_eq!(found.unwrap(), Some(SocketOwner { uid: 1000, number: Some(77) }));
    }

    #[test]
    fn a_socket_without_an_inode_and_a_listener_are_nobodys() {
        for (state, inode) in [(TCP_TIME_WAIT, 0), (TCP_ESTABLISHED, 0), (TCP_LISTEN, 77)] {
            let found = read_reply(&reply(AF_INET, state, 0, inode), &socket());
            assert_eq!(found.unwrap(), None, "state {state}, inode {inode}");
        }
    }

    #[test]
    fn another_connection_is_not_taken_for_this_one() {
        let other =
            PeerSocket::new("127.0.0.1:4001".parse().unwrap(), "127.0.0.1:8080".parse().unwrap());
        let found = read_reply(&reply(AF_INET, TCP_ESTABLISHED, 1000, 77), &other);
        assert_eq!(found.unwrap(), None);
    }

    #[test]
    fn a_mapped_address_in_the_reply_is_recognised() {
        let mut bytes = reply(AF_INET6, TCP_ESTABLISHED, 7, 77);
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        bytes[HEADER + 8..HEADER + 24].copy_from_slice(&mapped);
        bytes[HEADER + 24..HEADER + 40].copy_from_slice(&mapped);
        let found = read_reply(&bytes, &socket()).unwrap();
        assert_eq!(found.map(|owner| owner.uid), Some(7));
    }

    #[test]
    fn errors_and_rubbish_never_admit_anybody() {
        let error = |errno: i32| {
            let mut out = vec![0; 4];
            out.extend_from_slice(&NLMSG_ERROR.to_ne_bytes());
            out.extend_from_slice(&[0; 10]);
            out.extend_from_slice(&(-errno).to_ne_bytes());
            out
        };
        assert_eq!(read_reply(&error(ENOENT), &socket()).unwrap(), None);
        assert_eq!(read_reply(&error(13), &socket()).unwrap_err().raw_os_error(), Some(13));
        let whole = reply(AF_INET, TCP_ESTABLISHED, 1000, 77);
        for length in 0..whole.len() {
            assert!(read_reply(&whole[..length], &socket()).is_err(), "{length}");
        }
        assert!(read_reply(&reply(99, TCP_ESTABLISHED, 1000, 77), &socket()).is_err());
    }
}
