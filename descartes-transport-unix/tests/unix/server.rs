//! Starts a server and talks to it in lines.

use std::{path::PathBuf, sync::Arc};

use descartes_transport_unix::{UnixConfig, UnixTransport};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufStream},
    net::UnixStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::fake::{self, PATIENCE, Stage};

/// A running server.
pub(crate) struct Server {
    pub(crate) path: PathBuf,
    pub(crate) stage: Arc<Stage>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
    _home: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(configure: impl FnOnce(&mut UnixConfig)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/descartes.sock");
        let mut config = UnixConfig::new(&path);
        configure(&mut config);
        let transport = UnixTransport::bind(config).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stage = Arc::new(Stage::default());
        let service = fake::service(Arc::clone(&stage));
        let task = tokio::spawn(transport.serve(service, async {
            drop(stopped.await);
        }));
        Self { path, stage, stop: Some(stop), task, _home: home }
    }

    pub(crate) async fn connect(&self) -> Talk {
        Talk(BufStream::new(UnixStream::connect(&self.path).await.unwrap()))
    }

    /// Asks the server to stop.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.begin_stop();
        timeout(PATIENCE, &mut self.task).await.unwrap().unwrap().unwrap();
        assert!(!self.path.exists(), "the socket leaves with its server");
    }
}

/// A connection.
pub(crate) struct Talk(BufStream<UnixStream>);

impl Talk {
    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next line, or nothing when the connection has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("a line in time");
        read.ok().filter(|bytes| *bytes > 0)?;
        Some(line.trim_end().to_owned())
    }

    /// The code of the error in the next line.
    pub(crate) async fn code(&mut self) -> Option<i64> {
        let line = self.line().await?;
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["error"]["code"].as_i64()
    }
}

/// A call in one line.
pub(crate) fn call(id: u32, method: &str, params: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}\n")
}
