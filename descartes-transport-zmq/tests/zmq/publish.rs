//! Subscribers over real sockets.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use descartes_rpc::{
    client::Client,
    same_user::{PeerSocket, UidLookup},
    testing::{fake_agent, fake_service},
    wire::{agent::SpawnParams, control::WriteParams, event::ReadParams},
};
use descartes_transport_zmq::{
    BindError, PublishConfig, PublishTransport,
    zmtp::{SocketType, ZmtpSocket},
};
use futures_util::SinkExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::{Semaphore, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    fake::PATIENCE,
    server::{Talk, patient},
};

fn params<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// Agents that echo, and whoever publishes what they do.
struct Publisher {
    client: Client,
    address: SocketAddr,
    path: PathBuf,
    /// An agent whose output tells that a subscription is in force.
    bell: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
    _home: tempfile::TempDir,
}

impl Publisher {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(configure: impl FnOnce(&mut PublishConfig)) -> Self {
        let rpc = fake_service(0).await;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/pub.sock");
        let mut config = PublishConfig::new();
        config.tcp = Some("127.0.0.1:0".parse().unwrap());
        config.ipc = Some(path.clone());
        config.zmtp.handshake = PATIENCE;
        configure(&mut config);
        let transport = PublishTransport::bind(config).await.unwrap();
        assert_eq!(transport.ipc_path(), Some(&*path));
        let address = transport.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(transport.serve(rpc.clone(), async { drop(stopped.await) }));
        let client = Client::in_memory(rpc.clone());
        let stop = Some(stop);
        let bell = String::new();
        let mut this = Self { client, address, path, bell, stop, task, _home: home };
        this.bell = this.spawn().await;
        this
    }

    async fn spawn(&self) -> String {
        let spawned = self.client.agent_spawn(params::<SpawnParams>(fake_agent())).await;
        spawned.unwrap().agent_id
    }

    async fn write(&self, agent: &str, text: &str, close: bool) {
        let write = json!({"agent_id": agent, "text": text, "close": close});
        self.client.agent_write_stdin(params::<WriteParams>(write)).await.unwrap();
    }

    /// A subscriber by TCP whose subscription to `prefix` is in force.
    async fn subscriber(&self, prefix: &str) -> Talk {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.subscribed(Talk::over(stream, SocketType::Sub).await, prefix).await
    }

    async fn subscribed<IO>(&self, mut talk: Talk<IO>, prefix: &str) -> Talk<IO>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        talk.0.subscribe(prefix.as_bytes()).unwrap();
        talk.0.subscribe(format!("agent/{}/output ", self.bell).as_bytes()).unwrap();
        talk.0.flush().await.unwrap();
        loop {
            self.write(&self.bell, "ding\n", false).await;
            if timeout(Duration::from_millis(100), talk.frames()).await.is_ok() {
                return talk;
            }
        }
    }

    /// The next event that is not the bell's; nothing when the connection has ended.
    async fn event<IO>(&self, talk: &mut Talk<IO>) -> Option<(String, Value)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            let frames = talk.frames().await?;
            let [message] = &frames[..] else { panic!("{frames:?}") };
            let (topic, event) = parts(message);
            if !topic.contains(&self.bell) {
                return Some((topic, event));
            }
        }
    }

    /// All that `event.read` has of a topic or prefix.
    async fn read(&self, topic: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let topics = vec![topic.to_owned()];
        let mut read = ReadParams { topics, limit: Some(1000), ..ReadParams::default() };
        loop {
            let page = self.client.event_read(read.clone()).await.unwrap();
            assert!(page.gaps.is_empty());
            let values = page.events.iter().map(|event| serde_json::from_str(event.json()));
            all.extend(values.map(Result::unwrap));
            if page.synced {
                return all;
            }
            read.after = Some(page.cursor);
        }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, &mut self.task).await.unwrap().unwrap().unwrap();
        assert!(!self.path.exists());
    }
}

/// Splits at the first space, as clients do.
fn parts(message: &Bytes) -> (String, Value) {
    let text = std::str::from_utf8(message).unwrap();
    let (topic, json) = text.split_once(' ').unwrap();
    (topic.to_owned(), serde_json::from_str(json).unwrap())
}

