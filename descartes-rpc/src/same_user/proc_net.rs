//! The same question to `/proc/net/tcp` and `tcp6`, for kernels that refuse `sock_diag`.

use std::fs::File;
use std::{
    io::{self, BufRead, BufReader},
    net::{IpAddr, SocketAddr},
};

use super::{PeerSocket, SocketOwner};

const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
const LISTEN: &str = "0A";

/// The owner of the process that holds the peer's socket.
///
/// Reads every socket of the network namespace: a millisecond where there are thousands.
pub(super) fn owner_of(socket: &PeerSocket) -> io::Result<Option<SocketOwner>> {
    for table in TABLES {
        let file = match File::open(table) {
            Ok(file) => file,
            // A machine without IPv6 has no second table.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table == TABLES[1] => continue,
            Err(error) => return Err(error),
        };
        if let Some(owner) = search(BufReader::new(file), socket)? {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

fn search(table: impl BufRead, socket: &PeerSocket) -> io::Result<Option<SocketOwner>> {
    for line in table.lines().skip(1) {
        if let Some(owner) = owner(&line?, socket) {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

/// The owner, if this line is the wanted socket and a process holds it (it has an inode).
fn owner(line: &str, wanted: &PeerSocket) -> Option<SocketOwner> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let peer = endpoint(fields.next()?)?;
    let server = endpoint(fields.next()?)?;
    let state = fields.next()?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode: u64 = fields.nth(1)?.parse().ok()?;
    let held = inode != 0 && state != LISTEN && PeerSocket::new(peer, server) == *wanted;
    held.then_some(SocketOwner { uid, number: Some(inode) })
}

/// `0100007F:1F90`: words of the address in the machine's byte order, port as a number.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..(at + 1) * 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address: IpAddr = match address.len() {
        8 => word(0)?.into(),
        32 => {
            let mut octets = [0; 16];
            for (at, slot) in octets.chunks_exact_mut(4).enumerate() {
                slot.copy_from_slice(&word(at)?);
            }
            octets.into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address of this table")
    }

    fn find(line: &str, peer: &str, server: &str) -> Option<u32> {
        let socket = PeerSocket::new(address(peer), address(server));
        let found = search(format!("{HEADER}\n{line}\n").as_bytes(), &socket);
        let found = found.expect("memory does not fail")?;
        assert_eq!(found.number, Some(4711));
        Some(found.uid)
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn both_tables_are_understood() {
        let line = "   1: 0100007F:0FA0 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        assert_eq!(find(line, "127.0.0.1:4000", "127.0.0.1:8080"), Some(1000));
        assert_eq!(find(line, "127.0.0.1:4001", "127.0.0.1:8080"), None);
        assert_eq!(find(line, "127.0.0.1:8080", "127.0.0.1:4000"), None);
        let line = "   1: 00000000000000000000000001000000:0FA0 00000000000000000000000001000000:1F90 01 00000000:00000000 00:00000000 00000000  7        0 4711 1 0";
        assert_eq!(find(line, "[::1]:4000", "[::1]:8080"), Some(7));
        let line = "   1: 0000000000000000FFFF00000100007F:0FA0 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000  8        0 4711 1 0";
        assert_eq!(find(line, "127.0.0.1:4000", "127.0.0.1:8080"), Some(8));
    }

    #[test]
    fn a_socket_that_nobody_holds_is_nobodys() {
        let wait = "   1: 0100007F:0FA0 0100007F:1F90 06 00000000:00000000 03:00000AF2 00000000     0        0 0 3 0";
        assert_eq!(find(wait, "127.0.0.1:4000", "127.0.0.1:8080"), None);
        let listen = "   1: 0100007F:0FA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 47 1 0";
        assert_eq!(find(listen, "127.0.0.1:4000", "0.0.0.0:0"), None);
    }

    #[test]
    fn rubbish_is_skipped() {
        for line in ["", "x", "1: z:1 y:2 01 a b c d e f", "1: 0100007F 0100007F 01"] {
            assert_eq!(find(line, "127.0.0.1:4000", "127.0.0.1:8080"), None, "{line}");
        }
    }
}
