//! The one place where errors of core become errors of the wire.

mod errno;

use std::sync::Arc;

use descartes_core::agent::{AgentError, AgentId, Exit, SpecError};
use descartes_core::chat::ChatError;
use descartes_core::journal::SubscribeError;
use descartes_core::runner::{ControlError, SpawnError, StdinError};
use descartes_core::store::StoreError;
use descartes_core::{CostReached, StateError};
use serde_json::Value;

use super::encode;
use crate::client::ClientError;
use crate::decode::ParamFault;
use crate::error::{ErrorKind as Kind, RpcError};
use crate::openrpc::API_VERSION;

impl From<ParamFault> for RpcError {
    fn from(fault: ParamFault) -> Self {
        let unknown = fault.member.is_some();
        let mut error = Self::new(Kind::InvalidParams, fault.message)
            .with("path", fault.path)
            .with("api_version", API_VERSION);
        if let Some(expected) = fault.expected {
            error = error.with("expected", expected);
        }
        if let Some(member) = fault.member {
            error = error.with("member", member);
        }
        if !fault.available.is_empty() {
            error = error.with("available", fault.available);
        }
        if unknown {
            error.hint("rpc.discover lists the parameters of every method")
        } else {
            error
        }
    }
}

impl From<SpecError> for RpcError {
    fn from(error: SpecError) -> Self {
        ParamFault::at(&error.path, &error.expected).into()
    }
}

impl From<AgentError> for RpcError {
    fn from(error: AgentError) -> Self {
        let sentence = error.to_string();
        let of = |kind| Self::new(kind, sentence.clone());
        match error {
            AgentError::NotFound { similar, .. } => not_found(of(Kind::AgentNotFound), &similar),
            AgentError::Ambiguous { ids, .. } => of(Kind::Conflict)
                .reason("ambiguous_name")
                .hint("use an identifier")
                .with("agent_ids", ids.iter().map(AgentId::to_string).collect::<Vec<_>>()),
            AgentError::NameTaken { .. } => of(Kind::Conflict).reason("name_taken"),
            AgentError::WrongStatus { id, status, exit } => {
                wrong_status(of(Kind::Conflict), exit.as_deref())
                    .with("agent_id", id.to_string())
                    .with("status", status.as_str())
            }
            AgentError::Spec(error) => error.into(),
            AgentError::Backend { name, reason, available } => of(Kind::NotFound)
                .with("what", "backend")
                .with("name", name)
                .with("cause", reason.as_ref())
                .with("available", names(&available))
                .hint("backend.list says what can be used"),
            AgentError::ApprovalMode { backend, offered, path, .. } => {
                let offered: Vec<_> = offered.iter().map(|mode| mode.as_str()).collect();
                let expected = format!("a mode that `{backend}` has: {}", offered.join(", "));
                Self::from(ParamFault::at(path, &expected)).with("available", offered)
            }
            AgentError::NoTurns { .. } => of(Kind::Other)
                .reason("no_turns")
                .hint("write to its standard input with agent.write_stdin"),
            AgentError::Spawn(error) => (*error).into(),
            AgentError::Kill { left } => of(Kind::KillFailed).with("left", left.as_ref()),
            AgentError::Pause(_) => of(Kind::PauseFailed),
            AgentError::Resume(_) => of(Kind::ResumeFailed),
            AgentError::Stdin(error) => error.into(),
            AgentError::Control(error) => error.into(),
            AgentError::Limit { limit, current, max } => Self::exhausted(limit, current, max),
            AgentError::EnvMissing { names } => {
                of(Kind::Conflict).reason("env_missing").with("names", names)
            }
            AgentError::Store(error) => error.into(),
            AgentError::Filter { .. } => Self::new(Kind::InvalidParams, sentence)
                .with("path", "filter")
                .with("expected", "a regular expression"),
            AgentError::ForeignCursor => cursor_foreign(),
            AgentError::Draining => draining(),
            AgentError::NotBegun => of(Kind::Cancelled),
            other => Self::internal(&other),
        }
    }
}

