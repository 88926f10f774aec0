//! Peers that want us to come to harm.

use std::{io::ErrorKind, time::Duration};

use descartes_transport_zmq::zmtp::{
    Multipart, ProtocolError, Received, SocketType, ZmtpLimits, ZmtpSocket,
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream};

use crate::raw::{Raw, accepted, frame, long_head};

async fn router() -> (Raw, ZmtpSocket<DuplexStream>) {
    accepted((SocketType::Router, ZmtpLimits::default()), 1, "DEALER").await
}

/// What the socket ends with, and what it told before.
async fn ended(socket: &mut ZmtpSocket<DuplexStream>) -> (Vec<Received>, ProtocolError) {
    let mut told = Vec::new();
    loop {
        match socket.next().await.expect("an error comes before the end") {
            Ok(received) => told.push(received),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData);
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
                let cause: &ProtocolError = cause.expect("a breach of the protocol");
                return (told, cause.clone());
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_announces_terabytes_ends_it_before_they_come() {
    for length in [17 << 20, 256 << 30, 17 << 40, i64::MAX as u64] {
        for (flags, expected) in [
            (0, ProtocolError::Endless),
            (1, ProtocolError::Endless),
            (4, ProtocolError::CommandTooLong(length)),
        ] {
            let (mut raw, mut socket) = router().await;
            raw.send(&long_head(flags, length)).await;
            assert_eq!(ended(&mut socket).await, (vec![], expected));
        }
    }
    let (mut raw, mut socket) = router().await;
    raw.send(&long_head(0, 1 << 63)).await;
    assert_eq!(ended(&mut socket).await, (vec![], ProtocolError::Length));
}

#[tokio::test]
async fn a_message_over_the_bound_is_told_once_and_the_next_is_taken() {
    let (mut raw, mut socket) = router().await;
    let sender = tokio::spawn(async move {
        raw.send(&long_head(1, 11 << 20)).await;
        raw.send(&vec![0; 11 << 20]).await;
        raw.send(&frame(0, b"its end")).await;
        raw.send(&frame(1, b"").repeat(5000)).await;
        raw.send(&frame(0, b"its end")).await;
        raw.send(&frame(0, b"good")).await;
        raw
    });
    let good = Received::Message(Multipart::single("good"));
    for expected in [Received::Oversize, Received::Oversize, good] {
        assert_eq!(socket.next().await.unwrap().unwrap(), expected);
    }
    sender.await.unwrap();
}

#[tokio::test]
async fn an_endless_message_has_an_end() {
    for body in [&b""[..], &[0; 200]] {
        let mut limits = ZmtpLimits::default();
        limits.skip_bytes = 1 << 20;
        let (raw, mut socket) = accepted((SocketType::Router, limits), 1, "DEALER").await;
        let endless = frame(1, body).repeat(1000);
        let sender = tokio::spawn(async move {
            let mut raw = raw;
            // Until the socket is gone.
            while raw.0.write_all(&endless).await.is_ok() {}
        });
        assert_eq!(ended(&mut socket).await, (vec![Received::Oversize], ProtocolError::Endless));
        drop(socket);
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn frames_that_no_zmtp_has_end_it() {
    for (bytes, expected) in [
        (frame(8, b""), ProtocolError::ReservedFlags),
        (frame(0xFF, b""), ProtocolError::ReservedFlags),
        (frame(5, b"\x04PING\0\0"), ProtocolError::CommandWithMore),
        (frame(4, b""), ProtocolError::Command),
        (frame(4, b"\x04PING\0"), ProtocolError::Command),
        (frame(4, b"\x05ERROR\x05sorry"), ProtocolError::Reported("sorry".to_owned())),
    ] {
        let (mut raw, mut socket) = router().await;
        raw.send(&[frame(0, b"good"), bytes].concat()).await;
        let good = Received::Message(Multipart::single("good"));
        assert_eq!(ended(&mut socket).await, (vec![good], expected));
    }
}

#[tokio::test]
async fn a_flood_of_pings_that_nobody_hears_the_answers_of_keeps_one_answer() {
    let (mut raw, mut socket) = router().await;
    let flood: Vec<u8> = (0_u16..4000)
        .flat_map(|i| frame(4, &[&b"\x04PING\0\0"[..], &i.to_be_bytes()].concat()))
        .collect();
    for _ in 0..100 {
        // The stream has no room for more, or the socket takes it in turn.
        tokio::select! {
            biased;
            received = socket.next() => panic!("{received:?}"),
            () = raw.send(&flood) => {}
        }
    }
    // All is taken, and what waits is at most a write buffer and the last answer.
    for _ in 0..1000 {
        assert!(socket.next().now_or_never().is_none());
    }
    assert!(socket.unsent() <= 64 << 10, "{} bytes wait", socket.unsent());
    // Whoever hears at last is told of the last.
    let flushed = tokio::spawn(async move { socket.flush().await.map(|()| socket) });
    let last = frame(4, &[&b"\x04PONG"[..], &3999_u16.to_be_bytes()].concat());
    let mut heard = Vec::new();
    while !heard.ends_with(&last) {
        heard.extend(raw.hear(last.len()).await);
    }
    flushed.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_flood_of_commands_leaves_others_their_turn() {
    let (mut raw, mut socket) = router().await;
    raw.send(&frame(4, b"\x01X").repeat(8000)).await;
    let mut turns = 0;
    while socket.next().now_or_never().is_none() && turns < 40 {
        turns += 1;
    }
    assert_eq!(turns, 40, "8000 commands are not one turn, and nothing is told of them");
    raw.send(&frame(0, b"after")).await;
    let after = Received::Message(Multipart::single("after"));
    assert_eq!(socket.next().await.unwrap().unwrap(), after);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_at_the_end_is_left_in_bounded_time() {
    let (raw, mut socket) = router().await;
    socket.feed(Multipart::single(vec![0; 1 << 20])).await.unwrap();
    let error = socket.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let (raw_open, mut socket) = router().await;
    let began = tokio::time::Instant::now();
    socket.close().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop((raw, raw_open));
}
