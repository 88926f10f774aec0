//! Every message as bytes: those that we write are read by others, those that others write by us.
//!
//! `golden/protocol/*.hex` is what this encoder writes, `golden/protocol/python/*.hex` what Python's
//! `msgpack` writes for the same values (`tests/interop/zmq_protocol.py`), which holds both against
//! values of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use descartes_rpc::error::{ErrorKind, RpcError};
use descartes_rpc::wire::agent::Agent;
use descartes_rpc::wire::output::Stream;
use proptest::prelude::*;

use super::*;
use crate::protocol::{
    BatchAgentResult, BatchControlCommand, BatchControlResponse, CustomActionRequest,
    HealthCheckRequest, HealthCheckResponse, ListAgentsRequest, ListAgentsResponse,
    OutputQueryRequest, OutputQueryResponse, ProtocolError, SpawnResponse, UpdateType,
    ZmqOutputStream,
};

const ID: &str = "0194c8e0-7a00-7000-8000-0123456789ab";
const AT: &str = "2026-11-21T08:00:00.000Z";
const CURSOR: &str = "00c0ffee.1.42";

fn agent() -> Agent {
    let agent = json!({
        "id": ID, "name": "worker", "agent_type": "process", "status": "running", "run": 1,
        "pid": 4711, "created_at": AT, "updated_at": AT, "owner": "local", "child_count": 0,
        "labels": {"team": "blue"}, "config": {"command": ["/bin/cat"]},
    });
    serde_json::from_value(agent).unwrap()
}

fn error() -> ProtocolError {
    let error = RpcError::new(ErrorKind::InvalidParams, "payload.signal: unknown variant");
    (&error.with("path", "payload.signal")).into()
}

fn request(command_type: Command, payload: CommandPayload) -> ZmqMessage {
    let mut command = command("worker", command_type, payload);
    command.request_id = "r-1".into();
    command.into()
}