fn names(names: &[Arc<str>]) -> Value {
    names.iter().map(|name| Value::from(name.as_ref())).collect()
}

fn not_found(error: RpcError, similar: &[Arc<str>]) -> RpcError {
    if similar.is_empty() {
        return error.hint("agent.list with status any shows all agents");
    }
    error.with("similar", names(similar))
}

fn wrong_status(error: RpcError, exit: Option<&Exit>) -> RpcError {
    let error = error.reason("wrong_status");
    match exit.map(|exit| serde_json::to_value(encode::exit(exit))) {
        Some(Ok(exit)) => error.with("exit", exit),
        _ => error,
    }
}

fn cursor_foreign() -> RpcError {
    RpcError::new(Kind::Conflict, "the cursor belongs to another store")
        .reason("cursor_foreign")
        .hint("begin again with after: start")
}

fn draining() -> RpcError {
    RpcError::new(Kind::Unavailable, "the daemon is about to stop").reason("draining")
}

impl From<SpawnError> for RpcError {
    fn from(error: SpawnError) -> Self {
        let number = error.source.raw_os_error();
        let why = errno::sentence(&error.source);
        let told = format!("could not start {:?}: {why}", error.program);
        let refusal = error.source.get_ref().and_then(|source| source.downcast_ref());
        let passes = match refusal {
            Some(ClientError::Rpc(error)) => error.is_retryable(),
            // Whether it was started is not known; what was is ended when the remote answers.
            Some(_) => return Self::new(Kind::ConnectionLost, told).with("program", error.program),
            None => number.is_some_and(errno::passes),
        };
        let mut wire = Self::new(Kind::SpawnFailed, told)
            .retryable(passes)
            .with("program", error.program)
            .with("stage", error.stage.as_str());
        if let Some(number) = number {
            wire = wire.with("errno", number);
            if let Some(name) = errno::name(number) {
                wire = wire.with("errno_name", name);
            }
        }
        if !error.searched.is_empty() {
            let searched = error.searched.iter().map(|path| path.to_string_lossy().into_owned());
            wire = wire.with("searched", searched.collect::<Vec<_>>());
        }
        match error.cwd {
            Some(cwd) => wire.with("cwd", cwd.to_string_lossy().into_owned()),
            None => wire,
        }
    }
}

impl From<StdinError> for RpcError {
    fn from(error: StdinError) -> Self {
        match error {
            StdinError::Full { queued, max } => {
                let number = |bytes| u64::try_from(bytes).unwrap_or(u64::MAX);
                Self::exhausted("limits.stdin_queue_bytes", number(queued), number(max))
                    .hint("the agent has to read first")
            }
            other => Self::new(Kind::Conflict, other.to_string()).reason("closed"),
        }
    }
}

impl From<ControlError> for RpcError {
    fn from(error: ControlError) -> Self {
        let sentence = error.to_string();
        match error {
            ControlError::Ended => Self::new(Kind::Conflict, sentence).reason("wrong_status"),
            ControlError::Stdin(error) => error.into(),
            ControlError::ConnectionLost(_) => Self::new(Kind::ConnectionLost, sentence),
            _ => Self::new(Kind::Other, sentence),
        }
    }
}

