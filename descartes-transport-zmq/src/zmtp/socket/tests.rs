use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::Instant,
};

use super::super::unfinished::Share;
use super::*;
use crate::limits::{UNFINISHED_FREE, UNFINISHED_GRACE};

const LONG: usize = 1024 * 1024;

async fn pair() -> (ZmtpSocket<DuplexStream>, ZmtpSocket<DuplexStream>) {
    let (ours, theirs) = duplex(2 * LONG);
    let limits = ZmtpLimits::default();
    let (router, dealer) = tokio::join!(
        ZmtpSocket::accept(ours, SocketType::Router, limits),
        ZmtpSocket::connect(theirs, SocketType::Dealer, limits),
    );
    (router.expect("a handshake"), dealer.expect("a handshake"))
}

/// The head of a frame of so many bytes.
fn head(bytes: usize) -> Vec<u8> {
    let mut head = vec![2];
    head.extend_from_slice(&(bytes as u64).to_be_bytes());
    head
}

#[tokio::test(start_paused = true)]
async fn a_long_message_that_stops_in_the_middle_ends_the_connection_and_gives_its_room_back() {
    let all = Unfinished::new(LONG);
    let (mut router, mut dealer) = pair().await;
    router.share(&all);
    dealer.io.write_all(&head(LONG)).await.expect("there is room");
    dealer.io.write_all(&vec![0; LONG / 2]).await.expect("there is room");
    let began = Instant::now();
    let ended = router.next().await.expect("an end").expect_err("it is no message");
    assert_eq!(ended.kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() < UNFINISHED_GRACE * 2, "{:?}", began.elapsed());
    drop(router);
    assert!(Share::of(all).hold(UNFINISHED_FREE + LONG));
}

#[tokio::test(start_paused = true)]
async fn a_long_message_that_comes_in_time_is_taken_however_many_pieces_it_has() {
    let (mut router, mut dealer) = pair().await;
    router.share(&Unfinished::new(LONG));
    let sent = async {
        dealer.io.write_all(&head(LONG)).await.expect("there is room");
        for piece in vec![7; LONG].chunks(LONG / 4) {
            tokio::time::sleep(UNFINISHED_GRACE / 3).await;
            dealer.io.write_all(piece).await.expect("there is room");
        }
    };
    let (received, ()) = tokio::join!(router.next(), sent);
    let whole = Multipart::single(vec![7; LONG]);
    assert_eq!(received.expect("a message").expect("it is whole"), Received::Message(whole));
}

/// Both ends of a handshake with PLAIN, of which the server knows `known`.
async fn plain(shown: &str, known: &'static str) -> (Option<&'static str>, bool) {
    let (ours, theirs) = tokio::io::duplex(4096);
    let limits = ZmtpLimits::default();
    let check = |secret: Secret| async move {
        (secret == Secret::new(known)).then_some("ann").ok_or(HandshakeError::Unauthenticated)
    };
    let shown = Secret::new(shown);
    let (server, client) = tokio::join!(
        ZmtpSocket::accept_plain(ours, SocketType::Router, limits, check),
        ZmtpSocket::connect_plain(theirs, SocketType::Dealer, limits, &shown),
    );
    match (server, client) {
        (Ok((mut server, who)), Ok(mut client)) => {
            client.send(Multipart::single("ping")).await.unwrap();
            let received = server.next().await.unwrap().unwrap();
            assert_eq!(received, Received::Message(Multipart::single("ping")));
            (Some(who), true)
        }
        (Err(HandshakeError::Unauthenticated), Err(HandshakeError::Refused(status))) => {
            assert_eq!(status, "400");
            (None, false)
        }
        (server, client) => panic!("{:?} {:?}", server.err(), client.err()),
    }
}

#[tokio::test]
async fn where_credentials_are_not_needed_they_are_taken_from_those_who_show_some() {
    let (limits, known) = (ZmtpLimits::default(), Secret::new("a key"));
    let accept = |io| {
        let known = known.clone();
        ZmtpSocket::accept_any(io, SocketType::Router, limits, move |shown: Secret| async move {
            (shown == known).then_some("ann").ok_or(HandshakeError::Unauthenticated)
        })
    };
    let (ours, theirs) = tokio::io::duplex(4096);
    let client = ZmtpSocket::connect(theirs, SocketType::Dealer, limits);
    let (server, client) = tokio::join!(accept(ours), client);
    assert_eq!((server.unwrap().1, client.is_ok()), (None, true));

    for (shown, expected) in [("a key", Some("ann")), ("a kez", None)] {
        let ((ours, theirs), shown) = (tokio::io::duplex(4096), Secret::new(shown));
        let client = ZmtpSocket::connect_plain(theirs, SocketType::Dealer, limits, &shown);
        match (tokio::join!(accept(ours), client), expected) {
            ((Ok((_, found)), Ok(_)), Some(_)) => assert_eq!(found, expected),
            ((Err(error), Err(told)), None) => {
                assert!(matches!(error, HandshakeError::Unauthenticated), "{error}");
                assert!(matches!(&told, HandshakeError::Refused(status) if status == "400"));
            }
            ((server, client), _) => panic!("{:?} {:?}", server.err(), client.err()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_our_mechanism_is_told_one_and_who_wants_another_is_told_ours() {
    let limits = ZmtpLimits::default();
    for (wanted, is_ours) in [("NULL", true), ("CURVE", false)] {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let check = |_: Secret| async { Err::<(), _>(HandshakeError::Unauthenticated) };
        let server = ZmtpSocket::accept_any(ours, SocketType::Router, limits, check);
        let peer = async {
            let mut greeting = [0; 64];
            theirs.read_exact(&mut greeting).await.expect("the server does not wait for ever");
            assert_eq!(&greeting[10..17], b"\x03\x01NULL\0");
            greeting[12..12 + wanted.len()].copy_from_slice(wanted.as_bytes());
            theirs.write_all(&greeting).await.expect("there is room");
            // Who speaks another mechanism is cut, and so may not be heard.
            drop(theirs.write_all(b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER").await);
            theirs
        };
        let (server, _theirs) = tokio::join!(server, peer);
        assert_eq!(server.is_ok(), is_ours, "{wanted}: {:?}", server.err());
    }
}

#[tokio::test]
async fn who_may_come_again_is_not_told_that_its_credentials_are_wrong() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (limits, shown) = (ZmtpLimits::default(), Secret::new("a key"));
    let check = |_: Secret| async { Err::<(), _>(HandshakeError::Later) };
    let (server, client) = tokio::join!(
        ZmtpSocket::accept_plain(ours, SocketType::Router, limits, check),
        ZmtpSocket::connect_plain(theirs, SocketType::Dealer, limits, &shown),
    );
    assert!(matches!(server, Err(HandshakeError::Later)));
    let lost = client.expect_err("it is not let in");
    assert!(!matches!(lost, HandshakeError::Refused(_)), "libzmq would give up: {lost:?}");
}

#[tokio::test]
async fn who_has_credentials_is_let_in_and_who_has_others_is_told_no_more_than_that() {
    assert_eq!(plain("a key", "a key").await, (Some("ann"), true));
    assert_eq!(plain("", "a key").await, (None, false));
    assert_eq!(plain("a kez", "a key").await, (None, false));
}
