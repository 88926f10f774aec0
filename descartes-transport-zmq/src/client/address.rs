//! Where a daemon listens, as text says it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where a daemon listens: `tcp://host:port` or `ipc:///path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host by name or number, and a port. A name is resolved with each connection.
    Tcp { host: String, port: u16 },
    /// A Unix socket.
    Ipc(PathBuf),
}

/// Why a text is not an address to connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins with neither `tcp://` nor `ipc://`.
    #[error("{0:?} is not an address: it begins with tcp:// or ipc://")]
    Scheme(String),
    /// It has no host that can be connected to. An IPv6 address stands in brackets.
    #[error("{0:?} has no host: tcp://host:port, an IPv6 address in brackets")]
    Host(String),
    /// It has no port from 1 to 65535.
    #[error("{0:?} has no port from 1 to 65535")]
    Port(String),
    /// Its path is not absolute, or too long for a Unix socket.
    #[error("{0:?} has no absolute path of at most 107 bytes")]
    Path(String),
}

/// What fits into the address of a Unix socket (unix(7), `sun_path`, with its final zero).
const PATH_BYTES: usize = 107;
/// The longest name of a host (RFC 1035, section 2.3.4).
const HOST_BYTES: usize = 253;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(place) = text.strip_prefix("tcp://") {
            return tcp(text, place);
        }
        let path = text.strip_prefix("ipc://").ok_or_else(|| AddressError::Scheme(text.into()))?;
        let fits = Path::new(path).is_absolute() && path.len() <= PATH_BYTES;
        let is_path = fits && !path.ends_with('/') && !path.contains('\0');
        is_path.then(|| Self::Ipc(path.into())).ok_or_else(|| AddressError::Path(text.into()))
    }
}

fn tcp(text: &str, place: &str) -> Result<Address, AddressError> {
    let (host, port) = place.rsplit_once(':').ok_or_else(|| AddressError::Port(text.into()))?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(number) if number.parse::<std::net::Ipv6Addr>().is_ok() => Some(number),
        None if is_host(host) => Some(host),
        _ => None,
    };
    let host = host.ok_or_else(|| AddressError::Host(text.into()))?.to_owned();
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.then(|| port.parse().ok()).flatten().filter(|port| *port != 0);
    let port = port.ok_or_else(|| AddressError::Port(text.into()))?;
    Ok(Address::Tcp { host, port })
}

/// A name, or an IPv4 address; `*` and the names of interfaces are for those who bind.
fn is_host(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !host.is_empty() && host.len() <= HOST_BYTES && host.bytes().all(fits)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

impl From<AddressError> for io::Error {
    fn from(error: AddressError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back_as_they_were() {
        let good = [
            "tcp://127.0.0.1:5555",
            "tcp://localhost:1",
            "tcp://build-7.example.org:65535",
            "tcp://[::1]:5555",
            "ipc:///run/user/1000/descartes/zmq.sock",
        ];
        for text in good {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_connected_to_is_refused_with_the_part_that_is_wrong() {
        use AddressError as E;
        type Fault = fn(String) -> AddressError;
        let bad: [(&str, Fault); 16] = [
            ("", E::Scheme),
            ("localhost:5555", E::Scheme),
            ("udp://localhost:5555", E::Scheme),
            ("inproc://a", E::Scheme),
            ("tcp://*:5555", E::Host),
            ("tcp://:5555", E::Host),
            ("tcp://::1:5555", E::Host),
            ("tcp://[127.0.0.1]:5555", E::Host),
            ("tcp://eth0;host:5555", E::Host),
            ("tcp://localhost", E::Port),
            ("tcp://localhost:0", E::Port),
            ("tcp://localhost:+5", E::Port),
            ("tcp://localhost:65536", E::Port),
            ("ipc://run/zmq.sock", E::Path),
            ("ipc://@abstract", E::Path),
            ("ipc:///run/", E::Path),
        ];
        for (text, fault) in bad {
            assert_eq!(text.parse::<Address>(), Err(fault(text.into())), "{text}");
        }
        let long = format!("ipc:///{}", "a".repeat(107));
        assert_eq!(long.parse::<Address>(), Err(E::Path(long.clone())));
    }
}
