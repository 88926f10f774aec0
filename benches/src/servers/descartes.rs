//! Ours, put together as the daemon does it, over a store in memory.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};

use descartes_core::Descartes;
use descartes_core::agent::{AgentId, AgentStatus};
use descartes_core::event::{EventBody, NewEvent, StatusChange, Topic};
use descartes_core::store::Batch;
use descartes_core::time::Clock;
use descartes_rpc::service::Rpc;
use descartes_transport_http::{HttpConfig, HttpTransport};
use descartes_transport_unix::{UnixConfig, UnixTransport};
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};

use super::Bursts;
use crate::host;

pub(super) async fn http() -> anyhow::Result<()> {
    let rpc = host::rpc(host::in_memory().await?);
    listen(rpc).await
}

async fn listen(rpc: Rpc) -> anyhow::Result<()> {
    let config = HttpConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let transport = HttpTransport::bind(config).await?;
    super::listening(transport.local_addr())?;
    tokio::spawn(transport.serve(rpc, pending()));
    Ok(())
}

pub(super) async fn unix() -> anyhow::Result<()> {
    let rpc = host::rpc(host::in_memory().await?);
    listen_unix(rpc, tempfile::tempdir()?)
}

pub(super) async fn chats() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let descartes = host::chats(folder.path(), &std::env::current_exe()?).await?;
    listen_unix(host::rpc(descartes), folder)
}

fn listen_unix(rpc: Rpc, folder: TempDir) -> anyhow::Result<()> {
    let transport = UnixTransport::bind(UnixConfig::new(folder.path().join("run/d.sock")))?;
    super::listening(transport.path().display())?;
    tokio::spawn(async move {
        let served = transport.serve(rpc, pending()).await;
        drop(folder);
        served
    });
    Ok(())
}

pub(super) async fn sse(bursts: Bursts) -> anyhow::Result<()> {
    let descartes = host::in_memory().await?;
    listen(host::rpc(descartes.clone())).await?;
    tokio::spawn(publish(descartes, bursts));
    Ok(())
}

pub(super) async fn publish(descartes: Descartes, bursts: Bursts) {
    let mut ticks = interval(bursts.every());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let agent = AgentId::generate();
    loop {
        ticks.tick().await;
        if descartes.journal().commit(burst(agent, bursts.burst)).await.is_err() {
            return;
        }
    }
}

/// So many small events of one agent, in one commit.
fn burst(agent: AgentId, count: usize) -> Batch {
    let change = StatusChange::new(AgentStatus::Running, AgentStatus::Paused, 1);
    let body = EventBody::AgentStatusChanged(change);
    let now = Clock::system().now();
    let event = NewEvent::new(Topic::agent_status(agent), "bench".into(), now, &body);
    (0..count).fold(Batch::control(), |batch, _| batch.event(event.clone()))
}
