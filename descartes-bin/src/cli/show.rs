//! Commands that only look: `ps`, `get`, `backends`, `health`, `call`, `version`.

use std::process::ExitCode;

use descartes_rpc::client::{Client, ClientError};
use descartes_rpc::decode::guard::OneOrMany;
use descartes_rpc::wire::agent::{
    Agent, AgentDetails, AgentParams, AgentStatus, Exit, ListParams, StatusFilter,
};
use descartes_rpc::wire::backend::BackendsParams;
use descartes_rpc::wire::system::{HealthStatus, NoParams};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde_json::value::RawValue;

use super::arguments::Ps;
use super::failure::Failure;
use super::reach::Reach;
use super::which;
use crate::exit::Code;
use crate::output::{Output, Table};

pub(super) async fn ps(client: &Client, asked: Ps, output: &Output) -> Result<ExitCode, Failure> {
    let params = ListParams {
        status: statuses(&asked)?,
        labels: (!asked.labels.is_empty()).then(|| asked.labels.into_iter().collect()),
        agent_type: asked.backend,
        ..ListParams::default()
    };
    let mut agents = Vec::new();
    which::each(client, params, |agent| agents.push(agent)).await?;
    if output.is_json() {
        agents.iter().try_for_each(|agent| output.json(agent))?;
    } else if asked.quiet {
        agents.iter().try_for_each(|agent| output.line(&agent.id))?;
    } else {
        output.table(&table(&agents))?;
    }
    Ok(Code::Done.into())
}

fn statuses(asked: &Ps) -> Result<Option<OneOrMany<StatusFilter>>, Failure> {
    if asked.all {
        return Ok(Some(StatusFilter::Any.into()));
    }
    let word = |text: &String| {
        let word: StrDeserializer<'_, WordError> = text.as_str().into_deserializer();
        StatusFilter::deserialize(word)
            .map_err(|error| Failure::Usage(format!("--status {text}: {error}")))
    };
    let all: Vec<_> = asked.status.iter().map(word).collect::<Result<_, _>>()?;
    Ok((!all.is_empty()).then_some(OneOrMany(all)))
}

fn table(agents: &[Agent]) -> Table {
    let mut table = Table::new(["ID", "NAME", "TYPE", "STATUS", "RUN", "PID", "AGE", "EXIT"]);
    let now = jiff::Timestamp::now();
    for agent in agents {
        table.row([
            which::short(&agent.id).to_owned(),
            agent.name.clone(),
            agent.agent_type.clone(),
            agent.status.to_string(),
            agent.run.to_string(),
            agent.pid.map_or_else(String::new, |pid| pid.to_string()),
            age(&agent.created_at, now),
            exit(agent.exit.as_ref()),
        ]);
    }
    table
}

/// How long ago `time` was, in its two largest units.
fn age(time: &str, now: jiff::Timestamp) -> String {
    let Ok(time) = time.parse::<jiff::Timestamp>() else { return String::new() };
    duration(u64::try_from(now.duration_since(time).as_secs()).unwrap_or(0))
}

