//! What every [`AgentRunner`] must hold, for whoever writes one.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use descartes_core::{agent::AgentSpec, testing::{FakeRunner, runner_suite::{self, Part}}};
//! # async fn example() {
//! let runner = async || Arc::new(FakeRunner::echo()) as _;
//! let failures = runner_suite::check(runner, |part: Part| match part {
//!     Part::Echo => AgentSpec::command(["cat"]),
//!     Part::Says => AgentSpec::command(["says"]),
//!     Part::Missing => AgentSpec::command(["/missing"]),
//!     _ => AgentSpec::default(),
//! })
//! .await;
//! assert_eq!(failures, []);
//! # }
//! ```

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::store_suite::Failure;
use crate::agent::{
    AgentError, AgentFilter, AgentId, AgentRecord, AgentSpec, AgentStatus, PageRequest,
    StatusFilter,
};
use crate::event::StreamName;
use crate::limits::STDIN_QUEUE_BYTES;
use crate::output::LogQuery;
use crate::runner::{AgentRunner, Signal, StdinError};
use crate::{Descartes, Kill, WaitFor};

/// What [`Part::Says`] writes to standard output: what is no text, and no newline at the end.
pub const SAYS_STDOUT: &[u8] = b"a\0\xff\r\nb";
/// What [`Part::Says`] writes to standard error.
pub const SAYS_STDERR: &[u8] = b"oops\n";
/// What [`Part::Says`] ends with.
pub const SAYS_CODE: i32 = 7;

/// How long a claim may take before it counts as one that hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// Agents that run at once in the claim that they do not disturb each other.
const CROWD: usize = 8;

/// An agent that the suite needs. Whoever calls it tells how the runner starts each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Writes to standard output what it reads, and ends with 0 at end of file.
    Echo,
    /// Writes [`SAYS_STDOUT`] and [`SAYS_STDERR`] and ends with [`SAYS_CODE`].
    Says,
    /// Cannot be started.
    Missing,
}

/// Runs every claim against a runner of its own, which `fresh` makes, and tells what failed.
///
/// `agent` is what the runner is asked to start for each part.
pub async fn check(
    fresh: impl AsyncFn() -> Arc<dyn AgentRunner>,
    agent: impl Fn(Part) -> AgentSpec,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    macro_rules! claims {
        ($($claim:ident,)*) => {$(
            let done = bounded($claim(&Stage::new(fresh().await).await, &agent)).await;
            if let Err(Seen(seen)) = done {
                failures.push(Failure { claim: stringify!($claim), seen });
            }
        )*};
    }
    claims! {
        output_is_exact_and_precedes_the_exit,
        a_start_that_fails_leaves_nothing,
        input_arrives_in_order_and_ends,
        input_that_is_closed_or_full_is_refused,
        a_pause_and_a_resume_are_answered_and_change_nothing_else,
        a_signal_is_answered,
        a_kill_is_answered_when_the_run_has_ended,
        a_paused_agent_can_be_killed,
        a_second_run_goes_on_where_the_first_ended,
        agents_do_not_disturb_each_other,
    }
    failures
}

/// What a claim saw that it should not have seen.
struct Seen(String);

impl From<AgentError> for Seen {
    fn from(error: AgentError) -> Self {
        Self(format!("an error: {error}"))
    }
}

type Claim = Result<(), Seen>;