fn told(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn commands() -> Vec<(String, ZmqMessage)> {
    let nothing = CommandPayload::default;
    let payload = |command| match command {
        Command::Pause => CommandPayload { force: Some(true), ..nothing() },
        Command::Stop => CommandPayload { grace_secs: Some(5.into()), ..nothing() },
        Command::WriteStdin => {
            CommandPayload { data: Some(b"\x00\xffhi\n".to_vec()), close: Some(false), ..nothing() }
        }
        Command::ReadStdout => {
            CommandPayload { offset: Some(-10), limit: Some(10), wait_ms: Some(500), ..nothing() }
        }
        Command::ReadStderr => CommandPayload { tail: Some(20), ..nothing() },
        Command::GetStatus => {
            CommandPayload { follow: Some(true), output: Some(true), ..nothing() }
        }
        Command::Signal => CommandPayload { signal: told("interrupt"), ..nothing() },
        Command::CustomAction => CommandPayload {
            action: told("analyze"),
            params: Some(object(json!({"depth": 2, "ratio": 0.5, "names": ["a", null, true]}))),
            timeout_secs: Some(300.into()),
            ..nothing()
        },
        Command::QueryOutput => CommandPayload {
            filter: told("ERROR|é"),
            stream: Some(ZmqOutputStream::Stderr),
            ..nothing()
        },
        Command::StreamLogs => {
            CommandPayload { stream: Some(ZmqOutputStream::Both), after: told(CURSOR), ..nothing() }
        }
        _ => nothing(),
    };
    let named = |command: &Command| {
        (format!("control_command-{command}"), request(*command, payload(*command)))
    };
    Command::ALL.iter().map(named).collect()
}

fn requests() -> Vec<(&'static str, ZmqMessage)> {
    let request_id = || "r-1".to_owned();
    let config = json!({
        "name": "worker", "agent_type": "process", "config": {"command": ["/bin/cat"]},
    });
    let spawn = SpawnRequest {
        request_id: request_id(),
        config: config.into(),
        timeout_secs: Some(30.into()),
        metadata: Some([("team".to_owned(), "blue".to_owned())].into()),
    };
    let flat = json!({"name": "worker", "model_backend": "basic", "task": "go", "model": null});
    let flat =
        SpawnRequest { request_id: request_id(), config: flat.into(), ..SpawnRequest::default() };
    let list = ListAgentsRequest {
        request_id: request_id(),
        filter_status: Some("running".to_owned().into()),
        limit: Some(50),
        page_token: None,
    };
    let action = CustomActionRequest {
        request_id: request_id(),
        agent_id: "worker".into(),
        action: "analyze".into(),
        params: Some(object(json!({"depth": 2}))),
        timeout_secs: Some(Duration::from_millis(2500).into()),
        idempotency_key: told("k-1"),
    };
    let batch = BatchControlCommand {
        request_id: request_id(),
        agent_ids: vec![ID.into(), "worker".into()],
        command_type: Command::Pause,
        payload: None,
        fail_fast: true,
        idempotency_key: None,
    };
    let query = OutputQueryRequest {
        request_id: request_id(),
        agent_id: "worker".into(),
        stream: ZmqOutputStream::Both,
        filter: told("ERROR"),
        limit: Some(50),
        offset: Some(100),
    };
    vec![
        ("spawn_request", spawn.into()),
        ("spawn_request-flat", flat.into()),
        ("list_agents_request", list.into()),
        ("health_check_request", HealthCheckRequest { request_id: request_id() }.into()),
        ("custom_action_request", action.into()),
        ("batch_control_command", batch.into()),
        ("output_query_request", query.into()),
    ]
}

fn answered() -> Vec<(&'static str, ZmqMessage)> {
    let request_id = || told("r-1");
    let spawned = SpawnResponse {
        request_id: request_id(),
        success: true,
        agent_info: Some(Box::new(agent())),
        agent_id: told(ID),
        cursor: told(CURSOR),
        server_id: told("00c0ffee"),
        error: None,
    };
    let bytes = Value::from_iter([
        ("data", Value::Bytes(b"\x00\xff\n".to_vec())),
        ("total", Value::Unsigned(1)),
    ]);
    let done = CommandResponse {
        request_id: request_id(),
        agent_id: told("worker"),
        success: true,
        status: Some(agent().status),
        data: Some(bytes),
        error: None,
    };
    let failed = CommandResponse { error: Some(error()), ..CommandResponse::default() };
    vec![
        ("spawn_response", spawned.into()),
        ("command_response", done.into()),
        ("command_response-failed", failed.into()),
    ]
}

fn responses() -> Vec<(&'static str, ZmqMessage)> {
    let request_id = || told("r-1");
    let list = ListAgentsResponse {
        request_id: request_id(),
        success: true,
        agents: vec![agent()],
        total: Some(2),
        next_page_token: told(ID),
        cursor: told(CURSOR),
        error: None,
    };
    let health = HealthCheckResponse {
        request_id: request_id(),
        healthy: true,
        protocol_version: "1.0".into(),
        uptime_secs: Some(86_400),
        active_agents: Some(3),
        metadata: Some(object(json!({"status": "healthy", "reasons": []}))),
        error: None,
    };
    let result = |success: bool| BatchAgentResult {
        agent_id: "worker".into(),
        success,
        status: success.then(|| agent().status),
        error: (!success).then(error),
    };
    let batch = BatchControlResponse {
        request_id: request_id(),
        success: false,
        results: vec![result(true), result(false)],
        successful: 1,
        failed: 1,
        error: None,
    };
    let query = OutputQueryResponse {
        request_id: request_id(),
        agent_id: told("worker"),
        success: true,
        lines: vec!["ERROR é".into()],
        total_lines: Some(70_000),
        has_more: true,
        error: None,
    };
    vec![
        ("list_agents_response", list.into()),
        ("health_check_response", health.into()),
        ("batch_control_response", batch.into()),
        ("output_query_response", query.into()),
    ]
}

fn followed() -> Vec<(&'static str, ZmqMessage)> {
    let update = StatusUpdate {
        request_id: told("r-1"),
        agent_id: ID.into(),
        update_type: UpdateType::Completed,
        status: Some(agent().status),
        message: told("ended with code 0 (exited)"),
        data: Some(object(json!({"run": 1}))),
        timestamp: AT.into(),
        cursor: told(CURSOR),
        ended: told("agent_ended"),
    };
    let log = LogStream {
        request_id: told("r-1"),
        agent_id: ID.into(),
        stream_type: Some(Stream::Stdout),
        data: b"half a l\xc3".to_vec(),
        timestamp: AT.into(),
        sequence: 7,
        cursor: told(CURSOR),
        byte_offset: Some(4_294_967_296),
        ended: None,
    };
    vec![("status_update", update.into()), ("log_stream", log.into())]
}

fn examples() -> Vec<(String, ZmqMessage)> {
    let named = |(name, message): (&str, ZmqMessage)| (name.to_owned(), message);
    let all = [requests(), answered(), responses(), followed()];
    all.into_iter().flatten().map(named).chain(commands()).collect()
}

fn folder(inner: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/protocol").join(inner)
}

/// Hexadecimal text, 32 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn every_message_has_an_example_that_comes_back_as_it_was() {
    let examples = examples();
    for kind in ZmqMessage::TYPES {
        assert!(examples.iter().any(|(_, message)| message.kind() == *kind), "{kind}");
    }
    for (name, message) in examples {
        assert_eq!(ZmqMessage::decode(&message.encode()).unwrap(), message, "{name}");
    }
}

