//! `wait`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use descartes_rpc::client::{Client, ClientError};
use descartes_rpc::error::ErrorKind;
use descartes_rpc::wire::agent::{AgentStatus, WaitFor, WaitParams, Waited};

use super::arguments::{Await, Wait};
use super::failure::Failure;
use super::{show, which};
use crate::exit::Code;
use crate::output::Output;

/// The longest that one call may wait; longer waits are several calls.
const ONE_CALL: Duration = Duration::from_secs(3600);

pub(super) async fn wait(
    client: &Client,
    asked: Wait,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let limit = asked.timeout.map(|secs| Duration::from_secs(secs.into()));
    let r#for = match asked.r#for {
        Await::Exit => WaitFor::Exit,
        Await::Run => WaitFor::Run,
        Await::Turn => WaitFor::Turn,
        Await::Idle => WaitFor::Idle,
    };
    let act = async |agent_id| {
        until(client, WaitParams { agent_id, r#for: Some(r#for), timeout_secs: None }, limit).await
    };
    let mut agents_own = 0;
    let code = which::for_each((client, output), &asked.agents, act, |name, waited| {
        output.result(&waited, || {
            let exit = waited.exit.as_ref();
            let how = exit.map(|exit| format!(" ({})", show::exit(Some(exit))));
            format!("{name}: {}{}", waited.status, how.unwrap_or_default())
        })?;
        if agents_own == 0 {
            agents_own = exit_code(&waited);
        }
        let exits = asked.r#for == Await::Exit;
        let failed = exits && !matches!(waited.status, AgentStatus::Completed);
        let failed = failed && !asked.exit_code;
        Ok(if failed { Code::Failed } else { Code::Done })
    })
    .await?;
    Ok(if asked.exit_code && code == ExitCode::SUCCESS { agents_own.into() } else { code })
}

/// Waits as long as it takes, or until `limit` is over.
pub(super) async fn until(
    client: &Client,
    params: WaitParams,
    limit: Option<Duration>,
) -> Result<Waited, Failure> {
    let give_up = limit.map(|limit| Instant::now() + limit);
    loop {
        let rest = give_up.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout_secs = Some(rest.unwrap_or(ONE_CALL).min(ONE_CALL).into());
        match client.agent_wait(WaitParams { timeout_secs, ..params.clone() }).await {
            Err(ClientError::Rpc(error))
                if error.kind() == ErrorKind::Timeout
                    && rest.is_none_or(|rest| rest > ONE_CALL) => {}
            other => return Ok(other?),
        }
    }
}

/// The exit code that a shell would give for the agent.
fn exit_code(waited: &Waited) -> u8 {
    let Some(exit) = &waited.exit else { return Code::Failed as u8 };
    match (exit.code, &exit.signal) {
        (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        (None, Some(signal)) => 128 + number(signal),
        (None, None) => Code::Failed as u8,
    }
}

/// The numbers of signals that end programs, as on every Linux.
const NUMBERS: &[(&str, u8)] = &[
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
];

fn number(signal: &str) -> u8 {
    NUMBERS.iter().find(|(name, _)| *name == signal).map_or(0, |(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::{Waited, exit_code};

    #[test]
    fn the_exit_code_is_the_one_a_shell_would_give() {
        let table = [
            (r#""code":0"#, 0),
            (r#""code":3"#, 3),
            (r#""signal":"SIGTERM""#, 143),
            (r#""signal":"SIGKILL""#, 137),
            (r#""by":"nobody knows""#, 1),
        ];
        for (how, code) in table {
            let rest = r#""reason":"exited","at":"","stderr_tail":"","forced":false,"swept":0"#;
            let exit = format!(r#"{{{how},{rest}}}"#);
            let waited = format!(r#"{{"agent_id":"x","status":"failed","exit":{exit}}}"#);
            let waited: Waited = serde_json::from_str(&waited).unwrap();
            assert_eq!(exit_code(&waited), code, "{how}");
        }
    }
}
