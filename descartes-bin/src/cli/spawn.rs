//! `spawn`.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::ExitCode;

use descartes_rpc::client::Client;
use descartes_rpc::wire::agent::{SpawnParams, Spawned};
use descartes_rpc::wire::config::{
    LimitsConfig, RestartConfig, RestartPolicy, SpawnConfig, StdinMode,
};

use super::arguments::{RestartWhen, Spawn};
use super::failure::Failure;
use super::which;
use crate::exit::Code;
use crate::output::Output;

pub(super) async fn spawn(
    client: &Client,
    mut asked: Spawn,
    local: bool,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let quiet = asked.quiet;
    if let Some(parent) = &asked.parent {
        asked.parent = Some(which::agent(client, parent).await?);
    }
    let spawned = client.agent_spawn(params(asked, local)?).await?;
    if quiet && !output.is_json() {
        output.line(&spawned.agent_id)?;
    } else {
        output.result(&spawned, || sentence(&spawned))?;
    }
    Ok(Code::Done.into())
}

fn sentence(spawned: &Spawned) -> String {
    let Spawned { name, agent_id, status, pid, .. } = spawned;
    let pid = pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    format!("{name}  {}  {status}{pid}", which::short(agent_id))
}

fn params(asked: Spawn, local: bool) -> Result<SpawnParams, Failure> {
    let command = (!asked.command.is_empty()).then(|| asked.command.iter().collect());
    let backend = asked.backend.or_else(|| command.is_some().then(|| "process".to_owned()));
    let restart = asked.restart.map(|when| RestartConfig {
        policy: match when {
            RestartWhen::OnFailure => RestartPolicy::OnFailure,
            RestartWhen::Always => RestartPolicy::Always,
        },
        max_restarts: asked.max_restarts,
        window_secs: asked.window,
    });
    let limits = LimitsConfig {
        wall_secs: asked.wall_limit.map(Into::into),
        output_bytes: asked.output_limit,
    };
    let config = SpawnConfig {
        task: asked.task,
        command,
        env: some(variables(&asked.env)?),
        cwd: directory(asked.cwd.as_deref(), local)?,
        stdin: asked.no_stdin.then_some(StdinMode::Closed),
        restart,
        limits: (limits != LimitsConfig::default()).then_some(limits),
        labels: some(asked.labels.into_iter().collect()),
        parent_agent_id: asked.parent,
        ..SpawnConfig::default()
    };
    Ok(SpawnParams {
        name: asked.name,
        agent_type: backend,
        config: Some(config),
        unique_name: asked.unique.then_some(true),
        ..SpawnParams::default()
    })
}

fn some(map: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then_some(map)
}

/// `NAME` takes the value from this process, `NAME=VALUE` sets it.
pub(super) fn variables(asked: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = BTreeMap::new();
    for text in asked {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let missing =
                    |_| Failure::Usage(format!("-e {text}: no such variable is set here"));
                (text.as_str(), env::var(text).map_err(missing)?)
            }
        };
        all.insert(name.to_owned(), value);
    }
    Ok(all)
}

/// The directory that was asked for, else this one, where it means the same to the daemon.
pub(super) fn directory(asked: Option<&Path>, local: bool) -> Result<Option<String>, Failure> {
    let path = match asked {
        Some(path) if local => std::path::absolute(path),
        Some(path) => Ok(path.to_owned()),
        None if local => env::current_dir(),
        None => return Ok(None),
    };
    let path =
        path.map_err(|source| Failure::Local { what: "find this directory".into(), source })?;
    let text = path.into_os_string().into_string();
    let text = text.map_err(|path| Failure::Usage(format!("{} is not UTF-8", path.display())))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_taken_from_here_or_set() {
        let all = variables(&["PATH".into(), "A=b=c".into(), "EMPTY=".into()]).unwrap();
        assert_eq!(all["PATH"], env::var("PATH").unwrap());
        assert_eq!((all["A"].as_str(), all["EMPTY"].as_str()), ("b=c", ""));
        let error = variables(&["DESCARTES_NO_SUCH_VARIABLE".into()]).unwrap_err();
        assert_eq!(error.code(), Code::Usage);
    }

    #[test]
    fn a_remote_daemon_is_not_told_of_a_directory_here() {
        assert_eq!(directory(None, false).unwrap(), None);
        assert_eq!(directory(Some(Path::new("/a")), false).unwrap().as_deref(), Some("/a"));
        assert!(directory(None, true).unwrap().is_some());
    }
}