/// So many seconds, in their two largest units.
pub(super) fn duration(secs: u64) -> String {
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match secs {
        0..60 => format!("{secs}s"),
        60..3600 => format!("{minutes}m{}s", secs % 60),
        3600..86_400 => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// How a run ended, in a word or two.
pub(super) fn exit(exit: Option<&Exit>) -> String {
    let Some(exit) = exit else { return String::new() };
    match (exit.code, &exit.signal) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => signal.clone(),
        (None, None) => exit.reason.to_string(),
    }
}

pub(super) async fn get(
    client: &Client,
    agents: Vec<String>,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let ask = async |agent_id| Ok(client.agent_get(AgentParams { agent_id }).await?);
    which::for_each((client, output), &agents, ask, |_, details| {
        output.result(&details, || describe(&details))?;
        Ok(Code::Done)
    })
    .await
}

fn describe(details: &AgentDetails) -> String {
    let agent = &details.agent;
    let mut lines = vec![
        ("name", agent.name.clone()),
        ("id", agent.id.clone()),
        ("type", agent.agent_type.clone()),
        ("status", status(agent)),
        ("run", agent.run.to_string()),
        ("created", agent.created_at.clone()),
        ("owner", agent.owner.clone()),
        ("hosting", details.hosting.clone()),
        ("output", format!("{} bytes, {} lines", details.output.bytes, details.output.lines)),
    ];
    let mut add = |name, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push((name, value));
        }
    };
    let command = agent.config.command.iter().chain(&agent.config.args).flatten();
    add("command", Some(command.map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")));
    add("directory", agent.config.cwd.clone());
    add("env", agent.config.env.as_ref().map(|names| names.join(" ")));
    let labels = agent.labels.iter().map(|(key, value)| format!("{key}={value}"));
    add("labels", Some(labels.collect::<Vec<_>>().join(" ")));
    add("parent", agent.parent_agent_id.clone());
    add("containment", details.containment.clone());
    add("ended", agent.ended_at.clone());
    add("exit", agent.exit.as_ref().map(|it| format!("{} ({})", exit(Some(it)), it.reason)));
    add("stderr", agent.exit.as_ref().map(|exit| exit.stderr_tail.trim_end().to_owned()));
    let text = |(name, value): (&str, String)| format!("{name:12} {value}");
    lines.into_iter().map(text).collect::<Vec<_>>().join("\n")
}

fn status(agent: &Agent) -> String {
    let pid = agent.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let activity = agent.activity.as_ref().filter(|_| agent.status == AgentStatus::Running);
    let activity = activity.map_or_else(String::new, |activity| format!(", {activity}"));
    format!("{}{activity}{pid}", agent.status)
}

pub(super) async fn backends(
    client: &Client,
    refresh: bool,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let list = client.backend_list(BackendsParams { refresh: refresh.then_some(true) }).await?;
    if output.is_json() {
        list.backends.iter().try_for_each(|backend| output.json(backend))?;
        return Ok(Code::Done.into());
    }
    let mut table = Table::new(["NAME", "AVAILABLE", "DIALECT", "PROGRAM", "VERSION", "LOGIN"]);
    for backend in list.backends {
        let available = match (backend.available, backend.reason) {
            (true, _) => "yes".to_owned(),
            (false, Some(reason)) => format!("no: {reason}"),
            (false, None) => "no".to_owned(),
        };
        table.row([
            backend.name,
            available,
            backend.dialect,
            backend.program.unwrap_or_default(),
            backend.version.unwrap_or_default(),
            backend.login.to_string(),
        ]);
    }
    output.table(&table)?;
    Ok(Code::Done.into())
}

pub(super) async fn health(client: &Client, output: &Output) -> Result<ExitCode, Failure> {
    let health = client.system_health(NoParams {}).await?;
    output.result(&health, || {
        let mut text = format!(
            "{} (descartes {}, up {} s)",
            health.status, health.version, health.uptime_secs
        );
        health.reasons.iter().for_each(|reason| text.push_str(&format!("\n  {reason}")));
        text
    })?;
    let healthy = health.status == HealthStatus::Healthy;
    Ok(if healthy { Code::Done } else { Code::Failed }.into())
}

pub(super) async fn call(
    client: &Client,
    method: &str,
    params: Option<String>,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let params = params.unwrap_or_else(|| "{}".to_owned());
    let params = RawValue::from_string(params)
        .map_err(|error| Failure::Usage(format!("the parameters are not JSON: {error}")))?;
    let result = client.call_raw(method, &params).await?;
    output.line(result.get())?;
    Ok(Code::Done.into())
}

pub(super) async fn version(reach: &Reach, output: &Output) -> Result<ExitCode, Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let daemon = match reach.connect() {
        Ok(client) => match client.system_health(NoParams {}).await {
            Ok(health) => Some((health.version, health.api_version)),
            Err(ClientError::Unreachable { .. }) => None,
            Err(error) => return Err(error.into()),
        },
        Err(Failure::NoDaemon { .. }) => None,
        Err(failure) => return Err(failure),
    };
    let result = serde_json::json!({
        "version": ours,
        "daemon": daemon.as_ref().map(|(version, api)| {
            serde_json::json!({ "version": version, "api_version": api })
        }),
    });
    output.result(&result, || match daemon {
        Some((version, api)) => format!("descartes {ours}\ndaemon {version}, API {api}"),
        None => format!("descartes {ours}\nno daemon is running"),
    })?;
    Ok(Code::Done.into())
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_has_its_two_largest_units() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let table = [
            ("2026-11-21T11:59:58.500Z", "1s"),
            ("2026-11-21T11:58:55Z", "1m5s"),
            ("2026-11-21T09:30:00Z", "2h30m"),
            ("2026-11-18T08:00:00Z", "3d4h"),
            ("2026-11-21T12:00:09Z", "0s"),
            ("not a time", ""),
        ];
        for (time, text) in table {
            assert_eq!(age(time, now), text, "{time}");
        }
    }
}
