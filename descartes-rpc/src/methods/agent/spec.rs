//! From the parameters of `agent.spawn` to a specification of core.

use std::time::Duration;

use descartes_core::agent::{AgentSpec, RestartPolicy, RestartWhen, StdinMode, Want};

use crate::auth::ceiling;
use crate::error::RpcError;
use crate::router::Call;
use crate::wire::agent::SpawnParams;
use crate::wire::config::{LimitsConfig, RestartConfig, RestartPolicy as When, StdinMode as Stdin};

/// What core is asked for. Core checks the values; here only names change.
pub(super) fn spec(call: &Call, params: SpawnParams) -> Result<AgentSpec, RpcError> {
    let descartes = call.descartes();
    let config = params.config.unwrap_or_default();
    let parent = config.parent_agent_id.map(|asked| call.agent(&asked, Want::Any)).transpose()?;
    let mut spec = AgentSpec::default();
    spec.name = params.name;
    spec.backend = params.agent_type;
    spec.unique_name = params.unique_name.unwrap_or(false);
    spec.command = config.command.map(|command| command.0).unwrap_or_default();
    spec.args = config.args.unwrap_or_default();
    spec.env = config.env.unwrap_or_default();
    spec.cwd = config.cwd.map(Into::into);
    spec.task = config.task;
    spec.stdin = match config.stdin {
        Some(Stdin::Closed) => StdinMode::Closed,
        Some(Stdin::Open) | None => StdinMode::Open,
    };
    spec.restart = config.restart.as_ref().map(restart).unwrap_or_default();
    let LimitsConfig { wall_secs, output_bytes } = config.limits.unwrap_or_default();
    spec.limits.wall = wall_secs.map(|secs| secs.duration());
    spec.limits.output_bytes = output_bytes;
    spec.chat.model = config.model.map(Into::into);
    spec.chat.system_prompt = config.system_prompt.map(Into::into);
    let approvals = config.approvals.map(crate::methods::chat::mode);
    spec.chat.approvals = ceiling(&call.cx.principal, approvals, descartes)
        .map_err(|error| call.denied(None, error))?;
    spec.chat.record = config.record.map(Into::into);
    spec.labels = config.labels.unwrap_or_default();
    // What an agent begins is below it.
    spec.parent = parent.or(call.cx.principal.agent());
    Ok(spec)
}

fn restart(config: &RestartConfig) -> RestartPolicy {
    let mut policy = RestartPolicy::default();
    policy.when = match config.policy {
        When::Never => RestartWhen::Never,
        When::OnFailure => RestartWhen::OnFailure,
        When::Always => RestartWhen::Always,
    };
    policy.max_restarts = config.max_restarts.unwrap_or(policy.max_restarts);
    policy.window = config.window_secs.map_or(policy.window, Duration::from_secs);
    policy
}
