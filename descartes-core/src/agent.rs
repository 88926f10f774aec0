//! Agents: who they are, what they were asked to be, what became of them.

mod error;
mod exit;
mod id;
mod reach;
mod record;
pub(crate) mod registry;
mod restart;
mod spec;
mod status;
pub(crate) mod supervisor;

use tracing::Span;

pub use error::AgentError;
pub use exit::{Exit, ExitReason, signal_name};
pub use id::{AgentId, NotAnAgentId};
pub use reach::Reach;
pub use record::{AgentRecord, PauseMode};
pub use registry::{AgentFilter, AgentPage, AgentView, PageRequest, StatusFilter, Want};
pub use spec::{AgentLimits, AgentSpec, Backoff, RestartPolicy, RestartWhen, SpecError, StdinMode};
pub use status::{Activity, AgentStatus};

/// What is logged in it is of the agent. It belongs to no call: an agent outlives the one that began
/// it.
pub(crate) fn span_of(id: AgentId) -> Span {
    tracing::error_span!(parent: None, "agent", agent_id = %id)
}
