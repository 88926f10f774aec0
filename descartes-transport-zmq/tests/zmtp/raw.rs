//! A peer that sends bytes.

use descartes_transport_zmq::zmtp::{HandshakeError, SocketType, ZmtpLimits, ZmtpSocket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
};

/// What READY of these types is, as a frame.
pub(crate) fn ready(kind: &str) -> Vec<u8> {
    let length = u8::try_from(kind.len()).unwrap();
    let body = [&b"\x05READY\x0bSocket-Type\0\0\0"[..], &[length], kind.as_bytes()].concat();
    frame(4, &body)
}

/// A short frame.
pub(crate) fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    [&[flags, u8::try_from(body.len()).unwrap()], body].concat()
}

/// The head of a frame that announces `length` bytes.
pub(crate) fn long_head(flags: u8, length: u64) -> Vec<u8> {
    [&[flags | 2][..], &length.to_be_bytes()].concat()
}

/// A greeting of this version, NULL.
pub(crate) fn greeting(major: u8, minor: u8) -> Vec<u8> {
    let mut greeting = vec![0; 64];
    (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xFF, 0x7F, major, minor);
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

pub(crate) type Accepting = JoinHandle<Result<ZmtpSocket<DuplexStream>, HandshakeError>>;

/// A server of this kind that is being shaken hands with, and the bytes to do it by.
pub(crate) fn accepting(kind: SocketType) -> (Raw, Accepting) {
    accepting_with(kind, ZmtpLimits::default())
}

pub(crate) fn accepting_with(kind: SocketType, limits: ZmtpLimits) -> (Raw, Accepting) {
    let (ours, theirs) = duplex(1 << 16);
    (Raw(theirs), tokio::spawn(ZmtpSocket::accept(ours, kind, limits)))
}

/// A server of this kind behind a good handshake with a peer of this version and type.
pub(crate) async fn accepted(
    (kind, limits): (SocketType, ZmtpLimits),
    minor: u8,
    peer: &str,
) -> (Raw, ZmtpSocket<DuplexStream>) {
    let (mut raw, accepting) = accepting_with(kind, limits);
    raw.send(&[greeting(3, minor), ready(peer)].concat()).await;
    let socket = accepting.await.unwrap().unwrap();
    raw.hear(64).await;
    let head = raw.hear(2).await;
    raw.hear(usize::from(head[1])).await;
    (raw, socket)
}

/// The peer's end of the stream.
pub(crate) struct Raw(pub(crate) DuplexStream);

impl Raw {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next bytes.
    pub(crate) async fn hear(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// Everything until the end.
    pub(crate) async fn hear_out(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).await.unwrap();
        bytes
    }
}
