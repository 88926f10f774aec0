//! Sockets that whoever started the daemon has opened for it (sd_listen_fds(3)).
//!
//! They are taken before anything else is opened. Each has a name, which says who serves it.

use std::fmt;
use std::net::TcpListener;
use std::os::fd::RawFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use super::failure::Failure;
use super::os::take;
use crate::config::Surroundings;

/// The first descriptor that is given (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// Sockets that may be given: a few for each name.
const MOST: usize = 16;
/// Who can be given a socket, and whether it is one of a path.
const NAMES: [(&str, bool); 6] = [
    ("http", false),
    ("ws", false),
    ("unix", true),
    ("zmq", false),
    ("pub", false),
    ("metrics", false),
];

/// The sockets that were given and are not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<Vec<(String, Socket)>>);

/// One of them.
#[derive(Debug)]
enum Socket {
    #[cfg_attr(
        not(any(feature = "http", feature = "zmq", feature = "metrics")),
        expect(dead_code, reason = "nobody of this build takes one")
    )]
    Tcp(Arc<TcpListener>),
    #[cfg_attr(not(feature = "unix"), expect(dead_code, reason = "nobody of this build takes one"))]
    Unix(Arc<UnixListener>),
}

/// What is wrong with a socket that was given.
#[derive(Debug)]
pub(crate) struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Given {
    /// Takes over what was given to this process; to be called before it opens anything itself, and
    /// once. Nobody inherits it from here.
    pub(crate) fn of(surroundings: &Surroundings) -> Result<Self, Failure> {
        let told = |name| surroundings.var(name);
        let own = std::process::id().to_string();
        if told("LISTEN_PID") != Some(own.as_str()) {
            return Ok(Self::default());
        }
        let count = told("LISTEN_FDS").unwrap_or_default();
        let count = count.parse::<usize>().ok().filter(|count| *count <= MOST);
        let count = count.ok_or_else(|| {
            refused(format!("LISTEN_FDS has to be a number of at most {MOST} descriptors"))
        })?;
        let names: Vec<&str> = told("LISTEN_FDNAMES").unwrap_or_default().split(':').collect();
        let mut taken: Vec<(String, Socket)> = Vec::new();
        for (fd, index) in (FIRST..).zip(0..count) {
            let name = names.get(index).copied().unwrap_or_default();
            let socket = socket(fd, name).map_err(|why| refused(why.to_string()))?;
            taken.push((name.to_owned(), socket));
        }
        Ok(Self(Mutex::new(taken)))
    }

    /// The TCP sockets of this name, in the order given; one for each protocol, say.
    #[cfg(any(feature = "http", feature = "zmq", feature = "metrics"))]
    pub(crate) fn tcp(&self, name: &str) -> Vec<Arc<TcpListener>> {
        let tcp = |socket| match socket {
            Socket::Tcp(listener) => Some(listener),
            Socket::Unix(_) => None,
        };
        self.take(name).into_iter().filter_map(tcp).collect()
    }

    /// The Unix sockets of this name, in the order given.
    #[cfg(feature = "unix")]
    pub(crate) fn unix(&self, name: &str) -> Vec<Arc<UnixListener>> {
        let unix = |socket| match socket {
            Socket::Unix(listener) => Some(listener),
            Socket::Tcp(_) => None,
        };
        self.take(name).into_iter().filter_map(unix).collect()
    }

    fn take(&self, name: &str) -> Vec<Socket> {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.extract_if(.., |(known, _)| known == name).map(|(_, socket)| socket).collect()
    }

    /// Fails when something is left that nobody of this build serves.
    pub(crate) fn used_up(&self) -> Result<(), Failure> {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match given.first() {
            None => Ok(()),
            Some((name, _)) => Err(refused(format!("this build does not serve `{name}`"))),
        }
    }
}

fn refused(why: String) -> Failure {
    Failure::Given { why }
}

/// The socket behind `fd`, which has to be one that `name` can be served on.
fn socket(fd: RawFd, name: &str) -> Result<Socket, Unusable> {
    let Some((_, is_unix)) = NAMES.iter().find(|(known, _)| *known == name) else {
        let names = NAMES.map(|(name, _)| name).join(", ");
        return Err(Unusable(format!(
            "descriptor {fd} is named `{name}`, which is none of {names} (FileDescriptorName=)"
        )));
    };
    let unusable = |what: &str| Unusable(format!("descriptor {fd} (`{name}`) {what}"));
    let taken = take(fd).map_err(|error| unusable(&format!("cannot be used: {error}")))?;
    let listens = socket_acceptconn(&taken).unwrap_or(false);
    if !listens || socket_type(&taken).ok() != Some(SocketType::STREAM) {
        return Err(unusable("is no stream socket that listens"));
    }
    let domain = socket_domain(&taken).map_err(|error| unusable(&error.to_string()))?;
    match (is_unix, domain) {
        (true, AddressFamily::UNIX) => Ok(Socket::Unix(Arc::new(taken.into()))),
        (false, AddressFamily::INET | AddressFamily::INET6) => {
            Ok(Socket::Tcp(Arc::new(taken.into())))
        }
        (true, _) => Err(unusable("is not a Unix socket")),
        (false, _) => Err(unusable("is not a TCP socket")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(env: &[(&str, &str)]) -> Result<Given, Failure> {
        Given::of(&Surroundings::with(env))
    }

    #[test]
    fn what_was_given_to_another_process_is_not_ours() {
        for env in [&[][..], &[("LISTEN_PID", "1"), ("LISTEN_FDS", "1")]] {
            assert!(of(env).unwrap().used_up().is_ok());
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        let own = std::process::id().to_string();
        for (count, names, why) in [
            ("", "http", "a number"),
            ("-1", "http", "a number"),
            ("1000", "http", "at most 16"),
            ("1", "", "is named ``"),
            ("1", "htpp", "none of http, ws, unix, zmq, pub, metrics"),
        ] {
            let env = [("LISTEN_PID", &*own), ("LISTEN_FDS", count), ("LISTEN_FDNAMES", names)];
            let refused = of(&env).unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
            assert_eq!(refused.code() as u8, 78);
        }
    }
}
