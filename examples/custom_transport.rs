//! `cargo run --example custom_transport` makes a transport of its own, TCP with one message a
//! line, and has the conformance suite judge it.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use descartes_core::Descartes;
use descartes_core::testing::FakeRunner;
use descartes_rpc::client::{Connect, FrameIo};
use descartes_rpc::codec::LineCodec;
use descartes_rpc::connection::{ConnectionLimits, serve_connection};
use descartes_rpc::frame::Arrival;
use descartes_rpc::peer::Peer;
use descartes_rpc::service::Rpc;
use descartes_rpc::testing::conformance::{Harness, Link, run};
use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::Framed;

/// The whole transport: accept, cut into messages, say who it is, hand over. This one takes
/// whoever connects for the owner, which only a test may do.
async fn serve(listener: TcpListener, rpc: Rpc) {
    while let Ok((stream, _)) = listener.accept().await {
        let io = Framed::new(stream, LineCodec::default());
        let (rpc, peer) = (rpc.clone(), Peer::owner("tcp-lines"));
        let limits = ConnectionLimits::default();
        tokio::spawn(async move { serve_connection(rpc, peer, io, limits, pending()).await });
    }
}

/// Its client's side.
struct TcpLines(SocketAddr);

#[async_trait::async_trait]
impl Connect for TcpLines {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let stream = TcpStream::connect(self.0).await?;
        let lines = Framed::new(stream, LineCodec::new(16 << 20, 16 << 20));
        Ok(Box::new(lines.map(|line| match line? {
            Arrival::Message(message) => Ok(message),
            Arrival::Oversize => Err(io::ErrorKind::InvalidData.into()),
        })))
    }
    fn transport_name(&self) -> &'static str {
        "tcp-lines"
    }
}

struct UnderTest(SocketAddr);

impl Harness for UnderTest {
    fn link(&self) -> Link {
        Link::Duplex(Arc::new(TcpLines(self.0)))
    }
    fn agent(&self) -> serde_json::Value {
        serde_json::json!({"agent_type": "process", "config": {"command": ["fake"]}})
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let descartes = Descartes::builder().runner(Arc::new(FakeRunner::echo())).build().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, Rpc::builder(descartes).build()));
    run(&UnderTest(address)).await.assert_passed();
    println!("tcp-lines conforms");
    Ok(())
}
