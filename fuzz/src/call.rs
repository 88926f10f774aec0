//! Messages to a whole service: whatever is sent, each call is answered once and under its own
//! identifier, a notification never, and nothing that anybody can send is an error of ours.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use descartes_rpc::{
    connection::{Answer, answer, answer_streaming},
    error::ErrorKind,
    limits::REPLY_BYTES,
    peer::Peer,
    service::Rpc,
    testing::fake_service,
};
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

/// Byte 0 says whether notifications can follow; the rest is messages, a line each, to one service.
pub fn call(data: &[u8]) {
    let mut input = Input::new(data);
    let streams = input.byte() & 1 == 1;
    // The clock stands still while anything can be done, so that a wait of an hour takes no time.
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O needs nothing").block_on(async {
        let service = fake_service(0).await;
        for line in input.rest().split(|byte| *byte == b'\n').take(MESSAGES) {
            let message = Bytes::copy_from_slice(line);
            let expected = reference::read(&message);
            let asked = ask(&service, message, streams);
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
    let body = answer.body.as_ref().map(|body| std::str::from_utf8(body).expect("text"));
    assert!(body.is_none_or(|body| body.len() <= REPLY_BYTES && !body.contains('\n')));
    let (parts, is_batch) = match expected {
        Verdict::Malformed(kind) => {
            let told = one_answer(body.expect("rubbish is answered"));
            return assert_eq!(told, ("null".to_owned(), Some(*kind)));
        }
        Verdict::Single(part) => (std::slice::from_ref(part), false),
        Verdict::Batch(parts) => (parts.as_slice(), true),
    };
    // How often each identifier is due.
    let mut due: BTreeMap<String, i32> = BTreeMap::new();
    for part in parts {
        match part {
            Part::Call { id: Some(id), .. } | Part::Refused { id, .. } => {
                *due.entry(id.clone()).or_default() += 1;
            }
            Part::Call { id: None, .. } | Part::Ignored => {}
        }
    }
    let Some(body) = body else {
        return assert!(due.is_empty(), "there is no answer for {due:?}");
    };
    let answers: Vec<&RawValue> = if is_batch {
        serde_json::from_str(body).expect("an array")
    } else {
        vec![serde_json::from_str(body).expect("an object")]
    };
    for answer in answers.iter().map(|answer| one_answer(answer.get())) {
        *due.entry(answer.0).or_default() -= 1;
    }
    assert!(due.values().all(|left| *left == 0), "answers too few or too many: {due:?}");
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
        let message: Value = serde_json::from_slice(&text).expect("a notification is JSON");
        assert!(message["method"].as_str().is_some_and(|method| method.starts_with("event.")));
        assert!(message["params"]["subscription_id"].is_string(), "{message}");
        assert!(message.get("id").is_none(), "{message}");
    }
}
