//! `cargo run --example custom_transport` makes a transport of its own, TCP with one message a
//! line, and has the conformance suite judge it.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use descartes_rpc::accept::accept;
use descartes_rpc::client::{Connect, FrameIo};
use descartes_rpc::codec::LineCodec;
use descartes_rpc::connection::{ConnectionLimits, serve_connection};
use descartes_rpc::frame::Arrival;
use descartes_rpc::peer::Peer;
use descartes_rpc::service::Rpc;
use descartes_rpc::testing::conformance::{Link, run};
use descartes_rpc::testing::{Served, Stopped, fake_service};
use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::codec::Framed;

/// The whole transport: accept, cut into messages, say who it is, hand over; when it is to stop,
/// let each connection say its last word. This one takes whoever connects for the owner, which
/// only a test may do.
async fn serve(listener: TcpListener, rpc: Rpc, stopped: Stopped) {
    let mut connections = JoinSet::new();
    let take = |(stream, _): (TcpStream, SocketAddr)| {
        while connections.try_join_next().is_some() {}
        // Small messages go out at once; without it each would wait for the one before.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let io = Framed::new(stream, LineCodec::default());
        let (peer, limits) = (Peer::owner("tcp-lines"), ConnectionLimits::default());
        connections.spawn(serve_connection(rpc.clone(), peer, io, limits, stopped.clone()));
    };
    accept(|cx| listener.poll_accept(cx), stopped.clone(), take).await;
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Its client's side.
struct TcpLines(SocketAddr);

#[async_trait::async_trait]
impl Connect for TcpLines {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let stream = TcpStream::connect(self.0).await?;
        stream.set_nodelay(true)?;
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

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let link = Link::Duplex(Arc::new(TcpLines(listener.local_addr()?)));
    // Its agents exist in memory only, and echo what they are given.
    let rpc = fake_service(0).await;
    let served = Served::start(link, |stopped| serve(listener, rpc, stopped));
    let report = run(&served).await;
    println!("{report}");
    report.assert_passed();
    served.stop().await;
    println!("tcp-lines conforms");
    Ok(())
}
