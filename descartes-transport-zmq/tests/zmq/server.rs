//! Starts a server and talks to it in frames.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use descartes_rpc::{service::RpcService, testing::fake_service};
use descartes_transport_zmq::{
    ZmqConfig, ZmqTransport,
    zmtp::{Multipart, Received, SocketType, ZmtpLimits, ZmtpSocket},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle, time::timeout};

use crate::fake::{self, PATIENCE, Stage};

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stage: Arc<Stage>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(configure: impl FnOnce(&mut ZmqConfig)) -> Self {
        let stage = Arc::new(Stage::default());
        Self::serve(fake::service(Arc::clone(&stage)), stage, configure).await
    }

    /// In front of a service with every method and agents that are played.
    pub(crate) async fn start_whole() -> Self {
        let rpc = fake_service(ZmqConfig::new().own_uid).await;
        Self::serve(rpc, Arc::default(), |_| {}).await
    }

    async fn serve(
        service: impl RpcService,
        stage: Arc<Stage>,
        configure: impl FnOnce(&mut ZmqConfig),
    ) -> Self {
        let mut config = ZmqConfig::new();
        config.tcp = Some("127.0.0.1:0".parse().unwrap());
        config.zmtp = patient();
        configure(&mut config);
        let transport = ZmqTransport::bind(config).await.unwrap();
        let address = transport.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(transport.serve(service, async {
            drop(stopped.await);
        }));
        Self { address, stage, stop: Some(stop), task }
    }

    pub(crate) async fn connect(&self, kind: SocketType) -> Talk {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Talk::over(stream, kind).await
    }

    pub(crate) async fn dealer(&self) -> Talk {
        self.connect(SocketType::Dealer).await
    }

    /// Asks the server to stop.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.begin_stop();
        timeout(PATIENCE, &mut self.task).await.unwrap().unwrap().unwrap();
    }
}

/// A connection after its handshake.
pub(crate) struct Talk<IO = TcpStream>(pub(crate) ZmtpSocket<IO>);

impl<IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Talk<IO> {
    pub(crate) async fn over(stream: IO, kind: SocketType) -> Self {
        Self(ZmtpSocket::connect(stream, kind, patient()).await.unwrap())
    }

    pub(crate) async fn send(&mut self, frames: &[&[u8]]) {
        let frames = frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect();
        self.0.send(Multipart::new(frames).unwrap()).await.unwrap();
    }

    /// The frames of the next message, or nothing when the connection has ended.
    pub(crate) async fn frames(&mut self) -> Option<Vec<Bytes>> {
        let heard = timeout(PATIENCE, self.0.next()).await.expect("a message in time");
        match heard? {
            Ok(Received::Message(message)) => Some(message.into_frames()),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    /// The last frame of the next message as JSON; it must come.
    pub(crate) async fn json(&mut self) -> Value {
        let frames = self.frames().await.expect("a message");
        serde_json::from_slice(frames.last().unwrap()).unwrap()
    }

    /// Asks, and gives the answer's result.
    pub(crate) async fn ask(&mut self, id: u32, method: &str, params: &str) -> Value {
        self.send(&[&call(id, method, params)]).await;
        let answer = self.json().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"].clone()
    }
}

/// A handshake takes as long as a machine that is busy needs.
pub(crate) fn patient() -> ZmtpLimits {
    let mut limits = ZmtpLimits::default();
    limits.handshake = PATIENCE;
    limits
}

/// A call.
pub(crate) fn call(id: u32, method: &str, params: &str) -> Vec<u8> {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}")
        .into()
}
