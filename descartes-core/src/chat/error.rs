//! Why something could not be done in a chat.

use std::sync::Arc;

use super::{ChatId, ChatStatus};
use crate::agent::{AgentError, SpecError};
use crate::approval::{ApprovalId, ApprovalStatus};
use crate::cost::CostReached;
use crate::store::StoreError;

/// Why something could not be done in a chat.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// There is no such chat.
    #[error("there is no chat `{asked}`")]
    NotFound {
        /// What was asked for.
        asked: String,
    },
    /// There is no such approval.
    #[error("there is no approval `{asked}`")]
    NoApproval {
        /// What was asked for.
        asked: String,
    },
    /// It is closed.
    #[error("the chat is closed")]
    Closed {
        /// Which.
        id: ChatId,
    },
    /// The host's [`ChatManager`](super::ChatManager) does not do that.
    #[error("refused: {rule}")]
    Refused {
        /// Who asked.
        by: Arc<str>,
        /// Why not.
        rule: Arc<str>,
    },
    /// A turn is under way, and the prompt was not to wait.
    #[error("turn {turn} is under way")]
    Busy {
        /// Which turn.
        turn: u32,
        /// What the chat does.
        status: ChatStatus,
    },
    /// Somebody else decided first.
    #[error("it was decided already: {status:?}", status = .status.as_str())]
    AlreadyDecided {
        /// Which approval.
        id: ApprovalId,
        /// What became of it.
        status: ApprovalStatus,
        /// Who decided.
        by: Option<Arc<str>>,
    },
    /// What would be decided is not what the decider saw.
    #[error("the approval is about something else than was expected")]
    DigestMismatch {
        /// What it is about.
        digest: Arc<str>,
    },
    /// The decision is none that can be made of this approval.
    #[error("`{path}`: expected {expected}")]
    Decision {
        /// Which parameter.
        path: &'static str,
        /// What it should have been.
        expected: Arc<str>,
    },
    /// The backend has no turns.
    #[error("the backend `{backend}` has no turns")]
    NoTurns {
        /// Which.
        backend: Arc<str>,
    },
    /// A bound was reached.
    #[error("{limit} is {max}, and {current} are there")]
    Limit {
        /// The configuration key.
        limit: &'static str,
        /// How many there are.
        current: u64,
        /// How many there may be.
        max: u64,
    },
    /// Its owner's agents have cost what they may.
    #[error(transparent)]
    Cost(#[from] CostReached),
    /// The prompt cannot be given to an agent.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Something was wrong with its agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
