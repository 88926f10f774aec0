//! Agents: who they are, what they were asked to be, what became of them.

mod exit;
mod id;
mod record;
mod spec;
mod status;

pub use exit::{Exit, ExitReason, signal_name};
pub use id::{AgentId, NotAnAgentId};
pub use record::{AgentRecord, PauseMode};
pub use spec::{AgentLimits, AgentSpec, Backoff, RestartPolicy, RestartWhen, SpecError, StdinMode};
pub use status::{Activity, AgentStatus};
