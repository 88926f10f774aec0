//! The known attacks on ZeroMQ: the daemon lives, others are served, memory stays where it was.

mod floods;
mod frames;
mod handshake;
mod subscriptions;

use std::io::{ErrorKind, Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::daemon::Daemon;
use crate::rig::zmtp::{Wire, Zmtp, greeting, ready};
use crate::rig::{Caller, measured, processes};

/// How much memory may be taken while they go on.
const SLACK: u64 = 64 << 20;

/// The daemon's memory, connections and threads before an attack.
struct Before {
    sockets: usize,
    threads: usize,
    resident: u64,
}

impl Before {
    fn of(daemon: &Daemon) -> Self {
        Others::of(daemon).are_served();
        let pid = daemon.number();
        processes::eventually("it comes to rest", || {
            let (sockets, threads) = (processes::sockets(pid), processes::threads(pid));
            thread::park_timeout(Duration::from_millis(20));
            sockets == processes::sockets(pid) && threads == processes::threads(pid)
        });
        Self {
            sockets: processes::sockets(pid),
            threads: processes::threads(pid),
            resident: processes::resident(pid),
        }
    }

    #[track_caller]
    fn check_memory(&self, daemon: &Daemon, what: &str) -> u64 {
        let grown = processes::resident(daemon.number()).saturating_sub(self.resident);
        assert!(grown < SLACK, "{what}: {grown} bytes more");
        grown
    }

    /// Memory as before, and no connection is left.
    #[track_caller]
    fn check(&self, daemon: &Daemon, what: &str) {
        let pid = daemon.number();
        processes::eventually("the connections are gone", || {
            processes::sockets(pid) <= self.sockets
        });
        let grown = self.check_memory(daemon, what);
        let threads = processes::threads(pid);
        measured(format_args!(
            "{what}: {grown} bytes more, {} of {} sockets, {threads} of {} threads",
            processes::sockets(pid),
            self.sockets,
            self.threads,
        ));
    }
}

/// Somebody else: who is connected, and who comes.
struct Others {
    dealer: Zmtp,
    place: String,
}

impl Others {
    fn of(daemon: &Daemon) -> Self {
        let dealer = Zmtp::connect(daemon.zmq(), "DEALER");
        Self { dealer, place: daemon.zmq().to_owned() }
    }

    #[track_caller]
    fn are_served(&mut self) {
        self.dealer.ok("system.health", json!({}));
        Zmtp::connect(&self.place, "REQ").ok("system.health", json!({}));
    }
}

/// A way in, with a type of socket that it lets in.
struct Door {
    place: String,
    socket_type: &'static str,
}

/// All of them: to call and to subscribe, by TCP and in the runtime directory.
fn doors(daemon: &Daemon) -> [Door; 4] {
    let door = |place: &str, socket_type| Door { place: place.to_owned(), socket_type };
    let in_runtime = |name| format!("ipc://{}", daemon.home.runtime().join(name).display());
    [
        door(daemon.zmq(), "DEALER"),
        door(daemon.publisher(), "SUB"),
        door(&in_runtime("zmq.sock"), "DEALER"),
        door(&in_runtime("pub.sock"), "SUB"),
    ]
}

impl Door {
    /// Greeting and READY of a peer that is let in.
    fn let_in(&self) -> Vec<u8> {
        [greeting(), ready(self.socket_type, b"")].concat()
    }

    /// A connection that has said `bytes`.
    fn begun(&self, bytes: &[u8]) -> Wire {
        let mut wire = Wire::connect(&self.place);
        // The daemon may cut it in the middle.
        drop(wire.write_all(bytes));
        wire
    }

    /// The daemon cuts the connection of who says `bytes`.
    #[track_caller]
    fn cuts(&self, bytes: &[u8], what: &str) {
        is_cut(self.begun(bytes), &format!("{what} at {}", self.place));
    }
}

/// Reads until the daemon cuts the connection.
#[track_caller]
fn is_cut(mut wire: Wire, what: &str) {
    let mut heard = [0; 4096];
    loop {
        match wire.read(&mut heard) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{what} is not cut: {error}"),
        }
    }
}

/// The head of a frame that announces `bytes`.
fn huge(flags: u8, bytes: u64) -> Vec<u8> {
    [&[flags | 2][..], &bytes.to_be_bytes()].concat()
}

/// What became of who writes without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poured {
    Cut,
    /// All of it was taken.
    Taken,
    /// Nothing more was taken for a while.
    Stuck,
}

/// Writes `piece` again and again until it is cut, or nothing is taken for a while, or `most` bytes
/// were; reads nothing.
#[track_caller]
fn pour(wire: &mut Wire, piece: &[u8], most: usize, stuck: Duration) -> Poured {
    wire.set_nonblocking();
    let (mut taken, mut full_since) = (0, None::<Instant>);
    while taken < most {
        match wire.write(&piece[taken % piece.len()..]) {
            Ok(bytes) => (taken, full_since) = (taken + bytes, None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if full_since.get_or_insert_with(Instant::now).elapsed() > stuck {
                    return Poured::Stuck;
                }
                thread::park_timeout(Duration::from_millis(5));
            }
            Err(error) => {
                let kind = error.kind();
                let cut = matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
                assert!(cut, "{error}");
                return Poured::Cut;
            }
        }
    }
    Poured::Taken
}
