//! Messages to a whole service: whatever is sent, each call is answered once and under its own
//! identifier, a notification never, and nothing that anybody can send is an error of ours.

use std::{collections::BTreeMap, future::pending, time::Duration};

use bytes::Bytes;
use descartes_rpc::{
    connection::{Answer, ConnectionLimits, answer, answer_streaming, serve_connection},
    error::ErrorKind,
    limits::REPLY_BYTES,
    memory,
    peer::Peer,
    service::Rpc,
    testing::fake_service,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, value::RawValue};
use tokio::{runtime::Builder, time::timeout};

use crate::{
    frame::{Part, Verdict, reference},
    input::Input,
};

pub(crate) const WORDS: &[&str] = &[
    "\n",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"",
    "\",\"params\":{",
    "}}",
    "agent.spawn",
    "\"config\":{\"command\":[\"x\"]}",
    "\"agent_id\":\"a\"",
    "\"name\":\"a\"",
    "event.subscribe",
    "\"topics\":[\"agent/\"]",
    "state.put",
    "\"idempotency_key\":\"k\"",
    "agent.kill",
    "[",
    "]",
    ",",
];

/// Messages of one input.
const MESSAGES: usize = 8;
/// Longer than any call may wait, in the time of a paused clock.
const FOR_EVER: Duration = Duration::from_secs(2 * 3600);
/// Notifications of one subscription that are looked at.
const NOTIFICATIONS: usize = 50;

/// How often each identifier is to be answered.
type Due = BTreeMap<String, i32>;

/// Byte 0 says whether notifications can follow, and whether all messages are under way at once on
/// one connection; the rest is messages, a line each, to one service.
pub fn call(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.byte();
    let lines = input.rest().split(|byte| *byte == b'\n').take(MESSAGES);
    let messages = lines.map(Bytes::copy_from_slice);
    // The clock stands still while anything can be done, so that a wait of an hour takes no time.
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O needs nothing").block_on(async {
        let service = fake_service(0).await;
        if how & 2 == 2 {
            return on_one_connection(&service, messages.collect()).await;
        }
        for message in messages {
            let expected = reference::read(&message);
            let asked = ask(&service, message, how & 1 == 1);
            let answer = timeout(FOR_EVER, asked).await.expect("every message is answered");
            is_answered(&answer, &expected);
            look_at_notifications(answer).await;
        }
    });
}

async fn ask(service: &Rpc, message: Bytes, streams: bool) -> Answer {
    let (service, peer) = (service.clone(), Peer::owner("fuzz"));
    if streams {
        answer_streaming(service, peer, message).await
    } else {
        answer(service, peer, message).await
    }
}

fn is_answered(answer: &Answer, expected: &Verdict) {
    let mut due = Due::new();
    add_due(&mut due, expected);
    let Some(body) = &answer.body else {
        return assert!(due.is_empty(), "there is no answer for {due:?}");
    };
    let answers = answers(body);
    if let Verdict::Malformed(kind) = expected {
        assert_eq!(answers, [("null".to_owned(), Some(*kind))]);
    }
    take_off(&mut due, answers);
    assert!(due.values().all(|left| *left == 0), "too few answers: {due:?}");
}

/// All messages go out before anything is read; then each call is answered once, in any order.
async fn on_one_connection(service: &Rpc, messages: Vec<Bytes>) {
    let (mut ours, theirs) = memory::pair();
    let (service, peer) = (service.clone(), Peer::owner("fuzz"));
    let limits = ConnectionLimits::default();
    let served = tokio::spawn(serve_connection(service, peer, theirs, limits, pending()));
    let mut due = Due::new();
    for message in messages {
        add_due(&mut due, &reference::read(&message));
        ours.send(message).await.expect("the connection is read");
    }
    while due.values().any(|left| *left > 0) {
        let next = timeout(FOR_EVER, ours.next()).await;
        let heard = next.unwrap_or_else(|_| panic!("no answer for {due:?}"));
        hear(&mut due, &heard.expect("the connection stays open").expect("memory does not fail"));
    }
    // What follows now are notifications, until the other side has seen that we are gone.
    ours.close().await.expect("memory does not fail");
    while let Some(heard) = ours.next().await {
        hear(&mut due, &heard.expect("memory does not fail"));
    }
    drop(served.await.expect("serving does not panic"));
}

fn hear(due: &mut Due, message: &Bytes) {
    match serde_json::from_slice::<Value>(message) {
        Ok(Value::Object(members)) if members.contains_key("method") => {
            is_notification(&members.into());
        }
        _ => take_off(due, answers(message)),
    }
}

fn add_due(due: &mut Due, expected: &Verdict) {
    let parts = match expected {
        Verdict::Malformed(_) => {
            *due.entry("null".to_owned()).or_default() += 1;
            return;
        }
        Verdict::Single(part) => std::slice::from_ref(part),
        Verdict::Batch(parts) => parts.as_slice(),
    };
    for part in parts {
        if let Part::Call { id: Some(id), .. } | Part::Refused { id, .. } = part {
            *due.entry(id.clone()).or_default() += 1;
        }
    }
}

fn take_off(due: &mut Due, answers: Vec<(String, Option<ErrorKind>)>) {
    for (id, _) in answers {
        let left = due.entry(id).or_default();
        *left -= 1;
        assert!(*left >= 0, "an answer too many: {due:?}");
    }
}

/// The answers of a message.
fn answers(message: &Bytes) -> Vec<(String, Option<ErrorKind>)> {
    let text = std::str::from_utf8(message).expect("JSON is text");
    assert!(text.len() <= REPLY_BYTES && !text.contains('\n'), "an answer is one line");
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(all) => all.iter().map(|answer| one_answer(answer.get())).collect(),
        Err(_) => vec![one_answer(text)],
    }
}

/// The identifier of an answer, and which error it is, if it is one.
fn one_answer(text: &str) -> (String, Option<ErrorKind>) {
    let answer: BTreeMap<&str, &RawValue> = serde_json::from_str(text).expect("an object");
    let names: Vec<&str> = answer.keys().copied().collect();
    assert_eq!(answer["jsonrpc"].get(), "\"2.0\"");
    let id = answer["id"].get().to_owned();
    if names == ["id", "jsonrpc", "result"] {
        return (id, None);
    }
    assert_eq!(names, ["error", "id", "jsonrpc"]);
    let error: Value = serde_json::from_str(answer["error"].get()).expect("an error is JSON");
    let kind = ErrorKind::ALL.iter().find(|kind| error["data"]["kind"] == kind.as_str());
    let kind = *kind.unwrap_or_else(|| panic!("an error of no kind: {error}"));
    assert_eq!(error["code"], kind.code(), "{error}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    assert_ne!(kind, ErrorKind::Internal, "it is our fault: {error}");
    (id, Some(kind))
}

/// What follows an answer is messages too; the first of them are looked at.
async fn look_at_notifications(answer: Answer) {
    let Some(mut notifications) = answer.notifications else { return };
    for _ in 0..NOTIFICATIONS {
        let next = std::future::poll_fn(|cx| notifications.as_mut().poll_next(cx));
        let Ok(Some(notification)) = timeout(Duration::from_millis(1), next).await else { return };
        let mut text = bytes::BytesMut::new();
        notification.encode_into(&mut text);
        is_notification(&serde_json::from_slice(&text).expect("a notification is JSON"));
    }
}

fn is_notification(message: &Value) {
    assert!(message["method"].as_str().is_some_and(|method| method.starts_with("event.")));
    assert!(message["params"]["subscription_id"].is_string(), "{message}");
    assert!(message.get("id").is_none(), "{message}");
}
