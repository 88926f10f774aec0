//! Commands: which method each stands for, and which members of a payload it takes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use descartes_rpc::decode::ParamFault;
use serde_json::Value as Json;

use super::caller::Members;
use super::wire::{CommandPayload, ControlCommandType as Command};

/// What a command stands for.
pub(super) struct Row {
    /// The method.
    pub(super) method: &'static str,
    /// What is always said to it.
    pub(super) fixed: Option<(&'static str, Fixed)>,
    /// The members of a payload that it takes, under the method's own names.
    pub(super) takes: &'static [&'static str],
    /// Whether it changes something, so that it takes an idempotency key.
    pub(super) mutating: bool,
    /// The command of `agent.batch`, if there is one.
    pub(super) batch: Option<&'static str>,
}

/// A parameter that is always the same.
#[derive(Clone, Copy)]
pub(super) enum Fixed {
    Text(&'static str),
    True,
}

const READS: &[&str] = &["offset", "limit", "tail", "after", "wait_ms"];

const fn acts(method: &'static str, takes: &'static [&'static str]) -> Row {
    Row { method, fixed: None, takes, mutating: true, batch: None }
}

const fn reads(method: &'static str, takes: &'static [&'static str]) -> Row {
    Row { method, fixed: None, takes, mutating: false, batch: None }
}

/// The row of a command.
pub(super) const fn row(command: Command) -> Row {
    match command {
        Command::Pause => Row { batch: Some("pause"), ..acts("agent.pause", &["force"]) },
        Command::Resume => Row { batch: Some("resume"), ..acts("agent.resume", &[]) },
        Command::Stop => Row { batch: Some("stop"), ..acts("agent.stop", &["grace_secs"]) },
        Command::Kill => Row {
            fixed: Some(("force", Fixed::True)),
            batch: Some("kill"),
            ..acts("agent.kill", &[])
        },
        Command::Signal => Row { batch: Some("signal"), ..acts("agent.signal", &["signal"]) },
        Command::WriteStdin => Row {
            batch: Some("write_stdin"),
            ..acts("agent.write_stdin", &["text", "data", "close"])
        },
        Command::CustomAction => acts("agent.action", &["action", "params", "timeout_secs"]),
        Command::ReadStdout => {
            Row { fixed: Some(("stream", Fixed::Text("stdout"))), ..reads("agent.logs", READS) }
        }
        Command::ReadStderr => {
            Row { fixed: Some(("stream", Fixed::Text("stderr"))), ..reads("agent.logs", READS) }
        }
        Command::QueryOutput => reads("agent.output", &["stream", "filter", "limit", "offset"]),
        Command::GetStatus => Row {
            batch: Some("status"),
            ..reads("agent.get", &["follow", "output", "unsubscribe"])
        },
        Command::StreamLogs => {
            reads("event.subscribe", &["stream", "after", "tail", "unsubscribe"])
        }
    }
}

/// The members of a payload that a batch takes.
pub(super) const BATCH_TAKES: &[&str] = &["signal", "text", "data"];

/// The members that were given, under the names of the methods; those that are not in `takes` are
/// refused.
pub(super) fn members(
    payload: Option<CommandPayload>,
    takes: &'static [&'static str],
) -> Result<Members, ParamFault> {
    let mut members = Members::new();
    let Some(mut payload) = payload else { return Ok(members) };
    if let Some(bytes) = payload.data.take() {
        members.insert("data".to_owned(), STANDARD.encode(bytes).into());
    }
    if let Some(params) = payload.params.take() {
        let json = params.into_json().map_err(|fault| below("payload.params", fault))?;
        members.insert("params".to_owned(), json);
    }
    // What is left is small, and is called as the methods call it.
    if let Ok(Json::Object(rest)) = serde_json::to_value(&payload) {
        members.extend(rest);
    }
    let foreign = members.keys().find(|name| !takes.contains(&name.as_str()));
    match foreign {
        None => Ok(members),
        Some(name) => {
            let mut fault = ParamFault::at(&format!("payload.{name}"), "nothing");
            fault.message = format!("payload.{name}: this command does not take it");
            fault.available = takes.iter().map(|&name| name.to_owned()).collect();
            Err(fault)
        }
    }
}

/// A fault inside of `outer`.
pub(super) fn below(outer: &str, mut fault: ParamFault) -> ParamFault {
    let dot = if fault.path.is_empty() || fault.path.starts_with('[') { "" } else { "." };
    fault.path = format!("{outer}{dot}{}", fault.path);
    fault.message =
        format!("{}: expected {}", fault.path, fault.expected.as_deref().unwrap_or("JSON"));
    fault
}

impl Fixed {
    pub(super) fn json(self) -> Json {
        match self {
            Self::Text(text) => text.into(),
            Self::True => true.into(),
        }
    }
}

/// Where in a command the parameter at `path` was given.
pub(super) fn sent_path(path: &str) -> String {
    let head = path.split(['.', '[']).next().unwrap_or_default();
    match head {
        // The agent is always given; what else is missing was looked for in the payload.
        "" => "payload".to_owned(),
        "agent_id" | "agent_ids" | "idempotency_key" => path.to_owned(),
        _ => format!("payload.{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Value;

    #[test]
    fn a_command_takes_its_own_members_and_no_others() {
        let full = CommandPayload {
            grace_secs: Some(1.into()),
            force: Some(true),
            data: Some(vec![0xff]),
            text: Some("t".into()),
            close: Some(true),
            signal: Some("interrupt".into()),
            offset: Some(1),
            limit: Some(2),
            tail: Some(3),
            after: Some("c".into()),
            wait_ms: Some(4),
            stream: Some(crate::protocol::ZmqOutputStream::Both),
            filter: Some("x".into()),
            follow: Some(true),
            output: Some(true),
            unsubscribe: Some("s".into()),
            action: Some("echo".into()),
            params: Some(Value::Null),
            timeout_secs: Some(5.into()),
        };
        let all: Vec<_> = Command::ALL.iter().map(|command| row(*command).takes).collect();
        for takes in all {
            let refused = members(Some(full.clone()), takes).unwrap_err();
            let name = refused.path.strip_prefix("payload.").unwrap().to_owned();
            assert!(!takes.contains(&&*name), "{name}");
        }
        for name in members(Some(full), ALL_MEMBERS).unwrap().keys() {
            let taken = Command::ALL.iter().any(|command| row(*command).takes.contains(&&**name));
            assert!(taken, "no command takes {name}");
        }
    }

    const ALL_MEMBERS: &[&str] = &[
        "grace_secs",
        "force",
        "data",
        "text",
        "close",
        "signal",
        "offset",
        "limit",
        "tail",
        "after",
        "wait_ms",
        "stream",
        "filter",
        "follow",
        "output",
        "unsubscribe",
        "action",
        "params",
        "timeout_secs",
    ];

    #[test]
    fn bytes_in_the_parameters_of_an_action_are_refused_with_their_place() {
        let params = Value::from_iter([("a", Value::Bytes(vec![1]))]);
        let payload = CommandPayload { params: Some(params), ..CommandPayload::default() };
        let refused = members(Some(payload), &["params"]).unwrap_err();
        assert_eq!(refused.path, "payload.params.a");
    }
}
