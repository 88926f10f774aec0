//! PING and PONG.

use std::{io::ErrorKind, time::Duration};

use descartes_transport_zmq::zmtp::{Multipart, Received, SocketType, ZmtpLimits, ZmtpSocket};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::DuplexStream,
    time::{Instant, sleep, timeout},
};

use crate::raw::{Raw, accepted, frame};

const PING: &[u8] = b"\x04\x07\x04PING\0\0";

async fn dealer(minor: u8) -> (Raw, ZmtpSocket<DuplexStream>) {
    accepted((SocketType::Router, ZmtpLimits::default()), minor, "DEALER").await
}

#[tokio::test]
async fn a_ping_is_answered_at_once_with_its_context() {
    let (mut raw, mut socket) = dealer(1).await;
    let waits = tokio::spawn(async move { socket.next().await });
    for context in [&b""[..], b"c", b"sixteen bytes..."] {
        raw.send(&frame(4, &[b"\x04PING\0\0", context].concat())).await;
        let pong = frame(4, &[b"\x04PONG", context].concat());
        assert_eq!(raw.hear(pong.len()).await, pong);
    }
    drop(raw);
    assert!(waits.await.unwrap().is_none());
}

#[tokio::test]
async fn a_ping_inside_a_message_is_answered_before_its_end() {
    let (mut raw, mut socket) = dealer(1).await;
    let waits = tokio::spawn(async move { socket.next().await });
    raw.send(&[frame(1, b"a"), PING.to_vec()].concat()).await;
    assert_eq!(raw.hear(7).await, frame(4, b"\x04PONG"));
    raw.send(&frame(0, b"b")).await;
    let whole = Multipart::new(vec!["a".into(), "b".into()]).unwrap();
    assert_eq!(waits.await.unwrap().unwrap().unwrap(), Received::Message(whole));
}

#[tokio::test]
async fn a_ping_is_answered_also_while_messages_never_pause() {
    let (mut raw, mut socket) = dealer(1).await;
    raw.send(PING).await;
    for _ in 0..2000 {
        raw.send(&frame(0, b"message")).await;
        assert!(matches!(socket.next().await.unwrap().unwrap(), Received::Message(_)));
    }
    let heard = timeout(Duration::from_secs(60), raw.hear(7)).await.expect("the answer is there");
    assert_eq!(heard, frame(4, b"\x04PONG"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_then_gone() {
    let (mut raw, mut socket) = dealer(1).await;
    let began = Instant::now();
    let error = socket.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 40);
    assert_eq!(raw.hear(PING.len()).await, PING);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_anything_stays() {
    let (mut raw, mut socket) = dealer(1).await;
    let waits = tokio::spawn(async move { socket.next().await });
    // The last is the first byte of a frame that never comes.
    for sign in [frame(4, b"\x04PONG"), frame(4, b"\x07UNKNOWN"), vec![0]] {
        assert_eq!(raw.hear(PING.len()).await, PING);
        sleep(Duration::from_secs(19)).await;
        raw.send(&sign).await;
    }
    assert_eq!(raw.hear(PING.len()).await, PING);
    assert!(!waits.is_finished());
    drop(raw);
    assert!(waits.await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_of_zmtp_3_0_is_sent_no_ping_and_may_be_silent() {
    let (mut raw, mut socket) = dealer(0).await;
    let waited = timeout(Duration::from_secs(3600), socket.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    drop(socket);
    assert_eq!(raw.hear_out().await, b"");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_its_promise_to_be_heard_of_is_gone() {
    let (mut raw, mut socket) = dealer(1).await;
    let began = Instant::now();
    // In three seconds; then it speaks, and promises five.
    raw.send(b"\x04\x07\x04PING\0\x1e").await;
    let waits = tokio::spawn(async move { socket.next().await });
    sleep(Duration::from_secs(2)).await;
    raw.send(b"\x04\x07\x04PING\0\x32").await;
    let error = waits.await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 7);
    // A message keeps the promise, and makes no other.
    let (mut raw, mut socket) = dealer(1).await;
    raw.send(&[b"\x04\x07\x04PING\0\x1e".to_vec(), frame(0, b"here")].concat()).await;
    assert!(matches!(socket.next().await, Some(Ok(Received::Message(_)))));
    drop(raw);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_what_is_sent_bit_by_bit_is_alive() {
    let (mut raw, mut socket) = dealer(1).await;
    socket.feed(Multipart::single(vec![7; 1 << 20])).await.unwrap();
    let waits = tokio::spawn(async move { socket.next().await });
    for _ in 0..14 {
        sleep(Duration::from_secs(15)).await;
        assert!(!waits.is_finished());
        raw.hear(64 << 10).await;
    }
    let error = waits.await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "it has stopped taking");
}
