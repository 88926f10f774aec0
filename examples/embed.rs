//! `cargo run --example embed` runs a program as an agent inside this one: no daemon, no socket.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use descartes_core::agent::AgentSpec;
use descartes_core::output::LogQuery;
use descartes_core::{Descartes, WaitFor};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let descartes = Descartes::builder().build().await?;
    let command = ["sh", "-c", "for n in 1 2 3; do echo step $n; done"];
    let agent = descartes.spawn(AgentSpec::command(command).named("worker"), "me").await?;
    let ended = descartes.wait(agent.record.id, WaitFor::Exit).await?;
    let log = descartes.logs(ended.id, &LogQuery::default(), Duration::ZERO).await?;
    for row in log.rows {
        println!("{} {}", row.line, String::from_utf8_lossy(&row.bytes));
    }
    println!("{} {}", ended.name, ended.status);
    descartes.shutdown().await;
    Ok(())
}
