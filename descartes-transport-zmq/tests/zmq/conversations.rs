//! What goes over one connection, in which envelopes.

use std::collections::BTreeSet;

use bytes::Bytes;
use descartes_transport_zmq::zmtp::{Multipart, SocketType};
use futures_util::SinkExt;
use serde_json::json;

use crate::{
    fake::PATIENCE,
    node::Node,
    server::{Server, call},
};

#[tokio::test]
async fn req_dealer_and_router_are_answered_in_their_envelopes() {
    let server = Server::start().await;
    for (kind, envelope) in [
        (SocketType::Req, &[&b""[..]][..]),
        (SocketType::Dealer, &[]),
        (SocketType::Dealer, &[b""]),
        (SocketType::Dealer, &[b"somebody", b"\0else", b""]),
        (SocketType::Router, &[b""]),
    ] {
        let mut talk = server.connect(kind).await;
        for id in 0..3 {
            let body = call(id, "echo", "{\"a\":1}");
            talk.send(&[envelope, &[&body[..]]].concat()).await;
            let frames = talk.frames().await.unwrap();
            let (answer, around) = frames.split_last().unwrap();
            assert_eq!(around, envelope, "{kind}");
            let answer: serde_json::Value = serde_json::from_slice(answer).unwrap();
            assert_eq!(answer, json!({"jsonrpc": "2.0", "id": id, "result": {"a": 1}}));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_probe_of_a_new_connection_is_no_request() {
    let server = Server::start().await;
    for kind in [SocketType::Req, SocketType::Dealer, SocketType::Router] {
        let mut talk = server.connect(kind).await;
        talk.send(&[b""]).await;
        assert_eq!(talk.ask(1, "echo", "[1]").await, json!([1]), "{kind}");
        // Later it is a message that says nothing, and is answered.
        talk.send(&[b""]).await;
        assert_eq!(talk.json().await["error"]["code"], -32700, "{kind}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_same_id_in_two_envelopes_is_two_calls() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    talk.send(&[b"a", b"", &call(1, "held", "{}")]).await;
    drop(server.stage.begun.acquire().await.unwrap());
    talk.send(&[b"b", b"", &call(1, "echo", "{}")]).await;
    assert_eq!(talk.frames().await.unwrap()[0], "b");
    server.stage.release.add_permits(1);
    assert_eq!(talk.frames().await.unwrap()[0], "a");
    server.stop().await;
}

#[tokio::test]
async fn rubbish_is_answered_and_the_connection_goes_on() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    for (frames, code) in [
        (&[&b"rubbish"[..]][..], -32700),
        (&[b""], -32700),
        (&[b"\xff\xfe"], -32700),
        (&[b"{"], -32700),
        (&[b"[]"], -32600),
        (&[b"", b"{}", b"{}"], -32600),
        (&[b"a", b"{}"], -32600),
        (&[&[b'x'; 4096], b"", b"{}"], -32600),
    ] {
        talk.send(frames).await;
        let answer = talk.json().await;
        assert_eq!(answer["error"]["code"], code, "{frames:?}: {answer}");
        assert_eq!(answer["id"], json!(null));
    }
    assert_eq!(talk.ask(1, "echo", "[1]").await, json!([1]));
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_belongs_to_its_envelope_and_language() {
    // The stream that is played has no end of its own.
    let server = Server::start_with(|config| config.drain = PATIENCE / 600).await;
    let mut talk = server.dealer().await;
    let subscribe = call(1, "event.subscribe", "{}");
    talk.send(&[b"a", b"", &Node::pack(&subscribe).unwrap()]).await;
    for at in 0..4 {
        let frames = talk.frames().await.unwrap();
        assert_eq!((&frames[0][..], &frames[1][..]), (&b"a"[..], &b""[..]));
        let said: serde_json::Value = serde_json::from_slice(&Node::unpack(&frames[2])).unwrap();
        assert_eq!(said.get("method").is_some(), at > 0, "{said}");
    }
    assert_eq!(talk.ask(2, "echo", "{}").await, json!({}));
    server.stop().await;
}

#[tokio::test]
async fn idle_conversations_give_way_and_those_at_work_do_not() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    // Sequential askers behind a proxy: never more than one is at work.
    for asker in 0..100_u32 {
        talk.send(&[&asker.to_be_bytes(), b"", &call(asker, "echo", "{}")]).await;
        assert_eq!(talk.frames().await.unwrap()[0], asker.to_be_bytes()[..]);
    }
    for asker in 1000..1016_u32 {
        talk.send(&[&asker.to_be_bytes(), b"", &call(asker, "held", "{}")]).await;
    }
    drop(server.stage.begun.acquire_many(16).await.unwrap());
    talk.send(&[b"late", b"", &call(7, "echo", "{}")]).await;
    let frames = talk.frames().await.unwrap();
    assert_eq!(frames[0], "late");
    let refused: serde_json::Value = serde_json::from_slice(&frames[2]).unwrap();
    assert_eq!(refused["error"]["data"]["limit"], "limits.conversations_per_connection");
    assert_eq!(refused["id"], 7);
    server.stage.release.add_permits(16);
    for _ in 0..16 {
        let frames = talk.frames().await.unwrap();
        assert!(frames[2].ends_with(b"\"released\"}"), "{frames:?}");
    }
    talk.send(&[b"late", b"", &call(8, "echo", "{}")]).await;
    assert_eq!(talk.frames().await.unwrap()[0], "late");
    server.stop().await;
}

#[tokio::test]
async fn a_crowd_behind_one_proxy_that_asks_at_once_is_answered_to_the_last() {
    const ASKERS: u32 = 200;
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    // Written together, so that one turn reads more envelopes than there may be conversations.
    for asker in 0..ASKERS {
        let frames = [&asker.to_be_bytes()[..], b"", &call(asker, "echo", "{}")];
        let frames = frames.map(Bytes::copy_from_slice).to_vec();
        talk.0.feed(Multipart::new(frames).unwrap()).await.unwrap();
    }
    talk.0.flush().await.unwrap();
    let mut answered = BTreeSet::new();
    for _ in 0..ASKERS {
        let frames = talk.frames().await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&frames[2]).unwrap();
        assert_eq!(answer["result"], json!({}), "{answer}");
        let asker = u32::from_be_bytes(frames[0][..].try_into().unwrap());
        assert_eq!(answer["id"], asker);
        assert!(answered.insert(asker));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_answered_in_its_envelope() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    let long = |bytes: usize| call(1, "echo", &format!("[\"{}\"]", "x".repeat(bytes)));
    // Beyond what a request may be, and beyond what is kept at all.
    for bytes in [1 << 20, 11 << 20] {
        talk.send(&[b"a", b"", &call(1, "echo", "{}")]).await;
        drop(talk.frames().await.unwrap());
        talk.send(&[b"a", b"", &long(bytes)]).await;
        let frames = talk.frames().await.unwrap();
        assert_eq!(frames[0], "a");
        let answer: serde_json::Value = serde_json::from_slice(&frames[2]).unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(null), &json!(-32011)));
        assert_eq!(answer["error"]["data"]["limit"], "limits.request_bytes");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_leaves_does_not_end_what_it_began() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    talk.send(&[&call(1, "held", "{}")]).await;
    drop(server.stage.begun.acquire().await.unwrap());
    drop(talk);
    server.stage.release.add_permits(1);
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_lets_calls_end_and_closes() {
    let mut server = Server::start().await;
    let mut talk = server.dealer().await;
    let mut idle = server.dealer().await;
    talk.send(&[&call(1, "held", "{}")]).await;
    drop(server.stage.begun.acquire().await.unwrap());
    server.begin_stop();
    assert!(idle.frames().await.is_none());
    server.stage.release.add_permits(1);
    assert_eq!(talk.json().await["result"], "released");
    assert!(talk.frames().await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_cuts_what_does_not_end() {
    let server = Server::start_with(|config| config.drain = PATIENCE / 600).await;
    let mut talk = server.dealer().await;
    talk.send(&[&call(1, "held", "{}")]).await;
    drop(server.stage.begun.acquire().await.unwrap());
    server.stop().await;
    assert!(talk.frames().await.is_none());
}

#[tokio::test]
async fn a_connection_with_nothing_under_way_is_closed_where_that_is_wanted() {
    let server = Server::start_with(|config| {
        config.limits.idle = Some(PATIENCE / 600);
        config.drain = PATIENCE / 600;
    })
    .await;
    let mut idle = server.dealer().await;
    assert!(idle.frames().await.is_none());
    // A machine that is slow may let even this one idle before it subscribes.
    let mut busy = loop {
        let mut busy = server.dealer().await;
        let subscribe = Multipart::single(call(1, "event.subscribe", "{}"));
        if busy.0.send(subscribe).await.is_ok() && busy.frames().await.is_some() {
            break busy;
        }
    };
    for _ in 0..3 {
        assert!(busy.frames().await.is_some());
    }
    let mut idle = server.dealer().await;
    assert!(idle.frames().await.is_none());
    assert_eq!(busy.ask(2, "echo", "{}").await, json!({}));
    server.stop().await;
}
