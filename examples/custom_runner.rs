//! `cargo run --example custom_runner` starts agents somewhere else than in a process.
//!
//! A runner gets a launch and a driver, and moves bytes and controls between the two. It knows no
//! journal, no status, no policy; here the "program" is a task that counts.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use descartes_core::agent::AgentSpec;
use descartes_core::event::StreamName;
use descartes_core::output::LogQuery;
use descartes_core::runner::{
    AgentDriver, AgentRunner, Control, ControlOutcome, Launch, RunExit, SpawnError, Started,
};
use descartes_core::{Descartes, WaitFor};

/// Counts as far as its first argument says, instead of starting it.
struct Counter;

#[async_trait::async_trait]
impl AgentRunner for Counter {
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        let last: u32 = launch.argv.last().and_then(|text| text.parse().ok()).unwrap_or(3);
        tokio::spawn(count(last, driver));
        Ok(Started::default())
    }
}

async fn count(last: u32, driver: AgentDriver) {
    let (mut controls, events) = driver.split();
    let counting = async {
        let mut at = 0;
        for number in 1..=last {
            let line = format!("{number}\n");
            events.output(StreamName::Stdout, at, line.as_bytes()).await;
            at += line.len() as u64;
        }
    };
    tokio::select! {
        () = counting => {}
        Some(request) = controls.next() => match request.control {
            Control::Kill { .. } => request.done(ControlOutcome::Done),
            _ => request.unsupported("a counter can only be killed"),
        },
    }
    events.exited(RunExit::code(0)).await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let descartes = Descartes::builder().runner(Arc::new(Counter)).build().await?;
    let agent = descartes.spawn(AgentSpec::command(["count", "5"]), "me").await?;
    let ended = descartes.wait(agent.record.id, WaitFor::Exit).await?;
    let log = descartes.logs(ended.id, &LogQuery::default(), Duration::ZERO).await?;
    println!("{} wrote {} lines", ended.name, log.total);
    println!("{}", ended.status);
    descartes.shutdown().await;
    Ok(())
}
