use futures_util::StreamExt;
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
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
