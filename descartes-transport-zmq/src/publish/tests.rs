//! A subscriber over a pipe, in front of agents that are played and of a journal that is.

mod agents;
mod journal;

use std::{io, time::Duration};

use bytes::Bytes;
use descartes_rpc::{peer::Peer, service::RpcService};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{io::DuplexStream, sync::oneshot, task::JoinHandle, time::timeout};

use super::subscriber::{Patience, serve_subscriber};
use crate::zmtp::{Received, SocketType, ZmtpLimits, ZmtpSocket};

/// Nothing here takes so long, whatever else the machine does.
const PATIENCE: Duration = Duration::from_secs(60);
const STALL: Duration = Duration::from_secs(30);

/// A SUB socket, and the server's task at the other end of its pipe.
struct Subscriber {
    socket: ZmtpSocket<DuplexStream>,
    served: JoinHandle<io::Result<()>>,
    shutdown: Option<oneshot::Sender<()>>,
}

/// Connects by a pipe that holds `room` bytes.
async fn connect<S: RpcService>(rpc: &S, room: usize) -> Subscriber {
    connect_as(SocketType::Sub, rpc, room).await
}

async fn connect_as<S: RpcService>(kind: SocketType, rpc: &S, room: usize) -> Subscriber {
    let (ours, theirs) = tokio::io::duplex(room);
    let (shutdown, down) = oneshot::channel();
    let rpc = rpc.clone();
    let served = tokio::spawn(async move {
        let limits = ZmtpLimits::default();
        let accepted = ZmtpSocket::accept(ours, SocketType::XPub, limits).await;
        let socket = accepted.map_err(io::Error::other)?;
        let patience = Patience { stall: STALL, stall_draining: Duration::from_secs(5) };
        let down = async move { drop(down.await) };
        serve_subscriber(rpc, Peer::owner("zmq"), socket, patience, down).await
    });
    let socket = ZmtpSocket::connect(theirs, kind, ZmtpLimits::default()).await.unwrap();
    Subscriber { socket, served, shutdown: Some(shutdown) }
}

impl Subscriber {
    async fn subscribe(&mut self, prefix: &str) {
        self.socket.subscribe(prefix.as_bytes()).unwrap();
        self.socket.flush().await.unwrap();
    }

    async fn cancel(&mut self, prefix: &str) {
        self.socket.cancel(prefix.as_bytes()).unwrap();
        self.socket.flush().await.unwrap();
    }

    /// The next message; nothing when the server hung up.
    async fn message(&mut self) -> Option<Bytes> {
        let received = timeout(PATIENCE, self.socket.next()).await.unwrap()?;
        match received.unwrap() {
            Received::Message(message) => {
                assert_eq!(message.frames().len(), 1);
                message.into_frames().pop()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next message, taken apart.
    async fn event(&mut self) -> Option<(String, Value)> {
        self.message().await.map(|message| parts(&message))
    }

    fn shut_down(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    /// How the server's side ended.
    async fn end(self) -> io::Result<()> {
        let served = timeout(PATIENCE, self.served).await;
        served.unwrap().unwrap()
    }
}

/// Splits at the first space, as clients do.
fn parts(message: &[u8]) -> (String, Value) {
    let text = std::str::from_utf8(message).unwrap();
    let (topic, json) = text.split_once(' ').unwrap();
    (topic.to_owned(), serde_json::from_str(json).unwrap())
}
