//! Starts a server and talks to it in bytes.

use std::{net::SocketAddr, sync::Arc};

use descartes_transport_http::{HttpConfig, HttpTransport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::fake::{self, PATIENCE, Stage};

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stage: Arc<Stage>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(configure: impl FnOnce(&mut HttpConfig)) -> Self {
        Self::start_on(Stage::default(), configure).await
    }

    pub(crate) async fn start_on(stage: Stage, configure: impl FnOnce(&mut HttpConfig)) -> Self {
        let mut config = HttpConfig::new("127.0.0.1:0".parse().unwrap());
        configure(&mut config);
        let transport = HttpTransport::bind(config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stage = Arc::new(stage);
        let (address, service) = (transport.local_addr(), fake::service(Arc::clone(&stage)));
        let task = tokio::spawn(transport.serve(service, async {
            drop(stopped.await);
        }));
        Self { address, stage, stop: Some(stop), task }
    }

    pub(crate) async fn connect(&self) -> Talk {
        Talk(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends `request` on a connection of its own and reads one answer.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut talk = self.connect().await;
        talk.send(request).await;
        talk.answer().await
    }

    /// Asks the server to stop.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.begin_stop();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

/// A connection.
pub(crate) struct Talk(pub(crate) TcpStream);

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The code of the JSON-RPC error in the body.
    pub(crate) fn code(&self) -> Option<i64> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        assert_eq!(body["jsonrpc"], "2.0");
        body["error"]["code"].as_i64()
    }
}

impl Talk {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends although the server may have closed already.
    pub(crate) async fn send_anyway(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.0.write_all(bytes.as_ref()).await);
    }

    /// Reads one answer with a `content-length`, or without a body.
    pub(crate) async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.read_answer()).await.expect("an answer in time")
    }

    async fn read_answer(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.field("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Reads until `end` has been seen.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            match timeout(PATIENCE, self.0.read_u8()).await.expect("bytes in time") {
                Ok(byte) => read.push(byte),
                Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&read)),
            }
        }
        String::from_utf8(read).unwrap()
    }

    /// Reads to the end, which a reset counts as.
    pub(crate) async fn rest(&mut self) -> String {
        let mut read = Vec::new();
        let ended = timeout(PATIENCE, self.0.read_to_end(&mut read)).await;
        drop(ended.expect("the connection ends in time"));
        String::from_utf8(read).unwrap()
    }
}

/// `POST /` with this body.
pub(crate) fn post(body: &str) -> String {
    post_with("", body)
}

/// The same with further fields, each ended by CRLF.
pub(crate) fn post_with(fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// `GET` of a path.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}
