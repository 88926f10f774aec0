//! What a duplex connection does.

use std::{future::pending, io, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::codec::Framed;

use crate::{
    codec::LineCodec,
    connection::{Answer, ConnectionLimits, answer_until, serve_connection},
    fixture::Fixture,
    frame::Arrival,
    limits::LINGER,
    memory::{MemoryIo, pair},
    peer::Peer,
    service::Rpc,
};

/// A client of a served connection.
pub(super) struct Client {
    io: MemoryIo,
    pub(super) served: JoinHandle<io::Result<()>>,
    pub(super) shutdown: Option<oneshot::Sender<()>>,
}

impl Client {
    pub(super) fn of(rpc: Rpc) -> Self {
        Self::as_peer(rpc, Peer::owner("memory"))
    }

    pub(super) fn as_peer(rpc: Rpc, peer: Peer) -> Self {
        Self::within(rpc, peer, ConnectionLimits::default())
    }

    fn within(rpc: Rpc, peer: Peer, limits: ConnectionLimits) -> Self {
        let (ours, theirs) = pair();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve_connection(rpc, peer, theirs, limits, async {
            if stopped.await.is_err() {
                pending::<()>().await;
            }
        }));
        Self { io: ours, served, shutdown: Some(stop) }
    }

    pub(super) async fn call(&mut self, id: u64, method: &str, name: &str) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": [name]})).await;
    }

    pub(super) async fn send(&mut self, message: &Value) {
        self.io.send(Bytes::from(message.to_string())).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> Value {
        serde_json::from_slice(&self.io.next().await.unwrap().unwrap()).unwrap()
    }

    /// The identifier of the next answer, and its result or error code.
    pub(super) async fn answer(&mut self) -> (u64, Value) {
        let answer = self.next().await;
        let outcome = answer.get("result").or_else(|| answer["error"].get("code")).unwrap();
        (answer["id"].as_u64().unwrap(), outcome.clone())
    }

    /// Nothing comes although everybody had their turn.
    pub(super) async fn nothing(&mut self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(self.io.next().now_or_never().is_none());
    }
}

#[tokio::test]
async fn answers_come_as_they_are_ready() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    client.call(1, "hold", "a").await;
    client.call(2, "hold", "b").await;
    client.call(3, "echo", "c").await;
    assert_eq!(client.answer().await, (3, json!(["c"])));
    fixture.open("b", 1);
    assert_eq!(client.answer().await, (2, json!("b")));
    fixture.open("a", 1);
    assert_eq!(client.answer().await, (1, json!("a")));
    drop(client.io);
    client.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn calls_begin_in_the_order_they_arrive() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    for id in 0..40 {
        client.call(id, "hold", &id.to_string()).await;
    }
    client.call(99, "echo", "").await;
    client.answer().await;
    let expected: Vec<_> = (0..40).map(|id| format!("begin hold {id}")).collect();
    assert_eq!(fixture.log(), expected);
}

#[tokio::test]
async fn a_subscription_is_answered_before_its_first_notification_and_ends_with_word() {
    let mut client = Client::of(Fixture::service());
    client.call(1, "subscribe", "").await;
    let (_, opened) = client.answer().await;
    let id = opened["subscription_id"].as_str().unwrap().to_owned();
    for seq in 1..=3 {
        let event = client.next().await;
        assert_eq!(event["method"], "event.next");
        assert_eq!(event["params"]["event"]["seq"], seq);
        assert_eq!(event["params"]["subscription_id"], id.as_str());
    }
    client.nothing().await;
    client.call(2, "unsubscribe", &id).await;
    assert_eq!(client.answer().await, (2, json!(true)));
    let ended = client.next().await;
    assert_eq!(ended["method"], "event.ended");
    assert_eq!(ended["params"]["reason"], "unsubscribed");
    client.call(3, "unsubscribe", &id).await;
    assert_eq!(client.answer().await, (3, json!(false)));
}

