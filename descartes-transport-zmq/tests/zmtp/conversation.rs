//! Messages and subscriptions both ways.

use bytes::Bytes;
use descartes_transport_zmq::zmtp::{Multipart, Received, SocketType, ZmtpLimits, ZmtpSocket};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{DuplexStream, duplex};

use crate::raw::{accepted, frame};

async fn pair(
    server: SocketType,
    client: SocketType,
    capacity: usize,
) -> (ZmtpSocket<DuplexStream>, ZmtpSocket<DuplexStream>) {
    let (ours, theirs) = duplex(capacity);
    let limits = ZmtpLimits::default();
    let (accepted, connected) = tokio::join!(
        ZmtpSocket::accept(ours, server, limits),
        ZmtpSocket::connect(theirs, client, limits),
    );
    (accepted.unwrap(), connected.unwrap())
}

/// Messages of all sizes that matter.
fn messages() -> Vec<Multipart> {
    let sizes = [0, 1, 255, 256, 4096, 4097, 8191, 8192, 65_536, 5_000_000];
    let bodies = sizes.into_iter().zip(0_u8..).map(|(size, fill)| Bytes::from(vec![fill; size]));
    let mut messages: Vec<_> = bodies
        .clone()
        .map(|body| Multipart::new(vec![Bytes::from_static(b"id"), Bytes::new(), body]).unwrap())
        .chain(bodies.map(Multipart::single))
        .collect();
    let many = (0_u8..200).map(|i| Bytes::from(vec![i; usize::from(i)]));
    messages.push(Multipart::new(many.collect()).unwrap());
    messages
}

#[tokio::test]
async fn messages_go_both_ways_at_once_as_they_are() {
    let (mut router, mut dealer) = pair(SocketType::Router, SocketType::Dealer, 3000).await;
    let echo = tokio::spawn(async move {
        while let Some(received) = router.next().await {
            let Received::Message(message) = received.unwrap() else { panic!("a message") };
            router.send(message).await.unwrap();
        }
    });
    for message in messages() {
        dealer.send(message.clone()).await.unwrap();
        assert_eq!(dealer.next().await.unwrap().unwrap(), Received::Message(message));
    }
    drop(dealer);
    echo.await.unwrap();
}

#[tokio::test]
async fn what_was_given_before_the_end_arrives_before_the_end() {
    let (mut router, mut dealer) = pair(SocketType::Router, SocketType::Dealer, 500).await;
    let sender = tokio::spawn(async move {
        for message in messages() {
            dealer.feed(message).await.unwrap();
        }
        dealer.close().await.unwrap();
    });
    for message in messages() {
        assert_eq!(router.next().await.unwrap().unwrap(), Received::Message(message));
    }
    assert!(router.next().await.is_none());
    drop(router);
    sender.await.unwrap();
}

#[tokio::test]
async fn what_was_fed_and_not_flushed_goes_out_while_the_stream_waits() {
    let (mut router, mut dealer) = pair(SocketType::Router, SocketType::Req, 500).await;
    let asked = Multipart::new(vec![Bytes::new(), Bytes::from_static(b"?")]).unwrap();
    dealer.feed(asked.clone()).await.unwrap();
    assert!(dealer.unsent() > 0);
    let waits = tokio::spawn(async move { dealer.next().await });
    assert_eq!(router.next().await.unwrap().unwrap(), Received::Message(asked));
    drop(router);
    assert!(waits.await.unwrap().is_none());
}

#[tokio::test]
async fn subscriptions_of_both_versions_are_told() {
    let router = (SocketType::XPub, ZmtpLimits::default());
    for kind in [SocketType::Pub, SocketType::XPub] {
        for minor in [0, 1] {
            let (mut raw, mut socket) = accepted((kind, router.1), minor, "SUB").await;
            raw.send(&frame(0, b"\x01top")).await;
            raw.send(&frame(4, b"\x09SUBSCRIBE")).await;
            raw.send(&frame(4, b"\x06CANCELtop")).await;
            raw.send(&frame(0, b"\x00")).await;
            let several = [frame(1, b"\x01"), frame(0, b"")].concat();
            raw.send(&several).await;
            raw.send(&frame(0, b"")).await;
            let top = Bytes::from_static(b"top");
            let one = Bytes::from_static(b"\x01");
            for expected in [
                Received::Subscribe(top.clone()),
                Received::Subscribe(Bytes::new()),
                Received::Cancel(top),
                Received::Cancel(Bytes::new()),
                Received::Message(Multipart::new(vec![one, Bytes::new()]).unwrap()),
                Received::Message(Multipart::single("")),
            ] {
                assert_eq!(socket.next().await.unwrap().unwrap(), expected);
            }
        }
    }
}

#[tokio::test]
async fn a_router_takes_what_looks_like_a_subscription_for_a_message_or_for_nothing() {
    let (mut raw, mut socket) =
        accepted((SocketType::Router, ZmtpLimits::default()), 1, "DEALER").await;
    raw.send(&frame(4, b"\x09SUBSCRIBE")).await;
    raw.send(&frame(4, b"\x07UNKNOWNdata")).await;
    raw.send(&frame(0, b"\x01")).await;
    let message = Received::Message(Multipart::single(&b"\x01"[..]));
    assert_eq!(socket.next().await.unwrap().unwrap(), message);
    assert!(socket.subscribe(b"").is_err());
}

#[tokio::test]
async fn a_subscriber_subscribes_in_the_form_that_its_peer_knows() {
    let forms = [
        [frame(0, b"\x01top"), frame(0, b"\x00top")],
        [frame(4, b"\x09SUBSCRIBEtop"), frame(4, b"\x06CANCELtop")],
    ];
    for (minor, forms) in (0..).zip(forms) {
        let (mut raw, mut socket) =
            accepted((SocketType::Sub, ZmtpLimits::default()), minor, "XPUB").await;
        socket.subscribe(b"top").unwrap();
        socket.cancel(b"top").unwrap();
        socket.flush().await.unwrap();
        let expected = forms.concat();
        assert_eq!(raw.hear(expected.len()).await, expected);
    }
}