#[tokio::test]
async fn subscribers_by_tcp_and_by_ipc_see_what_event_read_tells() {
    let publisher = Publisher::start().await;
    let mut by_tcp = publisher.subscriber("agent/").await;
    let stream = UnixStream::connect(&publisher.path).await.unwrap();
    let talk = Talk::over(stream, SocketType::XSub).await;
    let mut by_ipc = publisher.subscribed(talk, "").await;
    let agent = publisher.spawn().await;
    for number in 0..20 {
        publisher.write(&agent, &format!("line {number}\n"), number == 19).await;
    }
    let (mut tcp, mut ipc) = (Vec::new(), Vec::new());
    let is_last = |event: &Value| event["type"] == "agent.exited";
    while !tcp.last().is_some_and(is_last) {
        tcp.push(publisher.event(&mut by_tcp).await.unwrap().1);
    }
    while !ipc.last().is_some_and(is_last) {
        ipc.push(publisher.event(&mut by_ipc).await.unwrap().1);
    }
    // Who subscribes to everything, and may see it, is also told what is written down for audit.
    ipc.retain(|event| event["topic"] != "audit");
    assert_eq!(tcp, publisher.read(&format!("agent/{agent}/")).await);
    assert_eq!(tcp, ipc);
    publisher.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_get_everything_beside_one_that_never_reads() {
    const MESSAGES: usize = 1500;
    const GOOD: usize = 20;
    let publisher = Arc::new(Publisher::start().await);
    let agent = publisher.spawn().await;
    let output = format!("agent/{agent}/output");
    let stuck = publisher.subscriber(&output).await;
    let mut good = Vec::new();
    for _ in 0..GOOD {
        let mut talk = publisher.subscriber(&output).await;
        let publisher = Arc::clone(&publisher);
        good.push(tokio::spawn(async move {
            let mut offsets = Vec::new();
            let mut bytes = 0;
            while bytes < MESSAGES * 4096 {
                let (_, event) = publisher.event(&mut talk).await.unwrap();
                bytes += event["data"]["text"].as_str().unwrap().len();
                offsets.push(event["offset"].as_u64().unwrap());
            }
            offsets
        }));
    }
    let line = format!("{}\n", "x".repeat(4095));
    for _ in 0..MESSAGES {
        publisher.write(&agent, &line, false).await;
    }
    for subscriber in good {
        let offsets = timeout(PATIENCE, subscriber).await.unwrap().unwrap();
        assert!(offsets.iter().copied().eq(0..offsets.len() as u64));
    }
    drop(stuck);
    let publisher = Arc::into_inner(publisher).unwrap();
    publisher.stop().await;
}

#[tokio::test]
async fn a_shutdown_sends_what_was_committed_and_hangs_up() {
    let mut publisher = Publisher::start().await;
    let agent = publisher.spawn().await;
    let output = format!("agent/{agent}/output");
    let mut talk = publisher.subscriber(&output).await;
    let line = format!("{}\n", "x".repeat(4095));
    for _ in 0..500 {
        publisher.write(&agent, &line, false).await;
    }
    let committed = publisher.read(&output).await;
    drop(publisher.stop.take());
    let mut seen = Vec::new();
    while let Some((_, event)) = publisher.event(&mut talk).await {
        seen.push(event);
    }
    assert_eq!(seen[..committed.len()], committed);
    publisher.stop().await;
}

#[derive(Debug)]
struct Always(Option<u32>);

impl UidLookup for Always {
    fn uid_of(&self, _: &PeerSocket) -> io::Result<Option<u32>> {
        Ok(self.0)
    }
}

#[tokio::test]
async fn a_stranger_is_told_nothing() {
    for (uid, trust) in [(Some(4242), true), (None, true), (Some(0), false)] {
        let publisher = Publisher::start_with(|config| {
            config.own_uid = 4000;
            config.uid_lookup = Arc::new(Always(uid));
            config.trust_loopback = trust;
        })
        .await;
        let stream = TcpStream::connect(publisher.address).await.unwrap();
        if let Ok(socket) = ZmtpSocket::connect(stream, SocketType::Sub, patient()).await {
            let mut talk = Talk(socket);
            // It may be cut before it has asked for anything.
            drop(talk.0.subscribe(b""));
            drop(talk.0.flush().await);
            publisher.spawn().await;
            assert_eq!(talk.frames().await, None);
        }
        publisher.stop().await;
    }
}

#[tokio::test]
async fn only_subscribers_are_served() {
    let publisher = Publisher::start().await;
    for kind in [SocketType::Dealer, SocketType::Req, SocketType::Pub] {
        let stream = TcpStream::connect(publisher.address).await.unwrap();
        assert!(ZmtpSocket::connect(stream, kind, patient()).await.is_err(), "{kind:?}");
    }
    publisher.stop().await;
}

#[tokio::test]
async fn more_subscribers_than_there_is_room_for_are_turned_away() {
    let publisher =
        Publisher::start_with(|config| config.connections = Arc::new(Semaphore::new(1))).await;
    let first = publisher.subscriber("").await;
    let stream = TcpStream::connect(publisher.address).await.unwrap();
    assert!(ZmtpSocket::connect(stream, SocketType::Sub, patient()).await.is_err());
    drop(first);
    publisher.stop().await;
}

#[tokio::test]
async fn a_port_or_path_that_is_taken_is_told_at_the_start() {
    let publisher = Publisher::start().await;
    let mut same_port = PublishConfig::new();
    same_port.tcp = Some(publisher.address);
    let mut same_path = PublishConfig::new();
    same_path.ipc = Some(publisher.path.clone());
    for config in [same_port, same_path] {
        let refused = PublishTransport::bind(config).await.unwrap_err();
        assert!(matches!(refused, BindError::InUse { .. }), "{refused}");
    }
    let refused = PublishTransport::bind(PublishConfig::new()).await.unwrap_err();
    assert!(matches!(refused, BindError::Nowhere), "{refused}");
    publisher.stop().await;
}
