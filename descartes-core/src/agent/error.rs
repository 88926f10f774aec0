//! Why something could not be done to an agent.

use std::sync::Arc;

use super::{AgentId, AgentStatus, Exit, SpecError};
use crate::dialect::ApprovalMode;
use crate::runner::{ControlError, SpawnError, StdinError};
use crate::store::StoreError;

/// Why something could not be done to an agent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// There is no such agent.
    #[error("there is no agent `{asked}`")]
    NotFound {
        /// What was asked for.
        asked: String,
        /// Names that are close.
        similar: Vec<Arc<str>>,
    },
    /// Several live agents have this name.
    #[error("several live agents are called `{name}`")]
    Ambiguous {
        /// The name.
        name: String,
        /// Which agents.
        ids: Vec<AgentId>,
    },
    /// A live agent has this name, and a unique one was asked for.
    #[error("a live agent is called `{name}` already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Its status does not allow that.
    #[error("the agent is {status}")]
    WrongStatus {
        /// Which agent.
        id: AgentId,
        /// Its status.
        status: AgentStatus,
        /// How its last run ended, when it has.
        exit: Option<Box<Exit>>,
    },
    /// The specification is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There is no such backend, or it cannot be used here.
    #[error("the backend `{name}` is not available: {reason}")]
    Backend {
        /// Which.
        name: String,
        /// Why not.
        reason: Arc<str>,
        /// Which ones there are.
        available: Vec<Arc<str>>,
    },
    /// The approval mode does not mean with this backend what it says.
    #[error("`{backend}` cannot do what the approval mode `{mode}` says", mode = .mode.as_str())]
    ApprovalMode {
        /// Which backend.
        backend: Arc<str>,
        /// Which mode it should have had.
        mode: ApprovalMode,
        /// Those that it has.
        offered: &'static [ApprovalMode],
        /// The parameter that says which.
        path: &'static str,
    },
    /// One cannot converse with it.
    #[error("one cannot converse with this agent")]
    NoTurns {
        /// Which agent.
        id: AgentId,
    },
    /// The program could not be started.
    #[error(transparent)]
    Spawn(Box<SpawnError>),
    /// Not all of the tree could be ended.
    #[error("not all of the agent's processes could be ended: {left}")]
    Kill {
        /// What is left, and why.
        left: Arc<str>,
    },
    /// It could not be paused.
    #[error("the agent could not be paused: {0}")]
    Pause(Arc<str>),
    /// It could not go on.
    #[error("the agent could not be resumed: {0}")]
    Resume(Arc<str>),
    /// Standard input took nothing.
    #[error(transparent)]
    Stdin(#[from] StdinError),
    /// A control that no other variant is about failed.
    #[error(transparent)]
    Control(ControlError),
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
    /// Secret values that the agent needs are no longer there.
    #[error("values of its environment are no longer kept")]
    EnvMissing {
        /// The names of the variables.
        names: Vec<String>,
    },
    /// The store did not take the change, and nothing was done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A regular expression is wrong.
    #[error("`filter` is not a regular expression: {cause}")]
    Filter {
        /// What is wrong with it.
        cause: Arc<str>,
    },
    /// The cursor belongs to another store or to nothing.
    #[error("the cursor belongs to another store")]
    ForeignCursor,
    /// The host is about to stop.
    #[error("the host is about to stop")]
    Draining,
    /// A batch named more agents than it may, or stopped before it came to this one.
    #[error("not begun: an earlier one failed")]
    NotBegun,
    /// The task that worked on it died; the log says more.
    #[error("the work on it ended unexpectedly")]
    Broken,
}

impl From<SpawnError> for AgentError {
    fn from(error: SpawnError) -> Self {
        Self::Spawn(Box::new(error))
    }
}
