//! ZeroMQ: ours as the daemon has it, the bare `zeromq` crate, and libzmq if it was built in.

mod bare;
mod constant;
mod frames;
#[cfg(feature = "libzmq")]
mod libzmq;

use std::convert::Infallible;
use std::future::{pending, ready};
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use descartes_core::Descartes;
use descartes_rpc::message::{Reply, Request, Response};
use descartes_rpc::service::RpcService;
use descartes_transport_zmq::{PublishConfig, PublishTransport, ZmqConfig, ZmqTransport};

pub use frames::send_back;

use super::Bursts;
use super::descartes::publish;
use crate::client::zmq::HANDSHAKE;
use crate::host;

/// Whose software.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Whose {
    /// Descartes' transport with its gate.
    Ours,
    /// Descartes' ZMTP, without what stands above it.
    Frames,
    /// The `zeromq` crate.
    Crate,
    /// libzmq, where the feature `libzmq` is on.
    Libzmq,
}

/// So many messages to each subscriber, as fast as they are taken, once all have subscribed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Flood {
    /// The length of a message.
    #[arg(long)]
    pub bytes: usize,
    /// How many messages.
    #[arg(long)]
    pub messages: usize,
    /// How many subscribers are waited for.
    #[arg(long)]
    pub subscribers: usize,
}

/// Descartes with all its methods.
pub(super) async fn daemon() -> anyhow::Result<()> {
    route(host::rpc(host::in_memory().await?)).await
}

/// Whoever asks gets back what it sent: as the result of any method from ours, else byte by byte.
pub(super) async fn echo(whose: Whose) -> anyhow::Result<()> {
    match whose {
        Whose::Ours => {
            let service = |request: Request| {
                let result = request.params.into_bytes();
                let outcome = Ok(result.unwrap_or_else(|| Bytes::from_static(b"null")));
                let response = request.id.map(|id| Response { id, outcome });
                ready(Ok::<_, Infallible>(Reply { response, notifications: None }))
            };
            route(tower::service_fn(service)).await
        }
        Whose::Frames => frames::echo().await,
        Whose::Crate => bare::echo().await,
        #[cfg(feature = "libzmq")]
        Whose::Libzmq => libzmq::echo(),
        #[cfg(not(feature = "libzmq"))]
        Whose::Libzmq => without_libzmq(),
    }
}

/// Publishes once to as many subscribers as there should be.
pub(super) async fn flood(whose: Whose, flood: Flood) -> anyhow::Result<()> {
    match whose {
        Whose::Ours => announce(constant::Constant::new(flood)).await,
        Whose::Frames => anyhow::bail!("frames are only sent back"),
        Whose::Crate => bare::flood(flood).await,
        #[cfg(feature = "libzmq")]
        Whose::Libzmq => libzmq::flood(flood),
        #[cfg(not(feature = "libzmq"))]
        Whose::Libzmq => without_libzmq(),
    }
}

/// Publishes for ever, in bursts of messages of so many bytes; ours has a journal behind it, whose
/// events are as long as they are.
pub(super) async fn bursts(whose: Whose, bursts: Bursts, bytes: usize) -> anyhow::Result<()> {
    match whose {
        Whose::Ours => {
            let descartes: Descartes = host::in_memory().await?;
            announce(host::rpc(descartes.clone())).await?;
            tokio::spawn(publish(descartes, bursts));
            Ok(())
        }
        Whose::Frames => anyhow::bail!("frames are only sent back"),
        Whose::Crate => bare::bursts(bursts, bytes).await,
        #[cfg(feature = "libzmq")]
        Whose::Libzmq => libzmq::bursts(bursts, bytes),
        #[cfg(not(feature = "libzmq"))]
        Whose::Libzmq => without_libzmq(),
    }
}

#[cfg(not(feature = "libzmq"))]
fn without_libzmq() -> anyhow::Result<()> {
    anyhow::bail!("built without the feature `libzmq`")
}

fn anywhere() -> Option<SocketAddr> {
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

async fn route<S: RpcService>(rpc: S) -> anyhow::Result<()> {
    let mut config = ZmqConfig::new();
    config.tcp = anywhere();
    config.zmtp.handshake = HANDSHAKE;
    let transport = ZmqTransport::bind(config).await?;
    listening(transport.local_addr())?;
    tokio::spawn(transport.serve(rpc, pending()));
    Ok(())
}

async fn announce<S: RpcService>(rpc: S) -> anyhow::Result<()> {
    let mut config = PublishConfig::new();
    config.tcp = anywhere();
    config.zmtp.handshake = HANDSHAKE;
    let transport = PublishTransport::bind(config).await?;
    listening(transport.local_addr())?;
    tokio::spawn(transport.serve(rpc, pending()));
    Ok(())
}

fn listening(address: Option<SocketAddr>) -> anyhow::Result<()> {
    let address = address.ok_or_else(|| anyhow::anyhow!("it listens nowhere"))?;
    Ok(super::listening(address)?)
}
