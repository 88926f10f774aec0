//! Every message that does not work, and that it is answered.

use super::*;
use crate::limits::MESSAGE_BYTES;

/// What of an answer says what went wrong.
struct Refusal {
    kind: String,
    request_id: Option<String>,
    error: crate::protocol::ProtocolError,
}

fn refusal(message: &ZmqMessage) -> Refusal {
    let value = rmp_serde::from_slice::<Value>(&message.encode()).unwrap();
    assert!(value.get("request_id").is_some(), "every answer repeats request_id: {value:?}");
    assert_ne!(value.get("success"), Some(&Value::Bool(true)));
    let error = match message {
        ZmqMessage::SpawnResponse(answer) => answer.error.clone(),
        ZmqMessage::CommandResponse(answer) => answer.error.clone(),
        ZmqMessage::ListAgentsResponse(answer) => answer.error.clone(),
        ZmqMessage::HealthCheckResponse(answer) => answer.error.clone(),
        ZmqMessage::BatchControlResponse(answer) => answer.error.clone(),
        ZmqMessage::OutputQueryResponse(answer) => answer.error.clone(),
        other => panic!("{other:?}"),
    };
    Refusal {
        kind: message.kind().to_owned(),
        request_id: message.request_id().map(str::to_owned),
        error: error.unwrap(),
    }
}

/// The type of the answer, the kind of its error, the path (`.`: the whole, `-`: none), the
/// `request_id` that comes back (`-`: nil), and what is sent; `C` stands for a command to agent `a`.
const BROKEN: &str = r#"
command_response invalid_request type - {}
command_response invalid_request type 1 {"type": 7, "request_id": "1"}
command_response invalid_request type 1 {"type": "nosuch", "request_id": "1"}
command_response invalid_request type 1 {"type": "spawn_response", "request_id": "1", "success": true}
spawn_response invalid_params . - {"type": "spawn_request"}
spawn_response invalid_params request_id - {"type": "spawn_request", "request_id": 1, "config": {}}
spawn_response invalid_params config 1 {"type": "spawn_request", "request_id": "1", "config": 5}
spawn_response invalid_params config 1 {"type": "spawn_request", "request_id": "1", "config": {"color": 1}}
spawn_response invalid_params config.config.command[0] 1 {"type": "spawn_request", "request_id": "1", "config": {"agent_type": "process", "config": {"command": [1]}}}
spawn_response invalid_params config.model 1 {"type": "spawn_request", "request_id": "1", "config": {"model_backend": "basic", "model": "big"}}
spawn_response not_found - 1 {"type": "spawn_request", "request_id": "1", "config": {"model_backend": "nosuch"}}
spawn_response invalid_params model 1 {"type": "spawn_request", "request_id": "1", "model_backend": "basic", "model": "big"}
spawn_response invalid_params environment 1 {"type": "spawn_request", "request_id": "1", "model_backend": "basic", "environment": 5}
spawn_response invalid_params . 1 {"type": "spawn_request", "request_id": "1", "model_backend": "basic", "color": 1}
spawn_response invalid_params . 1 {"type": "spawn_request", "request_id": "1", "model_backend": "basic", "config": {}}
spawn_response invalid_params . 1 {"type": "spawn_request", "request_id": "1", "name": "n", "task": "go"}
spawn_response invalid_params timeout_secs 1 {"type": "spawn_request", "request_id": "1", "model_backend": "basic", "timeout_secs": -1}
spawn_response not_found - 1 {"type": "spawn_request", "request_id": "1", "model_backend": "nosuch"}
spawn_response invalid_params metadata.a 1 {"type": "spawn_request", "request_id": "1", "config": {}, "metadata": {"a": 1}}
spawn_response invalid_params timeout_secs 1 {"type": "spawn_request", "request_id": "1", "config": {}, "timeout_secs": -1}
list_agents_response invalid_params . 1 {"type": "list_agents_request", "request_id": "1", "color": 1}
list_agents_response invalid_params limit 1 {"type": "list_agents_request", "request_id": "1", "limit": 0}
health_check_response invalid_params . - {"type": "health_check_request"}
output_query_response invalid_params stream 1 {"type": "output_query_request", "request_id": "1", "agent_id": "a", "stream": "stdin"}
output_query_response agent_not_found - 1 {"type": "output_query_request", "request_id": "1", "agent_id": "nobody"}
batch_control_response invalid_params agent_ids 1 {"type": "batch_control_command", "request_id": "1", "agent_ids": "a", "command_type": "pause"}
batch_control_response invalid_params agent_ids[1] 1 {"type": "batch_control_command", "request_id": "1", "agent_ids": ["a", 7], "command_type": "pause"}
command_response invalid_params agent_id 1 {"type": "control_command", "request_id": "1", "command_type": "pause"}
command_response invalid_params command_type 1 C{"command_type": 0}
command_response invalid_params command_type 1 C{"command_type": "fly"}
command_response invalid_params payload 1 C{"command_type": "pause", "payload": []}
command_response invalid_params payload.signal 1 C{"command_type": "pause", "payload": {"signal": "kill"}}
command_response invalid_params payload.signal 1 C{"command_type": "signal", "payload": {"signal": "loud"}}
command_response invalid_params payload 1 C{"command_type": "signal"}
command_response invalid_params payload 1 C{"command_type": "custom_action", "payload": {"params": 1}}
command_response invalid_params payload.data 1 C{"command_type": "write_stdin", "payload": {"data": 9}}
command_response invalid_params payload.output 1 C{"command_type": "get_status", "payload": {"output": true}}
command_response agent_not_found - 1 C{"command_type": "kill"}
"#;

