//! A ZMTP connection from its first byte: any cut of the bytes gives what RFC 37 says of them as a
//! whole, the answers are what they must be, and no more is allocated than has come.

mod reference;
mod wire;

use allocation_counter::measure;
use descartes_transport_zmq::zmtp::{
    HandshakeError, ProtocolError, Received, SocketType, ZmtpLimits, ZmtpSocket,
};
use futures_util::StreamExt;
use std::time::Duration;

use crate::input::{Cuts, Input};
use wire::Wire;

pub(crate) const WORDS: &[&str] = &[
    "\u{4}\u{7}\u{4}PING\0\0",
    "\u{4}\u{5}\u{4}PONG",
    "\u{4}\u{b}\u{9}SUBSCRIBEa",
    "\u{4}\u{8}\u{6}CANCELa",
    "\u{4}\u{7}\u{5}ERROR\0",
    "\u{1}\0\0\u{2}hi",
    "\u{0}\u{2}\u{1}a",
    "\u{2}\0\0\0\0\0\0\0\u{1}a",
    "\u{4}\u{1a}\u{5}READY\u{b}Socket-Type\0\0\0\u{4}XSUB",
    "\u{8}Identity\0\0\0\u{1}a",
];

/// More than two of the longest messages that are skipped.
const MOST: usize = 60_000;
/// Bytes and frames of a message, bytes of a command, bytes that are skipped: so few that short
/// inputs reach beyond.
const BOUNDS: [[usize; 4]; 3] = [[10, 3, 40, 60], [200, 20, 100, 1000], [9000, 100, 2048, 20_000]];
const KINDS: [(SocketType, &str); 4] = [
    (SocketType::Router, "DEALER"),
    (SocketType::XPub, "SUB"),
    (SocketType::Rep, "REQ"),
    (SocketType::Sub, "PUB"),
];

/// Why there was no connection: the error without what is only told to people.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    Closed,
    NotZmtp,
    Version(u8),
    Mechanism,
    NotReady,
    Metadata,
    SocketType,
    Refused,
    Protocol(ProtocolError),
}

/// All that can be seen of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// What the peer is.
    shaken: Result<SocketType, Refusal>,
    heard: Vec<Received>,
    /// What it ended with, unless the peer left.
    end: Option<ProtocolError>,
    /// Everything that was written, but for PONGs.
    written: Vec<u8>,
    /// The context of the last PONG, when the peer left in peace.
    pong: Option<Vec<u8>>,
}

/// Byte 0 and 1 are the cuts, byte 2 the bounds and the kind of socket, byte 3 how much of the
/// handshake is given, the rest is received.
pub fn zmtp(data: &[u8]) {
    let mut input = Input::new(data);
    let (seed, width, plan) = (input.byte(), input.byte(), usize::from(input.byte()));
    let bounds = BOUNDS[plan % BOUNDS.len()];
    let kind = KINDS[plan / BOUNDS.len() % KINDS.len()];
    let given = input.byte();
    let mut received = handshake(given, kind.1);
    if received.is_empty() {
        received.extend_from_slice(input.rest());
    } else {
        received.extend(input.expanded(MOST));
    }
    let expected = reference::seen(&received, bounds, kind.0);
    let pieces = seen(&received, bounds, kind.0, Cuts::new(seed, usize::from(width) + 1));
    assert_eq!(pieces, expected, "in pieces");
    let whole = seen(&received, bounds, kind.0, Cuts::new(0, usize::MAX));
    assert_eq!(whole, expected, "at once");
}

/// Nothing, a greeting, or a greeting and READY, of ZMTP 3.0 or 3.1.
fn handshake(given: u8, peer: &str) -> Vec<u8> {
    if given & 1 == 0 {
        return Vec::new();
    }
    let mut bytes = [&b"\xff12345678\x7f\x03"[..], &[given >> 2 & 1], b"NULL", &[0; 48]].concat();
    if given & 2 != 0 {
        let metadata = [&b"\x0bSocket-Type\0\0\0"[..], &[peer.len() as u8], peer.as_bytes()];
        let body = [b"\x05READY", &metadata.concat()[..]].concat();
        bytes.extend_from_slice(&[4, body.len() as u8]);
        bytes.extend(body);
    }
    bytes
}

/// What our socket makes of it.
fn seen(received: &[u8], bounds: [usize; 4], kind: SocketType, cuts: Cuts) -> Seen {
    let mut limits = ZmtpLimits::default();
    [limits.message_bytes, limits.message_frames, limits.command_bytes, limits.skip_bytes] = bounds;
    limits.ping = Duration::from_secs(3600);
    let mut wire = Wire::new(received, cuts);
    let mut outcome = None;
    let used = measure(|| outcome = Some(wire::run(talk(&mut wire, kind, limits))));
    // What came, what was told of it, and a read buffer; nothing that was only announced.
    let most = (256 << 10) + 64 * received.len() as u64;
    assert!(used.bytes_max <= most, "{} bytes at once of {}", used.bytes_max, received.len());
    let (shaken, heard, end) = outcome.expect("measured to its end");
    let (written, pongs) = reference::without_pongs(wire.written());
    let pong = if end.is_none() { pongs.last().cloned() } else { None };
    Seen { shaken, heard, end, written, pong }
}

type Outcome = (Result<SocketType, Refusal>, Vec<Received>, Option<ProtocolError>);

/// A connection until its end.
async fn talk(wire: &mut Wire<'_>, kind: SocketType, limits: ZmtpLimits) -> Outcome {
    let mut socket = match ZmtpSocket::accept(wire, kind, limits).await {
        Ok(socket) => socket,
        Err(error) => return (Err(refusal(error)), Vec::new(), None),
    };
    let (peer, mut heard) = (Ok(socket.peer_type()), Vec::new());
    while let Some(next) = socket.next().await {
        match next {
            Ok(received) => heard.push(received),
            Err(error) => {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
                let cause: &ProtocolError = cause.expect("the stream itself never fails");
                return (peer, heard, Some(cause.clone()));
            }
        }
    }
    (peer, heard, None)
}

fn refusal(error: HandshakeError) -> Refusal {
    match error {
        HandshakeError::Closed => Refusal::Closed,
        HandshakeError::NotZmtp => Refusal::NotZmtp,
        HandshakeError::Version(major) => Refusal::Version(major),
        HandshakeError::Mechanism { .. } => Refusal::Mechanism,
        HandshakeError::NotReady => Refusal::NotReady,
        HandshakeError::Metadata(_) => Refusal::Metadata,
        HandshakeError::SocketType { .. } => Refusal::SocketType,
        HandshakeError::Refused(_) => Refusal::Refused,
        HandshakeError::Protocol(error) => Refusal::Protocol(error),
        error => panic!("{error}"),
    }
}
