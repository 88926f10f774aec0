//! `cargo run --example remote_agents` runs a program on "another machine" and follows it here.
//!
//! The other machine is a second host of this process, which is reached over ZeroMQ; over a network
//! it would be a daemon. The agent's handle, output and status are here.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use descartes_core::agent::AgentSpec;
use descartes_core::backend::Backend;
use descartes_core::output::LogQuery;
use descartes_core::{Descartes, WaitFor};
use descartes_rpc::service::Rpc;
use descartes_transport_zmq::{ZmqClient, ZmqConfig, ZmqRunnerConfig, ZmqTransport};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // The other machine: a host with processes, and its API on a free port.
    let there = Descartes::builder().build().await?;
    let mut config = ZmqConfig::new();
    config.tcp = Some(([127, 0, 0, 1], 0).into());
    config.drain = Duration::from_secs(1);
    let rpc = Rpc::builder(there.clone()).owner_uid(config.own_uid).build();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let transport = ZmqTransport::bind(config).await?;
    let address = transport.local_addr().map_or_else(String::new, |at| format!("tcp://{at}"));
    let serving = tokio::spawn(transport.serve(rpc, async { drop(stopped.await) }));

    // This machine: agents of the backend `far` run there.
    let config = ZmqRunnerConfig { endpoint: address, ..ZmqRunnerConfig::default() };
    let far = ZmqClient::start(config).await?.agent_runner("far");
    let here = Descartes::builder()
        .runner_named("far", Arc::new(far))
        .backend(Backend::process().renamed("far").on("far"))
        .build()
        .await?;
    let mut spec = AgentSpec::backend("far").named("greeter");
    spec.command = ["sh", "-c", "read name; echo hello $name"].map(str::to_owned).to_vec();
    let agent = here.spawn(spec, "me").await?.record;
    println!("{} is {}", agent.name, agent.reference.as_deref().unwrap_or("nowhere"));

    here.write_stdin(agent.id, "world\n".into(), false).await?;
    let ended = here.wait(agent.id, WaitFor::Exit).await?;
    let log = here.logs(agent.id, &LogQuery::default(), Duration::ZERO).await?;
    for row in log.rows {
        println!("{}", String::from_utf8_lossy(&row.bytes));
    }
    println!("{}", ended.status);

    here.shutdown().await;
    drop(stop);
    serving.await??;
    there.shutdown().await;
    Ok(())
}
