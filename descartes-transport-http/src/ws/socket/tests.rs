use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

use super::*;

fn served() -> (DuplexStream, WsSocket<DuplexStream>) {
    let (raw, io) = duplex(64 * 1024);
    let (message, ping) = (1024, Duration::from_secs(20));
    let shutdown = CancellationToken::new();
    let terms = Terms { message, skip: message, ping, shutdown, peer: None, login: false };
    (raw, WsSocket::new(io, Side::Server, terms))
}

/// A frame as a client sends it, with a mask that changes nothing.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_also_while_messages_never_pause() {
    let (mut raw, mut socket) = served();
    for payload in [&b""[..], b"one", b"two"] {
        raw.write_all(&frame(9, payload)).await.unwrap();
        for _ in 0..100 {
            raw.write_all(&frame(1, b"{}")).await.unwrap();
            assert!(matches!(socket.next().await.unwrap().unwrap(), Arrival::Message(_)));
        }
        let mut pong = vec![0; 2 + payload.len()];
        let heard = timeout(Duration::from_secs(60), raw.read_exact(&mut pong)).await;
        heard.expect("the answer is there").unwrap();
        assert_eq!(pong, [&[0x8a, u8::try_from(payload.len()).unwrap()], payload].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_its_sender_left_is_read_although_no_answer_can_be_written() {
    let (mut raw, mut socket) = served();
    raw.write_all(&[frame(9, b"ping"), frame(1, b"1")].concat()).await.unwrap();
    assert!(matches!(socket.next().await.unwrap().unwrap(), Arrival::Message(_)));
    raw.write_all(&[frame(9, b"ping"), frame(1, b"2")].concat()).await.unwrap();
    drop(raw);
    assert!(matches!(socket.next().await.unwrap().unwrap(), Arrival::Message(_)));
    assert!(socket.next().await.is_none());
}