#[tokio::test]
async fn rubbish_is_answered_and_the_connection_goes_on() {
    let mut client = Client::of(Fixture::service());
    for rubbish in ["nonsense", "{", "[]", "[1", "{}"] {
        client.io.send(Bytes::from(rubbish)).await.unwrap();
        assert!(client.next().await["error"]["code"].as_i64().unwrap() <= -32600);
    }
    client.call(1, "echo", "still here").await;
    assert_eq!(client.answer().await, (1, json!(["still here"])));
}

#[tokio::test]
async fn notifications_and_batches_of_them_are_never_answered() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    client.send(&json!({"jsonrpc": "2.0", "method": "later", "params": ["a"]})).await;
    client.send(&json!([{"jsonrpc": "2.0", "method": "later", "params": ["b"]}])).await;
    client.send(&json!({"jsonrpc": "2.0", "method": "no.such"})).await;
    client.nothing().await;
    assert_eq!(fixture.log(), ["begin later a", "begin later b"]);
}

#[tokio::test]
async fn a_batch_runs_concurrently_with_one_array_of_answers() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    let call = |id, name| json!({"jsonrpc": "2.0", "id": id, "method": "hold", "params": [name]});
    client.send(&json!([call(1, "a"), call(2, "b")])).await;
    client.call(3, "echo", "between").await;
    assert_eq!(client.answer().await.0, 3);
    fixture.open("b", 1);
    client.nothing().await;
    fixture.open("a", 1);
    let answers = client.next().await;
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [2, 1]);
}

#[tokio::test]
async fn a_waiting_call_is_cancelled_by_its_identifier() {
    let mut client = Client::of(Fixture::service());
    client.call(7, "wait", "a").await;
    client.call(8, "cancel", "7").await;
    assert_eq!(client.answer().await, (8, json!(true)));
    assert_eq!(client.answer().await, (7, json!(-32018)));
    client.call(9, "cancel", "7").await;
    assert_eq!(client.answer().await, (9, json!(false)));
}

#[tokio::test(start_paused = true)]
async fn on_shutdown_streams_and_waits_end_and_calls_are_answered() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    client.call(1, "subscribe", "").await;
    client.call(2, "wait", "w").await;
    client.call(3, "hold", "h").await;
    for _ in 0..4 {
        client.next().await;
    }
    client.nothing().await;
    client.shutdown.take().unwrap().send(()).unwrap();
    let mut said = [client.next().await, client.next().await];
    said.sort_by_key(|message| message.get("method").is_none());
    assert_eq!(said[0]["params"]["reason"], "shutdown");
    assert_eq!(said[1]["error"]["data"]["reason"], "draining");
    assert!(!client.served.is_finished());
    fixture.open("h", 1);
    assert_eq!(client.answer().await, (3, json!("h")));
    assert!(client.io.next().await.is_none());
    client.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_given_up_are_answered_wherever_they_stand() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc.clone());
    // One that reads, one that waits, one that changes something, and one whose turn has not come.
    for (id, method) in (1..).zip(["hold", "wait", "change", "change"]) {
        client.call(id, method, "a").await;
    }
    client.nothing().await;
    rpc.give_up();
    let mut said = Vec::new();
    for _ in 0..4 {
        let answer = client.next().await;
        let data = &answer["error"]["data"];
        assert_eq!((&data["reason"], &data["retryable"]), (&json!("draining"), &json!(true)));
        said.push((answer["id"].as_u64().unwrap(), data["kind"].clone()));
    }
    said.sort_by_key(|(id, _)| *id);
    let kinds: Vec<_> = said.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, ["unavailable", "unavailable", "timeout", "unavailable"]);
    assert_eq!(fixture.log().iter().filter(|noted| noted.contains("change")).count(), 1);
    client.call(5, "echo", "still").await;
    assert_eq!(client.answer().await, (5, json!(["still"])));
    client.call(6, "hold", "a").await;
    assert_eq!(client.answer().await, (6, json!(-32007)));
}

