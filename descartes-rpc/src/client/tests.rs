//! The client against a scripted daemon.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::error::ErrorKind;
use crate::wire::event::SubscribeParams;

/// One end of a duplex of frames.
struct Pipe {
    out: mpsc::Sender<Bytes>,
    frames: mpsc::Receiver<Bytes>,
}

fn pipe() -> (Pipe, Pipe) {
    let (left_out, right_in) = mpsc::channel(4096);
    let (right_out, left_in) = mpsc::channel(4096);
    (Pipe { out: left_out, frames: left_in }, Pipe { out: right_out, frames: right_in })
}

impl Stream for Pipe {
    type Item = io::Result<Bytes>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.frames.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

impl Sink<Bytes> for Pipe {
    type Error = io::Error;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(if self.out.is_closed() {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(())
        })
    }
    fn start_send(self: Pin<&mut Self>, frame: Bytes) -> io::Result<()> {
        self.out.try_send(frame).or(Err(io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Pipe {
    async fn read(&mut self) -> Option<Value> {
        self.frames.recv().await.map(|frame| serde_json::from_slice(&frame).unwrap())
    }

    fn write(&self, message: &Value) {
        // The reader may have hung up: then nobody misses the message.
        drop(self.out.try_send(Bytes::from(message.to_string())));
    }

    fn answer(&self, call: &Value, result: &Value) {
        self.write(&json!({"jsonrpc": "2.0", "id": call["id"], "result": result}));
    }
}

/// Gives out connections that a test made before.
#[derive(Clone, Default)]
struct Doors(Arc<Mutex<VecDeque<Pipe>>>);

impl Doors {
    fn open(&self) -> Pipe {
        let (ours, theirs) = pipe();
        self.0.lock().unwrap().push_back(theirs);
        ours
    }
}

#[async_trait]
impl Connect for Doors {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        match self.0.lock().unwrap().pop_front() {
            Some(pipe) => Ok(Box::new(pipe)),
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
    fn transport_name(&self) -> &'static str {
        "test"
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn answers_find_their_callers_in_any_order() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors);
    let params = raw(&json!({}));
    let (first, second) = (client.call_raw("a", &params), client.call_raw("b", &params));
    let script = async {
        let (a, b) = (daemon.read().await.unwrap(), daemon.read().await.unwrap());
        daemon.answer(&b, &json!({"of": b["method"]}));
        daemon.answer(&a, &Value::Null);
        (a["method"] == "a", b["method"] == "b")
    };
    let (first, second, script) = tokio::join!(first, second, script);
    assert_eq!(first.unwrap().get(), "null");
    assert_eq!(second.unwrap().get(), r#"{"of":"b"}"#);
    assert_eq!(script, (true, true));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_daemon_is_told_as_it_is() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors);
    let params = raw(&json!({}));
    let script = async {
        let call = daemon.read().await.unwrap();
        let error = json!({"code": -32002, "message": "no", "data": {"kind": "agent_not_found"}});
        daemon.write(&json!({"jsonrpc": "2.0", "id": call["id"], "error": error}));
    };
    let (result, ()) = tokio::join!(client.call_raw("agent.get", &params), script);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::AgentNotFound);
}

#[tokio::test(start_paused = true)]
async fn without_a_daemon_a_call_fails_at_once() {
    let client = Client::connect(Doors::default());
    let began = tokio::time::Instant::now();
    let error = client.call_raw("a", &raw(&json!({"idempotency_key": "k"}))).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    let error = client.subscribe(SubscribeParams::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_repeats_what_has_a_key_and_fails_the_rest() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors.clone());
    let (plain, keyed) = (raw(&json!({})), raw(&json!({"idempotency_key": "k"})));
    let script = async {
        let (_, sent) = (daemon.read().await.unwrap(), daemon.read().await.unwrap());
        let mut again = doors.open();
        drop(daemon);
        let repeated = again.read().await.unwrap();
        assert_eq!(repeated, sent);
        again.answer(&repeated, &json!(5));
    };
    let (plain, keyed, ()) =
        tokio::join!(client.call_raw("a", &plain), client.call_raw("b", &keyed), script);
    assert!(matches!(plain.unwrap_err(), ClientError::ConnectionLost { .. }));
    assert_eq!(keyed.unwrap().get(), "5");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_stays_away_is_given_up() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors).with_deadline(Duration::MAX);
    let keyed = raw(&json!({"idempotency_key": "k"}));
    let script = async {
        daemon.read().await.unwrap();
        drop(daemon);
    };
    let (keyed, ()) = tokio::join!(client.call_raw("b", &keyed), script);
    assert!(matches!(keyed.unwrap_err(), ClientError::ConnectionLost { source: Some(_) }));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_that_waits_cancels_it() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors);
    let params = raw(&json!({"agent_id": "a"}));
    let call = client.call_raw("agent.wait", &params);
    let waited = tokio::time::timeout(Duration::from_secs(1), call).await;
    assert!(waited.is_err());
    let sent = daemon.read().await.unwrap();
    let cancel = daemon.read().await.unwrap();
    assert_eq!(cancel["method"], "rpc.cancel");
    assert_eq!(cancel["params"]["id"], sent["id"]);
    assert_eq!(cancel.get("id"), None);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_daemon_takes_is_refused_here() {
    let client = Client::connect(Doors::default());
    let params = raw(&json!({"x": "y".repeat(limits::REQUEST_BYTES)}));
    let error = client.call_raw("a", &params).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
}

/// The event at `seq` of a topic whose cursors are its numbers.
fn event(seq: u64) -> Value {
    json!({
        "cursor": seq.to_string(), "seq": seq, "topic": "t", "offset": seq - 1, "timestamp": "",
        "by": "local", "type": "test", "data": seq,
    })
}

/// Serves one connection of a daemon whose journal holds `events`, and hangs up after `cut`
/// notifications.
async fn serve(mut daemon: Pipe, events: u64, mut cut: usize) {
    let mut subscriptions = 0;
    while let Some(call) = daemon.read().await {
        match call["method"].as_str() {
            Some("event.subscribe") => {
                subscriptions += 1;
                let id = format!("s{subscriptions}");
                let after = call["params"]["after"].as_str().unwrap_or("0").to_owned();
                daemon.answer(&call, &json!({"subscription_id": id, "cursor": after}));
                let first = after.parse::<u64>().unwrap() + 1;
                let history = (first..=events)
                    .map(|seq| ("event.next", json!({"subscription_id": id, "event": event(seq)})));
                let synced = json!({"subscription_id": id, "cursor": events.to_string()});
                for (method, params) in history.chain([("event.synced", synced)]) {
                    if cut == 0 {
                        return;
                    }
                    cut -= 1;
                    daemon.write(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
                }
            }
            Some("system.health") => daemon.answer(&call, &json!({})),
            _ => {}
        }
    }
}

/// What a reader sees until it is synced.
async fn seen(subscription: &mut Subscription, events: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut synced = false;
    while !synced || seen.len() < usize::try_from(events).unwrap() {
        match subscription.next().await.unwrap().unwrap() {
            Update::Event(event) => seen.push(event.data::<u64>().unwrap()),
            Update::Synced { .. } => {
                assert!(!synced, "synced is said once");
                synced = true;
            }
            other => panic!("{other:?}"),
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_subscription_cut_anywhere_goes_on_without_gap_or_duplicate() {
    const EVENTS: u64 = 12;
    for cut in 0..=usize::try_from(EVENTS).unwrap() + 1 {
        let doors = Doors::default();
        tokio::spawn(serve(doors.open(), EVENTS, cut));
        tokio::spawn(serve(doors.open(), EVENTS, usize::MAX));
        let client = Client::connect(doors);
        let params = SubscribeParams { topics: vec!["t".into()], ..SubscribeParams::default() };
        let mut subscription = client.subscribe(params).await.unwrap();
        let expected: Vec<u64> = (1..=EVENTS).collect();
        assert_eq!(seen(&mut subscription, EVENTS).await, expected, "cut after {cut}");
        assert_eq!(subscription.cursor(), EVENTS.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_rests_misses_nothing_and_holds_up_nobody() {
    const EVENTS: u64 = 1000;
    let doors = Doors::default();
    tokio::spawn(serve(doors.open(), EVENTS, usize::MAX));
    let client = Client::connect(doors);
    let params = SubscribeParams { topics: vec!["t".into()], ..SubscribeParams::default() };
    let mut subscription = client.subscribe(params).await.unwrap();
    client.call_raw("system.health", &raw(&json!({}))).await.unwrap();
    let expected: Vec<u64> = (1..=EVENTS).collect();
    assert_eq!(seen(&mut subscription, EVENTS).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_is_closed_at_the_daemon() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors);
    let script = async {
        let call = daemon.read().await.unwrap();
        daemon.answer(&call, &json!({"subscription_id": "s", "cursor": "0"}));
        daemon.read().await.unwrap()
    };
    let reader = async { drop(client.subscribe(SubscribeParams::default()).await.unwrap()) };
    let (closed, ()) = tokio::join!(script, reader);
    assert_eq!(closed["method"], "event.unsubscribe");
    assert_eq!(closed["params"]["subscription_id"], "s");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_subscription_is_its_last_update() {
    let doors = Doors::default();
    let mut daemon = doors.open();
    let client = Client::connect(doors);
    let script = async {
        let call = daemon.read().await.unwrap();
        daemon.answer(&call, &json!({"subscription_id": "s", "cursor": "0"}));
        let params = json!({"subscription_id": "s", "reason": "token_expired", "cursor": "7"});
        daemon.write(&json!({"jsonrpc": "2.0", "method": "event.ended", "params": params}));
    };
    let reader = async {
        let mut subscription = client.subscribe(SubscribeParams::default()).await.unwrap();
        let last = subscription.next().await.unwrap().unwrap();
        (last, subscription.next().await.is_none())
    };
    let ((), (last, over)) = tokio::join!(script, reader);
    assert!(matches!(last, Update::Ended { cursor, .. } if cursor == "7"));
    assert!(over);
}

/// A transport of requests and responses that fails as often as it is told.
struct Flaky {
    failures: Mutex<VecDeque<io::ErrorKind>>,
    cut: Mutex<usize>,
}

#[async_trait]
impl Exchange for Flaky {
    async fn exchange(&self, message: Bytes) -> io::Result<Bytes> {
        if let Some(kind) = self.failures.lock().unwrap().pop_front() {
            return Err(kind.into());
        }
        let call: Value = serde_json::from_slice(&message).unwrap();
        Ok(json!({"jsonrpc": "2.0", "id": call["id"], "result": 1}).to_string().into())
    }

    async fn stream(&self, message: Bytes) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let (mut near, far) = pipe();
        let cut = std::mem::replace(&mut *self.cut.lock().unwrap(), usize::MAX);
        near.write(&serde_json::from_slice(&message).unwrap());
        tokio::spawn(serve(far, 5, cut));
        // The scripted daemon answers as long as somebody listens.
        Ok(Box::pin(futures_util::stream::poll_fn(move |cx| Pin::new(&mut near).poll_next(cx))))
    }

    fn transport_name(&self) -> &'static str {
        "flaky"
    }
}

fn flaky(failures: impl IntoIterator<Item = io::ErrorKind>, cut: usize) -> Client {
    let failures = Mutex::new(failures.into_iter().collect());
    Client::exchange(Flaky { failures, cut: Mutex::new(cut) })
}

#[tokio::test(start_paused = true)]
async fn an_exchange_is_repeated_only_with_a_key() {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset};
    let (plain, keyed) = (raw(&json!({})), raw(&json!({"idempotency_key": "k"})));
    let lost = flaky([ConnectionReset], 0).call_raw("a", &plain).await.unwrap_err();
    assert!(matches!(lost, ClientError::ConnectionLost { .. }));
    let away = flaky([ConnectionRefused], 0).call_raw("a", &keyed).await.unwrap_err();
    assert!(matches!(away, ClientError::Unreachable { .. }));
    let client = flaky([ConnectionReset, ConnectionRefused, ConnectionReset], 0);
    assert_eq!(client.call_raw("a", &keyed).await.unwrap().get(), "1");
}

#[tokio::test(start_paused = true)]
async fn a_stream_cut_anywhere_goes_on_without_gap_or_duplicate() {
    for cut in 0..=6 {
        let client = flaky([], cut);
        let params = SubscribeParams { topics: vec!["t".into()], ..SubscribeParams::default() };
        let mut subscription = client.subscribe(params).await.unwrap();
        assert_eq!(seen(&mut subscription, 5).await, [1, 2, 3, 4, 5], "cut after {cut}");
    }
}

mod deadlines;
mod returning;
mod sharing;