async fn bounded(claim: impl Future<Output = Claim>) -> Claim {
    let hangs = Seen(format!("nothing for {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, claim).await.unwrap_or(Err(hangs))
}

fn holds(what: &str, condition: bool) -> Claim {
    if condition { Ok(()) } else { Err(Seen(format!("not so: {what}"))) }
}

/// A host in memory around the runner that is tested.
#[derive(Clone)]
struct Stage(Result<Descartes, String>);

impl Stage {
    async fn new(runner: Arc<dyn AgentRunner>) -> Self {
        let host = Descartes::builder().runner(runner).build().await;
        Self(host.map_err(|error| error.to_string()))
    }

    fn host(&self) -> Result<&Descartes, Seen> {
        self.0.as_ref().map_err(|error| Seen(format!("no host: {error}")))
    }

    async fn start(&self, spec: AgentSpec) -> Result<AgentId, Seen> {
        Ok(self.host()?.spawn(spec, "suite").await?.record.id)
    }

    async fn ended(&self, id: AgentId) -> Result<Arc<AgentRecord>, Seen> {
        Ok(self.host()?.wait(id, WaitFor::Exit).await?)
    }

    async fn write(&self, id: AgentId, text: &str, close: bool) -> Claim {
        self.host()?.write_stdin(id, Bytes::copy_from_slice(text.as_bytes()), close).await?;
        Ok(())
    }

    /// Everything that was written to `stream`.
    async fn output(&self, id: AgentId, stream: StreamName) -> Result<Vec<u8>, Seen> {
        let query = LogQuery { stream: Some(stream), limit: 1000, ..LogQuery::default() };
        let page = self.host()?.logs(id, &query, Duration::ZERO).await?;
        let mut all = Vec::new();
        for row in page.rows {
            all.extend_from_slice(&row.bytes);
            if !row.partial {
                all.push(b'\n');
            }
        }
        Ok(all)
    }

    async fn wrote(&self, id: AgentId, stream: StreamName, expected: &[u8]) -> Claim {
        let seen = self.output(id, stream).await?;
        let (seen, expected) = (seen.escape_ascii(), expected.escape_ascii());
        let what = format!("{stream:?} is `{seen}` instead of `{expected}`");
        if seen.eq(expected) { Ok(()) } else { Err(Seen(what)) }
    }

    /// Waits until an echo has written `expected`.
    async fn echoed(&self, id: AgentId, expected: &[u8]) -> Claim {
        let news = LogQuery::default();
        while self.output(id, StreamName::Stdout).await?.len() < expected.len() {
            self.host()?.logs(id, &news, Duration::from_millis(20)).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.wrote(id, StreamName::Stdout, expected).await
    }
}

async fn output_is_exact_and_precedes_the_exit(
    stage: &Stage,
    agent: &impl Fn(Part) -> AgentSpec,
) -> Claim {
    let id = stage.start(agent(Part::Says)).await?;
    let ended = stage.ended(id).await?;
    stage.wrote(id, StreamName::Stdout, SAYS_STDOUT).await?;
    stage.wrote(id, StreamName::Stderr, SAYS_STDERR).await?;
    let exit = ended.exit.as_ref();
    holds("it fails with its exit code", exit.and_then(|exit| exit.code) == Some(SAYS_CODE))?;
    let tail = exit.is_some_and(|exit| exit.stderr_tail == SAYS_STDERR);
    holds("the exit has the end of standard error", tail)
}

async fn a_start_that_fails_leaves_nothing(
    stage: &Stage,
    agent: &impl Fn(Part) -> AgentSpec,
) -> Claim {
    let refused = stage.host()?.spawn(agent(Part::Missing), "suite").await;
    holds("it is an error of the start", matches!(refused, Err(AgentError::Spawn(_))))?;
    let any = AgentFilter::status(StatusFilter::Any);
    let page = stage.host()?.list(&any, &PageRequest::default())?;
    holds("no agent is kept", page.total == 0)
}

async fn input_arrives_in_order_and_ends(
    stage: &Stage,
    agent: &impl Fn(Part) -> AgentSpec,
) -> Claim {
    let id = stage.start(agent(Part::Echo)).await?;
    for text in ["one\n", "two\n", "three"] {
        stage.write(id, text, text == "three").await?;
    }
    let ended = stage.ended(id).await?;
    holds("end of file ends it with 0", ended.status == AgentStatus::Completed)?;
    stage.wrote(id, StreamName::Stdout, b"one\ntwo\nthree").await
}

async fn input_that_is_closed_or_full_is_refused(
    stage: &Stage,
    agent: &impl Fn(Part) -> AgentSpec,
) -> Claim {
    let id = stage.start(agent(Part::Echo)).await?;
    let huge = Bytes::from(vec![b'x'; STDIN_QUEUE_BYTES + 1]);
    match stage.host()?.write_stdin(id, huge, false).await {
        Ok(_) | Err(AgentError::Stdin(StdinError::Full { .. })) => {}
        other => return Err(Seen(format!("too much at once: {other:?}"))),
    }
    stage.write(id, "", true).await?;
    match stage.host()?.write_stdin(id, "late".into(), false).await {
        Err(AgentError::Stdin(StdinError::Closed) | AgentError::WrongStatus { .. }) => Ok(()),
        other => Err(Seen(format!("a write behind the end: {other:?}"))),
    }
}

async fn a_pause_and_a_resume_are_answered_and_change_nothing_else(
    stage: &Stage,
    agent: &impl Fn(Part) -> AgentSpec,
) -> Claim {
    let id = stage.start(agent(Part::Echo)).await?;
    stage.write(id, "one\n", false).await?;
    stage.echoed(id, b"one\n").await?;
    let paused = stage.host()?.pause(id, true, "suite").await?;
    holds("it is paused", paused.status == AgentStatus::Paused && paused.pause.is_some())?;
    let resumed = stage.host()?.resume(id, "suite").await?;
    holds("it runs", resumed.status == AgentStatus::Running)?;
    stage.write(id, "two\n", true).await?;
    stage.ended(id).await?;
    stage.wrote(id, StreamName::Stdout, b"one\ntwo\n").await
}

async fn a_signal_is_answered(stage: &Stage, agent: &impl Fn(Part) -> AgentSpec) -> Claim {
    let id = stage.start(agent(Part::Echo)).await?;
    stage.write(id, "up\n", false).await?;
    stage.echoed(id, b"up\n").await?;
    Ok(stage.host()?.signal(id, Signal::Continue).await?)
}

async fn a_kill_is_answered_when_the_run_has_ended(
    stage: &Stage,
    agent: &impl Fn(Part) -> AgentSpec,
) -> Claim {
    for force in [false, true] {
        let id = stage.start(agent(Part::Echo)).await?;
        let kill = Kill { force, grace: None };
        let killed = stage.host()?.kill(id, kill, "suite").await?;
        holds("it is killed", killed.record.status == AgentStatus::Killed)?;
        holds("its exit is known", killed.record.exit.is_some())?;
        let late = stage.host()?.write_stdin(id, "late".into(), false).await;
        holds("it takes no more input", late.is_err())?;
    }
    Ok(())
}

async fn a_paused_agent_can_be_killed(stage: &Stage, agent: &impl Fn(Part) -> AgentSpec) -> Claim {
    let id = stage.start(agent(Part::Echo)).await?;
    stage.host()?.pause(id, true, "suite").await?;
    let killed = stage.host()?.kill(id, Kill::default(), "suite").await?;
    holds("it is killed", killed.record.status == AgentStatus::Killed)
}

async fn a_second_run_goes_on_where_the_first_ended(
    stage: &Stage,
    agent: &impl Fn(Part) -> AgentSpec,
) -> Claim {
    let id = stage.start(agent(Part::Echo)).await?;
    for text in ["one\n", "two\n"] {
        stage.write(id, text, true).await?;
        stage.ended(id).await?;
        if text == "one\n" {
            let again = stage.host()?.restart(id, None, "suite").await?;
            holds("it is the second run", again.run == 2)?;
        }
    }
    stage.wrote(id, StreamName::Stdout, b"one\ntwo\n").await
}

async fn agents_do_not_disturb_each_other(
    stage: &Stage,
    agent: &impl Fn(Part) -> AgentSpec,
) -> Claim {
    let mut all = JoinSet::new();
    for number in 0..CROWD {
        let (stage, spec) = (stage.clone(), agent(Part::Echo));
        all.spawn(async move {
            let id = stage.start(spec).await?;
            let text = format!("{number}\n").repeat(100);
            stage.write(id, &text, true).await?;
            stage.ended(id).await?;
            stage.wrote(id, StreamName::Stdout, text.as_bytes()).await
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap_or_else(|error| Err(Seen(format!("a claim died: {error}"))))?;
    }
    Ok(())
}
