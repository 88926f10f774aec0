//! Greeting and READY.

use std::time::Duration;

use descartes_transport_zmq::zmtp::{
    HandshakeError, ProtocolError, SocketType, ZmtpLimits, ZmtpSocket,
};
use tokio::{io::duplex, time::Instant};

use crate::raw::{Raw, accepting, frame, greeting, long_head, ready};

/// What the server says to a peer that sends this, and what it ends with.
async fn shaken(bytes: &[u8]) -> (Vec<u8>, HandshakeError) {
    let (mut raw, accepting) = accepting(SocketType::Router);
    raw.send(bytes).await;
    let error = accepting.await.unwrap().unwrap_err();
    (raw.hear_out().await, error)
}

#[tokio::test]
async fn a_peer_of_each_version_from_3_on_is_greeted_and_told_that_we_are_ready() {
    for (major, minor) in [(3, 0), (3, 1), (3, 7), (5, 0)] {
        let (mut raw, accepting) = accepting(SocketType::Router);
        assert_eq!(raw.hear(64).await, greeting(3, 1), "before it has sent anything");
        raw.send(&greeting(major, minor)).await;
        raw.send(&ready("DEALER")).await;
        let socket = accepting.await.unwrap().unwrap();
        assert_eq!(socket.peer_type(), SocketType::Dealer);
        let body = b"\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0";
        assert_eq!(raw.hear(2 + body.len()).await, frame(4, body));
    }
}

#[tokio::test]
async fn a_handshake_may_come_byte_by_byte() {
    let (mut raw, accepting) = accepting(SocketType::XPub);
    for byte in [greeting(3, 1), ready("SUB")].concat() {
        raw.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(accepting.await.unwrap().unwrap().peer_type(), SocketType::Sub);
}

#[tokio::test]
async fn who_does_not_speak_zmtp_3_with_null_is_refused_with_the_reason() {
    // The last is ZMTP 1.0: the identity, here without a name, comes first.
    for text in [&b"GET / HTTP/1.1\r\n"[..], b"\x01\0", b"\x05\0name"] {
        let (heard, error) = shaken(text).await;
        assert!(matches!(error, HandshakeError::NotZmtp), "{error:?}");
        assert_eq!(heard, greeting(3, 1), "and then the end");
    }
    // ZMTP 2.0 waits for our version before it goes on; ZMTP 1.0 in its place has 0.
    for major in [0, 1, 2] {
        let (heard, error) = shaken(&greeting(major, 0)[..11]).await;
        assert!(matches!(error, HandshakeError::Version(found) if found == major), "{error:?}");
        assert_eq!(heard, greeting(3, 1));
    }
    for name in ["PLAIN", "CURVE", "GSSAPI"] {
        let mut other = greeting(3, 1);
        other[12..32].fill(0);
        other[12..12 + name.len()].copy_from_slice(name.as_bytes());
        let (heard, error) = shaken(&other).await;
        let HandshakeError::Mechanism { peer, ours } = error else { panic!("{error:?}") };
        assert_eq!((peer.as_str(), ours), (name, "NULL"));
        // Before the mechanism there are no commands: our greeting says which one is spoken.
        assert_eq!(heard, greeting(3, 1));
    }
}

#[tokio::test]
async fn a_socket_that_does_not_fit_is_told_so() {
    for kind in ["SUB", "PUSH", "REP", "", "router"] {
        let (heard, error) = shaken(&[greeting(3, 1), ready(kind)].concat()).await;
        let HandshakeError::SocketType { ours, peer } = error else { panic!("{error:?}") };
        assert_eq!((ours, peer.as_str()), (SocketType::Router, kind));
        assert_eq!((&heard[64..65], &heard[66..72]), (&b"\x04"[..], &b"\x05ERROR"[..]));
    }
    let (heard, error) = shaken(&[greeting(3, 1), frame(4, b"\x05READY")].concat()).await;
    assert!(matches!(error, HandshakeError::Metadata(_)), "{error:?}");
    assert_eq!(&heard[66..72], b"\x05ERROR");
}

#[tokio::test]
async fn a_client_tells_what_the_server_said_and_checks_its_type() {
    for (said, expected) in [
        (frame(4, b"\x05ERROR\x07go_away"), "the peer refused the connection: \"go_away\""),
        (ready("PUB"), "a socket of type \"PUB\" does not fit DEALER"),
        (frame(0, b"hello"), "the peer sent something else than READY"),
        (frame(4, b"\x04PING\0\0"), "the peer sent something else than READY"),
    ] {
        let (ours, theirs) = duplex(1024);
        let mut raw = Raw(theirs);
        raw.send(&[greeting(3, 1), said].concat()).await;
        let limits = ZmtpLimits::default();
        let error = ZmtpSocket::connect(ours, SocketType::Dealer, limits).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        let body = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0";
        assert_eq!(raw.hear_out().await, [greeting(3, 1), frame(4, body)].concat());
    }
}

#[tokio::test]
async fn what_is_only_announced_before_ready_ends_the_handshake_at_once() {
    for length in [10 << 20, 256 << 30, 17 << 40, i64::MAX as u64] {
        let (_, error) = shaken(&[greeting(3, 1), long_head(0, length)].concat()).await;
        assert!(matches!(error, HandshakeError::NotReady), "{error:?}");
        let (_, error) = shaken(&[greeting(3, 1), long_head(4, length)].concat()).await;
        let HandshakeError::Protocol(error) = error else { panic!("{error:?}") };
        assert_eq!(error, ProtocolError::CommandTooLong(length));
    }
    let (_, error) = shaken(&[greeting(3, 1), vec![0x40]].concat()).await;
    let HandshakeError::Protocol(error) = error else { panic!("{error:?}") };
    assert_eq!(error, ProtocolError::ReservedFlags);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_too_slowly_is_left_at_the_deadline() {
    let whole = [greeting(3, 1), ready("REQ")].concat();
    for part in [0, 1, 63, 64, whole.len() - 1] {
        let (mut raw, accepting) = accepting(SocketType::Router);
        raw.send(&whole[..part]).await;
        let began = Instant::now();
        let error = accepting.await.unwrap().unwrap_err();
        let deadline = Duration::from_secs(2);
        assert!(matches!(error, HandshakeError::TimedOut(after) if after == deadline), "{error}");
        assert!(began.elapsed() >= deadline, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn who_leaves_during_the_handshake_is_told_apart_from_who_is_slow() {
    let (mut raw, accepting) = accepting(SocketType::Router);
    raw.send(&greeting(3, 1)).await;
    drop(raw);
    let error = accepting.await.unwrap().unwrap_err();
    assert!(matches!(error, HandshakeError::Closed | HandshakeError::Io(_)), "{error:?}");
}