/// A row of the table as a message.
fn message(sent: &str) -> Json {
    let Some(rest) = sent.strip_prefix('C') else { return serde_json::from_str(sent).unwrap() };
    let mut message = json!({"type": "control_command", "request_id": "1", "agent_id": "a"});
    let rest: serde_json::Map<String, Json> = serde_json::from_str(rest).unwrap();
    message.as_object_mut().unwrap().extend(rest);
    message
}

#[tokio::test(start_paused = true)]
async fn every_broken_message_is_answered_with_what_was_wrong_where() {
    let mut talk = Talk::start().await;
    for row in BROKEN.trim().lines() {
        let [answered, kind, path, request_id, sent] =
            <[&str; 5]>::try_from(row.splitn(5, ' ').collect::<Vec<_>>()).unwrap();
        talk.send_raw(packed(message(sent))).await;
        let refusal = refusal(&talk.next().await);
        assert_eq!((&*refusal.kind, &*refusal.error.kind), (answered, kind), "{row}");
        let got =
            refusal.error.path.as_deref().map_or("-", |at| if at.is_empty() { "." } else { at });
        assert_eq!(got, path, "{row}: {:?}", refusal.error);
        assert_eq!(refusal.request_id.as_deref().unwrap_or("-"), request_id, "{row}");
        assert!(!refusal.error.message.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_number_is_due_it_is_told_what_kind_was_sent_and_what_is_expected() {
    let mut talk = Talk::start().await;
    for (sent, path, found, expected) in [
        (
            r#"C{"command_type": "stop", "payload": {"grace_secs": "soon"}}"#,
            "payload.grace_secs",
            "a string",
            "a number",
        ),
        (
            r#"C{"command_type": "read_stdout", "payload": {"offset": "x"}}"#,
            "payload.offset",
            "a string",
            "a whole number",
        ),
        (
            r#"C{"command_type": "pause", "payload": {"force": [1]}}"#,
            "payload.force",
            "sequence",
            "a boolean",
        ),
        (
            r#"{"type": "list_agents_request", "request_id": "1", "limit": {}}"#,
            "limit",
            "map",
            "a whole number",
        ),
    ] {
        talk.send_raw(packed(message(sent))).await;
        let error = refusal(&talk.next().await).error;
        assert_eq!(error.path.as_deref(), Some(path), "{error:?}");
        assert!(error.message.contains(found), "{error:?}");
        let told = error.data.get("expected").and_then(Value::as_str).unwrap_or_default();
        assert!(told.starts_with(expected), "{error:?}");
    }
    let with_bytes = Value::from_iter([("data", Value::Bytes(vec![0xff])), ("close", "no".into())]);
    let asked = Value::from_iter([
        ("type", "control_command".into()),
        ("request_id", "1".into()),
        ("agent_id", "a".into()),
        ("command_type", "write_stdin".into()),
        ("payload", with_bytes),
    ]);
    talk.send_raw(rmp_serde::to_vec_named(&asked).unwrap()).await;
    let error = refusal(&talk.next().await).error;
    assert_eq!(error.path.as_deref(), Some("payload.close"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_word_of_many_megabytes_is_not_told_back_whole() {
    let mut talk = Talk::start().await;
    let word = "é".repeat(4 << 20);
    for message in [
        json!({"type": "control_command", "request_id": "1", "agent_id": word, "command_type": "pause"}),
        json!({"type": "control_command", "request_id": "1", "agent_id": "a", "command_type": word}),
        json!({"type": "batch_control_command", "request_id": "1", "agent_ids": word, "command_type": "pause"}),
        json!({"type": "spawn_request", "request_id": "1", "config": {}, word.clone(): 1}),
        json!({"type": "spawn_request", "request_id": "1", "config": {word.clone(): 1}}),
        json!({"type": "custom_action_request", "request_id": "1", "agent_id": "a", "action": word}),
        json!({"type": "output_query_request", "request_id": "1", "agent_id": word}),
    ] {
        talk.send_raw(packed(message)).await;
        let answer = talk.next().await;
        let length = answer.encode().len();
        let refusal = refusal(&answer);
        assert!(length < 32 << 10, "{}: {length} bytes", refusal.kind);
        assert_eq!(refusal.request_id.as_deref(), Some("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_id_that_is_too_long_is_not_repeated() {
    let mut talk = Talk::start().await;
    let asking = |length| json!({"type": "health_check_request", "request_id": "é".repeat(length)});
    talk.send_raw(packed(asking(129))).await;
    let refusal = refusal(&talk.next().await);
    assert_eq!((refusal.error.path.as_deref(), refusal.request_id), (Some("request_id"), None));
    talk.send_raw(packed(asking(128))).await;
    assert_eq!(talk.next().await.request_id().unwrap().chars().count(), 128);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_at_all_is_answered_too() {
    let mut talk = Talk::start().await;
    let whole = packed(json!({"request_id": "1", "type": "spawn_request", "z": 1}));
    let twice = [
        &b"\x83\xa4type\xb4health_check_request"[..],
        b"\xaarequest_id\xa11",
        b"\xaarequest_id\xa12",
    ];
    let cases: [(Bytes, &str, &str, Option<&str>); 7] = [
        (Bytes::new(), "command_response", "parse_error", None),
        (Bytes::from_static(b"\xc1"), "command_response", "parse_error", None),
        (Bytes::from_static(b"GET / HTTP/1.1\r\n"), "command_response", "invalid_request", None),
        (Bytes::from_static(b"\x93\x01\x02\x03"), "command_response", "invalid_request", None),
        (whole.slice(..whole.len() - 1), "spawn_response", "parse_error", Some("1")),
        ([&whole[..], b"\xc0"].concat().into(), "spawn_response", "parse_error", Some("1")),
        (twice.concat().into(), "health_check_response", "invalid_params", Some("2")),
    ];
    for (message, answered, kind, request_id) in cases {
        talk.send_raw(message.clone()).await;
        let refusal = refusal(&talk.next().await);
        assert_eq!((&*refusal.kind, &*refusal.error.kind), (answered, kind), "{message:?}");
        assert_eq!(refusal.request_id.as_deref(), request_id, "{message:?}");
    }
    talk.spawn("it goes on").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_bounds_is_refused_by_name_and_one_at_the_bound_is_read() {
    let mut talk = Talk::start().await;
    talk.spawn("worker").await;
    let most = |length: usize| {
        let payload = CommandPayload {
            action: Some("ping".into()),
            params: Some("x".repeat(length).into()),
            ..CommandPayload::default()
        };
        ZmqMessage::from(command("worker", Command::CustomAction, payload)).encode()
    };
    let around = most(100_000).len() - 100_000;
    let fits = most(MESSAGE_BYTES - around);
    assert_eq!(fits.len(), MESSAGE_BYTES);
    talk.send_raw(fits).await;
    assert!(response(talk.next().await).success);
    talk.send_raw(most(MESSAGE_BYTES - around + 1)).await;
    let over = refusal(&talk.next().await);
    assert_eq!((&*over.kind, &*over.error.kind), ("command_response", "resource_exhausted"));
    assert_eq!(over.error.data.get("max").unwrap().as_u64(), Some(MESSAGE_BYTES as u64));
    let deep = [&b"\x81\xa1a"[..], &[0x91; 300], b"\xc0"].concat();
    talk.send_raw(deep).await;
    let deep = refusal(&talk.next().await);
    assert_eq!(deep.error.data.get("max").unwrap().as_u64(), Some(128));
}
