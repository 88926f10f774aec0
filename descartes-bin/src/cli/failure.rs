//! Why a command failed, how that is said, and the exit code that says it too.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use descartes_core::store::{BackupError, OpenError};
use descartes_rpc::client::ClientError;
use descartes_rpc::error::ErrorKind;
use serde_json::json;

use crate::config::ConfigError;
use crate::daemon::LockError;
use crate::directories::DirectoryError;
use crate::exit::Code;
use crate::output::Output;

/// How to start a daemon, for those who have none.
pub(super) const START_HINT: &str = "start one with `descartes daemon start`, or run \
                                     `descartes-daemon` in a terminal";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The daemon refused, or could not be reached.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nobody listens.
    #[error("no daemon: {why}")]
    NoDaemon { why: String },
    /// What was typed makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Something on this side failed.
    #[error("could not {what}: {source}")]
    Local { what: String, source: io::Error },
    /// A directory of the daemon cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A daemon has the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Nothing is kept there.
    #[error("there is no store at {}: --data-dir names another data directory", path.display())]
    NoStore { path: PathBuf },
    /// A daemon keeps no log.
    #[error("{0}")]
    NoLog(String),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store cannot be copied.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The result could not be printed.
    #[error("could not print: {0}")]
    Output(#[from] io::Error),
    /// The daemon ended while it was starting.
    #[error("the daemon did not start:\n{log}")]
    Daemon { code: u8, log: String },
    /// Something took longer than it may.
    #[error("{0}")]
    TimedOut(String),
}

impl Failure {
    /// Says what happened and gives the exit code. A reader that has gone away is no failure.
    pub(super) fn report(&self, output: &Output) -> ExitCode {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Code::Done.into();
            }
            Self::Daemon { code, .. } => {
                output.note(format_args!("descartes: {self}"));
                return ExitCode::from(*code);
            }
            _ => self.say(output, None),
        }
        self.code().into()
    }

    /// Says what happened, to `agent` when several were asked for.
    pub(super) fn say(&self, output: &Output, agent: Option<&str>) {
        if output.is_json() {
            output.note(self.to_json(agent));
            return;
        }
        let agent = agent.map_or_else(String::new, |agent| format!("{agent}: "));
        output.note(format_args!("descartes: {agent}{self}"));
        if let Some(hint) = self.hint() {
            output.note(format_args!("  {hint}"));
        }
    }

    fn to_json(&self, agent: Option<&str>) -> serde_json::Value {
        let error = match self {
            Self::Client(error) => match error.rpc() {
                Some(rpc) => {
                    json!({ "code": rpc.code(), "message": rpc.message(), "data": rpc.data() })
                }
                None => {
                    json!({ "message": error.to_string(), "data": { "kind": error.kind().as_str() } })
                }
            },
            other => json!({ "message": other.to_string() }),
        };
        match agent {
            Some(agent) => json!({ "agent_id": agent, "error": error }),
            None => json!({ "error": error }),
        }
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::Client(ClientError::Unreachable { .. }) | Self::NoDaemon { .. } => {
                Some(START_HINT)
            }
            Self::Client(error) => error.rpc()?.hint_text(),
            _ => None,
        }
    }

    /// The exit code.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Client(error) => of_kind(error.kind()),
            Self::NoDaemon { .. } => Code::Unavailable,
            Self::NoStore { .. } => Code::NotFound,
            Self::Usage(_) | Self::Config(_) => Code::Usage,
            Self::Directory(error) => error.code(),
            Self::Lock(LockError::Held { .. }) | Self::Store(OpenError::InUse { .. }) => {
                Code::TryAgain
            }
            Self::Lock(_) => Code::Directory,
            Self::TimedOut(_) => Code::TimedOut,
            Self::Local { .. }
            | Self::NoLog(_)
            | Self::Output(_)
            | Self::Daemon { .. }
            | Self::Store(_)
            | Self::Backup(_) => Code::Failed,
        }
    }
}

/// What may not be seen is not there.
pub(super) fn allowed<T>(result: Result<T, ClientError>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::Forbidden => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn of_kind(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::AgentNotFound | ErrorKind::NotFound | ErrorKind::MethodNotFound => {
            Code::NotFound
        }
        ErrorKind::Conflict => Code::Conflict,
        ErrorKind::Forbidden | ErrorKind::Unauthenticated => Code::NotAllowed,
        ErrorKind::InvalidParams => Code::Usage,
        ErrorKind::ConnectionLost => Code::Unavailable,
        ErrorKind::ResourceExhausted | ErrorKind::Unavailable => Code::TryAgain,
        ErrorKind::Timeout => Code::TimedOut,
        ErrorKind::Cancelled => Code::Cancelled,
        _ => Code::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use descartes_rpc::error::RpcError;

    #[test]
    fn every_kind_of_refusal_has_the_exit_code_of_the_contract() {
        let table = [
            (ErrorKind::AgentNotFound, 3),
            (ErrorKind::NotFound, 3),
            (ErrorKind::Conflict, 4),
            (ErrorKind::Forbidden, 5),
            (ErrorKind::Unauthenticated, 5),
            (ErrorKind::InvalidParams, 2),
            (ErrorKind::ConnectionLost, 69),
            (ErrorKind::Unavailable, 75),
            (ErrorKind::ResourceExhausted, 75),
            (ErrorKind::Timeout, 124),
            (ErrorKind::Cancelled, 130),
            (ErrorKind::SpawnFailed, 1),
            (ErrorKind::Internal, 1),
        ];
        for (kind, code) in table {
            let failure = Failure::from(ClientError::Rpc(RpcError::new(kind, "no")));
            assert_eq!(failure.code() as u8, code, "{kind}");
        }
    }
}