#[tokio::test(start_paused = true)]
async fn of_messages_answered_one_by_one_only_waits_end_with_the_transport() {
    let (fixture, rpc) = Fixture::rpc();
    let (drain, drained) = oneshot::channel::<()>();
    let drained = drained.map(drop).shared();
    let ask = |method: &str| {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": ["x"]});
        let message = Bytes::from(call.to_string());
        let peer = Peer::owner("memory");
        tokio::spawn(answer_until(rpc.clone(), peer, message, false, drained.clone()))
    };
    let (waits, holds) = (ask("wait"), ask("hold"));
    tokio::task::yield_now().await;
    drain.send(()).unwrap();
    let body = |answer: Answer| serde_json::from_slice::<Value>(&answer.body.unwrap()).unwrap();
    let ended = body(waits.await.unwrap());
    assert_eq!(ended["error"]["data"]["reason"], "draining");
    fixture.open("x", 1);
    assert_eq!(body(holds.await.unwrap())["result"], "x");
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_is_answered_after_the_peer_stops_sending_and_its_waits_end() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    client.call(1, "hold", "a").await;
    client.call(2, "wait", "b").await;
    client.io.close().await.unwrap();
    assert_eq!(client.answer().await, (2, json!(-32018)));
    fixture.open("a", 1);
    assert_eq!(client.answer().await, (1, json!("a")));
    client.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_sent_before_it_left_still_begins_although_no_answer_finds_it() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    for id in 0..200 {
        client.call(id, "echo", "").await;
    }
    client.call(200, "hold", "a").await;
    client.call(201, "wait", "b").await;
    drop(client.io);
    let before = tokio::time::Instant::now();
    let ended = client.served.await.unwrap().unwrap_err();
    assert_eq!(ended.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(before.elapsed(), LINGER);
    assert_eq!(fixture.log()[..1], ["begin hold a"]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_cut_and_its_stream_rests_meanwhile() {
    let mut client = Client::of(Fixture::service());
    client.call(1, "flood", "").await;
    let before = tokio::time::Instant::now();
    let ended = (&mut client.served).await.unwrap().unwrap_err();
    assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    assert_eq!(before.elapsed().as_secs(), 30);
    let mut bytes = 0;
    while let Some(Ok(frame)) = client.io.next().await {
        bytes += frame.len();
    }
    assert!(bytes < 256 * 1024 + 2048, "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_served_for_as_long_as_it_reads() {
    let mut client = Client::of(Fixture::service());
    client.call(1, "flood", "").await;
    client.answer().await;
    for seq in 1..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(client.next().await["params"]["event"]["seq"], seq);
    }
    client.call(2, "echo", "").await;
    while client.next().await.get("id").is_none() {}
}

#[tokio::test]
async fn an_oversize_line_is_answered_once_and_the_next_call_as_ever() {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let limits = ConnectionLimits::default();
    let served = tokio::spawn(serve_connection(
        Fixture::service(),
        Peer::owner("test"),
        Framed::new(theirs, LineCodec::default()),
        limits,
        pending(),
    ));
    let mut client = Framed::new(ours, LineCodec::default());
    client.send(Bytes::from(vec![b'x'; 1024 * 1024 + 1])).await.unwrap();
    let call = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#);
    client.send(call).await.unwrap();
    let mut next = async || match client.next().await.unwrap().unwrap() {
        Arrival::Message(message) => serde_json::from_slice::<Value>(&message).unwrap(),
        Arrival::Oversize => panic!("an answer is short"),
    };
    let refused = next().await;
    assert_eq!(refused["id"], Value::Null);
    assert_eq!(refused["error"]["code"], -32011);
    assert_eq!(refused["error"]["data"]["max"], 1024 * 1024);
    assert_eq!(next().await["result"], Value::Null);
    drop(client);
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_only_when_nothing_is_under_way() {
    let limits = ConnectionLimits { idle: Some(Duration::from_secs(300)), ..Default::default() };
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::within(rpc, Peer::owner("memory"), limits);
    client.call(1, "wait", "a").await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    fixture.open("a", 1);
    client.answer().await;
    tokio::time::sleep(Duration::from_secs(299)).await;
    client.call(2, "echo", "").await;
    client.answer().await;
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert!(!client.served.is_finished());
    assert!(client.io.next().await.is_none());
    client.served.await.unwrap().unwrap();
}
