//! `cargo run --example in_memory` shows how an application tests itself: the whole API, with
//! fake agents, without processes, files or ports.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use descartes_core::Descartes;
use descartes_core::testing::FakeRunner;
use descartes_rpc::client::Client;
use descartes_rpc::service::Rpc;
use descartes_rpc::wire::agent::{AgentStatus, SpawnParams, WaitParams};
use descartes_rpc::wire::config::SpawnConfig;

/// The application: it has an agent review something, and wants to know how that went. In earnest
/// it is given a client of the daemon.
async fn review(client: &Client, what: &str) -> anyhow::Result<AgentStatus> {
    let config = SpawnConfig {
        command: Some(["reviewer"].into_iter().collect()),
        task: Some(what.to_owned()),
        ..SpawnConfig::default()
    };
    let agent_type = Some("process".to_owned());
    let spawn = SpawnParams { agent_type, config: Some(config), ..SpawnParams::default() };
    let agent = client.agent_spawn(spawn).await?;
    let wait = WaitParams { agent_id: agent.agent_id, r#for: None, timeout_secs: None };
    Ok(client.agent_wait(wait).await?.status)
}

/// A daemon in memory whose agents end with `code` when they have read their task.
async fn daemon_whose_agents_end_with(code: i32) -> anyhow::Result<Client> {
    let runner = FakeRunner::new(move |mut agent| async move {
        let task = agent.next().await;
        agent.say(&format!("got {task:?}\n")).await;
        agent.exit(code).await;
    });
    let descartes = Descartes::builder().runner(Arc::new(runner)).build().await?;
    Ok(Client::in_memory(Rpc::builder(descartes).build()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let failing = daemon_whose_agents_end_with(1).await?;
    println!("a reviewer that fails: {}", review(&failing, "this line").await?.as_str());
    let fine = daemon_whose_agents_end_with(0).await?;
    println!("a reviewer that does not: {}", review(&fine, "this line").await?.as_str());
    Ok(())
}