#[test]
fn the_bytes_of_every_message_change_only_on_purpose() {
    for (name, message) in examples() {
        let (path, now) = (folder("").join(format!("{name}.hex")), hex(&message.encode()));
        if std::env::var_os("DESCARTES_BLESS").is_some() {
            std::fs::create_dir_all(folder("")).unwrap();
            std::fs::write(&path, &now).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            golden, now,
            "{name}: within version 1 nothing may be removed or renamed. If the change is meant: \
             DESCARTES_BLESS=1 cargo test -p descartes-transport-zmq golden"
        );
    }
}

#[test]
fn what_python_writes_is_read_as_the_same_message() {
    for (name, message) in examples() {
        let path = folder("python").join(format!("{name}.hex"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{name}: {error}; python3 tests/interop/zmq_protocol.py write writes it")
        });
        assert_eq!(ZmqMessage::decode(&unhex(&text)).unwrap(), message, "{name}");
    }
}

#[test]
fn a_member_of_a_later_daemon_is_ignored_and_one_of_a_later_client_is_not() {
    for (name, message) in examples() {
        let Value::Map(mut members) = rmp_serde::from_slice(&message.encode()).unwrap() else {
            panic!("a map");
        };
        members.insert("of_tomorrow".to_owned(), Value::Bool(true));
        let bytes = rmp_serde::to_vec_named(&Value::Map(members)).unwrap();
        let read = ZmqMessage::decode(&bytes);
        if message.kind().contains("request")
            || message.kind().contains("command") && message.kind() != "command_response"
        {
            assert_eq!(read.unwrap_err().member.as_deref(), Some("of_tomorrow"), "{name}");
        } else {
            assert_eq!(read.unwrap(), message, "{name}");
        }
    }
}

proptest! {
    #[test]
    fn a_message_with_some_bytes_changed_is_read_or_refused(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let examples = examples();
        let mut bytes = which.get(&examples).1.encode().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(message) = ZmqMessage::decode(&bytes) {
            let again = message.encode();
            // A number that is none is not even equal to itself.
            if !format!("{message:?}").contains("NaN") {
                prop_assert_eq!(ZmqMessage::decode(&again).unwrap(), message);
            }
        }
    }
}