impl From<StoreError> for RpcError {
    fn from(error: StoreError) -> Self {
        let sentence = error.to_string();
        let of = |kind| Self::new(kind, sentence.clone());
        match error {
            StoreError::Conflict { actual, .. } => {
                of(Kind::Conflict).reason("version_mismatch").with("version", actual.unwrap_or(0))
            }
            StoreError::Full { .. } => of(Kind::StateError)
                .reason("storage_full")
                .hint("free some space; the daemon goes on by itself"),
            StoreError::Unavailable { .. } => of(Kind::StateError).reason("degraded"),
            StoreError::Corrupt { .. } => of(Kind::StateError).reason("corrupt").retryable(false),
            StoreError::Closed => draining(),
            other => Self::internal(&other),
        }
    }
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        let sentence = error.to_string();
        match error {
            StateError::Agent(error) => error.into(),
            StateError::Version { actual, .. } => Self::new(Kind::Conflict, sentence)
                .reason("version_mismatch")
                .with("version", actual.unwrap_or(0)),
            StateError::Limit { limit, current, max } => Self::exhausted(limit, current, max),
            StateError::Store(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<ChatError> for RpcError {
    fn from(error: ChatError) -> Self {
        let sentence = error.to_string();
        let of = |kind| Self::new(kind, sentence.clone());
        match error {
            ChatError::NotFound { .. } => of(Kind::NotFound)
                .with("what", "chat")
                .hint("chat.list with include_closed shows all chats"),
            ChatError::NoApproval { .. } => of(Kind::NotFound).with("what", "approval"),
            ChatError::Closed { id } => {
                of(Kind::Conflict).reason("closed").with("session_id", id.to_string())
            }
            ChatError::Refused { by, rule } => {
                of(Kind::Forbidden).with("required", rule.as_ref()).with("principal", by.as_ref())
            }
            ChatError::Busy { turn, status } => of(Kind::Conflict)
                .reason("busy")
                .with("turn", turn)
                .with("status", status.as_str())
                .hint("wait for the turn, or prompt with when_busy queue or interrupt"),
            ChatError::AlreadyDecided { status, by, .. } => {
                let error =
                    of(Kind::Conflict).reason("already_decided").with("status", status.as_str());
                match by {
                    Some(by) => error.with("decided_by", by.as_ref()),
                    None => error,
                }
            }
            ChatError::DigestMismatch { digest } => of(Kind::Conflict)
                .reason("digest_mismatch")
                .with("digest", digest.as_ref())
                .hint("look at the approval again before you decide"),
            ChatError::Decision { path, expected } => ParamFault::at(path, &expected).into(),
            ChatError::NoTurns { backend } => of(Kind::InvalidParams)
                .with("path", "backend")
                .with("expected", "a backend that has turns")
                .with("backend", backend.as_ref())
                .hint("backend.list shows the capability `turns`"),
            ChatError::Limit { limit, current, max } => Self::exhausted(limit, current, max),
            ChatError::Cost(reached) => reached.into(),
            ChatError::Spec(error) => error.into(),
            ChatError::Agent(error) => error.into(),
            ChatError::Store(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<CostReached> for RpcError {
    fn from(reached: CostReached) -> Self {
        let CostReached { spent, most, retry_after, .. } = reached;
        let wait = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        Self::exhausted("limits.cost_usd_per_day", spent, most)
            .with("retry_after_ms", wait.max(1))
            .hint("wait until enough of it is a day old, or have the limit raised")
    }
}

impl From<SubscribeError> for RpcError {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Foreign => cursor_foreign(),
            SubscribeError::NotACursor(_) => ParamFault::at("after", "a cursor").into(),
            SubscribeError::Store(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use descartes_core::runner::SpawnStage;

    use super::*;

    #[test]
    fn a_failed_start_says_which_program_and_why() {
        let source = io::Error::from_raw_os_error(2);
        let error = RpcError::from(SpawnError::new("nosuch", SpawnStage::Lookup, source));
        assert_eq!(error.kind(), Kind::SpawnFailed);
        assert_eq!(error.detail("errno").unwrap(), 2);
        assert_eq!(error.detail("errno_name").unwrap(), "ENOENT");
        assert_eq!(error.detail("stage").unwrap(), "lookup");
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_wrong_parameter_says_where_and_which_interface_this_is() {
        let error = RpcError::from(SpecError::new("config.cwd", "an absolute path"));
        assert_eq!(error.kind(), Kind::InvalidParams);
        assert_eq!(error.detail("path").unwrap(), "config.cwd");
        assert_eq!(error.detail("api_version").unwrap(), API_VERSION);
    }

    #[test]
    fn a_full_queue_can_be_tried_again_and_a_closed_one_cannot() {
        assert!(RpcError::from(StdinError::Full { queued: 9, max: 9 }).is_retryable());
        let closed = RpcError::from(StdinError::Closed);
        assert_eq!((closed.kind(), closed.reason_text()), (Kind::Conflict, Some("closed")));
        assert!(!closed.is_retryable());
    }
}
