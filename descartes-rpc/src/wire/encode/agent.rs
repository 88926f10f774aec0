//! Agents as the wire shows them.

use descartes_core::agent as core;
use descartes_core::time::Timestamp;

use crate::wire::agent::{Agent, AgentStatus, Exit, ExitReason};
use crate::wire::config::{AgentConfig, LimitsConfig, RestartConfig, RestartPolicy, StdinMode};

/// A moment as text.
pub(crate) fn stamp(at: Timestamp) -> String {
    at.to_string()
}

/// The status with the same word.
pub(crate) fn status(status: core::AgentStatus) -> AgentStatus {
    AgentStatus::from_word(status.as_str())
}

/// How a run ended.
pub(crate) fn exit(exit: &core::Exit) -> Exit {
    Exit {
        code: exit.code,
        signal: exit.signal.map(|signal| core::signal_name(signal).into_owned()),
        reason: ExitReason::from_word(exit.reason.as_str()),
        by: exit.by.as_deref().map(str::to_owned),
        at: stamp(exit.at),
        stderr_tail: String::from_utf8_lossy(&exit.stderr_tail).into_owned(),
        forced: exit.forced,
        swept: exit.swept,
    }
}

/// An agent as lists show it.
pub(crate) fn entry(record: &core::AgentRecord, child_count: u32) -> Agent {
    Agent {
        id: record.id.to_string(),
        name: record.name.as_ref().to_owned(),
        agent_type: record.backend.as_ref().to_owned(),
        status: status(record.status),
        activity: record.activity.map(|activity| activity.as_str().to_owned()),
        run: record.run,
        pid: record.pid,
        created_at: stamp(record.created_at),
        updated_at: stamp(record.updated_at),
        ended_at: record.ended_at.map(stamp),
        owner: record.owner.as_ref().to_owned(),
        parent_agent_id: record.spec.parent.map(|parent| parent.to_string()),
        child_count,
        session_id: None,
        labels: record.spec.labels.clone(),
        restart: restart(record.spec.restart),
        exit: record.exit.as_ref().map(exit),
        config: config(&record.spec),
    }
}

fn config(spec: &core::AgentSpec) -> AgentConfig {
    let words = |words: &Vec<String>| (!words.is_empty()).then(|| words.clone());
    AgentConfig {
        task: spec.task.clone(),
        command: words(&spec.command),
        args: words(&spec.args),
        env: (!spec.env.is_empty()).then(|| spec.env.keys().cloned().collect()),
        cwd: spec.cwd.as_ref().map(|cwd| cwd.to_string_lossy().into_owned()),
        stdin: match spec.stdin {
            core::StdinMode::Open => None,
            core::StdinMode::Closed => Some(StdinMode::Closed),
        },
        restart: restart(spec.restart),
        limits: limits(spec.limits),
        model: spec.chat.model.as_deref().map(str::to_owned),
        system_prompt: spec.chat.system_prompt.as_deref().map(str::to_owned),
        approvals: spec.chat.approvals.map(super::chat::mode),
    }
}

fn restart(policy: core::RestartPolicy) -> Option<RestartConfig> {
    let when = match policy.when {
        core::RestartWhen::Never => return None,
        core::RestartWhen::OnFailure => RestartPolicy::OnFailure,
        core::RestartWhen::Always => RestartPolicy::Always,
    };
    Some(RestartConfig {
        policy: when,
        max_restarts: Some(policy.max_restarts),
        window_secs: Some(policy.window.as_secs()),
    })
}

fn limits(limits: core::AgentLimits) -> Option<LimitsConfig> {
    let shown =
        LimitsConfig { wall_secs: limits.wall.map(Into::into), output_bytes: limits.output_bytes };
    (shown != LimitsConfig::default()).then_some(shown)
}
