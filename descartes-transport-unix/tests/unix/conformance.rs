//! The suite that every transport passes, and a reader that is cut off.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use descartes_rpc::{
    client::{Client, Update},
    service::Rpc,
    testing::{self, conformance},
    wire::event::SubscribeParams,
};
use descartes_transport_unix::{UnixClient, UnixConfig, UnixTransport};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::fake::PATIENCE;

/// A real service behind a real socket.
struct Served {
    path: PathBuf,
    home: TempDir,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    fn start(rpc: Rpc) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("descartes.sock");
        let transport = UnixTransport::bind(UnixConfig::new(&path)).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(transport.serve(rpc, async {
            drop(stopped.await);
        }));
        Self { path, home, stop: Mutex::new(Some(stop)), task }
    }

    fn begin_stop(&self) {
        drop(self.stop.lock().unwrap().take());
    }

    async fn stop(self) {
        self.begin_stop();
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

async fn service() -> Rpc {
    testing::fake_service(UnixConfig::new("unused").own_uid).await
}

#[async_trait]
impl conformance::Harness for Served {
    fn link(&self) -> conformance::Link {
        conformance::Link::Duplex(Arc::new(UnixClient::new(&self.path)))
    }

    fn agent(&self) -> Value {
        testing::fake_agent()
    }

    async fn shut_down(&self) -> bool {
        self.begin_stop();
        true
    }
}

#[tokio::test]
async fn the_transport_conforms() {
    let served = Served::start(service().await);
    let report = conformance::run(&served).await;
    report.assert_passed();
    assert_eq!(report.passed(), report.outcomes().count(), "nothing is skipped: {report}");
    served.stop().await;
}

/// Stands between a client and a server, and cuts them off when told.
struct Proxy {
    path: PathBuf,
    cut: Arc<Notify>,
}

impl Proxy {
    fn start(server: &Path, path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let proxy = Self { path, cut: Arc::default() };
        let (cut, server) = (Arc::clone(&proxy.cut), server.to_owned());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (cut, server) = (Arc::clone(&cut), server.clone());
                tokio::spawn(async move {
                    let Ok(mut far) = UnixStream::connect(server).await else { return };
                    tokio::select! {
                        ended = copy_bidirectional(&mut near, &mut far) => drop(ended),
                        () = cut.notified() => {}
                    }
                });
            }
        });
        proxy
    }
}

/// Reads all history; `at_event` hears how many events there have been.
async fn history(client: &Client, mut at_event: impl FnMut(usize)) -> Vec<String> {
    let params =
        SubscribeParams { topics: vec!["agent/".to_owned()], ..SubscribeParams::default() };
    let mut subscription = client.subscribe(params).await.unwrap();
    let mut cursors = Vec::new();
    loop {
        at_event(cursors.len());
        let update = timeout(PATIENCE, subscription.next()).await.expect("an update in time");
        match update.expect("the subscription goes on").unwrap() {
            Update::Event(event) => cursors.push(event.head().cursor.clone()),
            Update::Synced { .. } => return cursors,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_cut_off_after_any_event_misses_and_repeats_nothing() {
    let served = Served::start(service().await);
    let client = Client::connect(UnixClient::new(&served.path));
    for _ in 0..3 {
        let params = serde_json::value::to_raw_value(&testing::fake_agent()).unwrap();
        let spawned = client.call_raw("agent.spawn", &params).await.unwrap();
        let spawned: Value = serde_json::from_str(spawned.get()).unwrap();
        let id = serde_json::json!({"agent_id": spawned["agent_id"], "force": true});
        let id = serde_json::value::to_raw_value(&id).unwrap();
        client.call_raw("agent.kill", &id).await.unwrap();
    }
    let whole = history(&client, |_| {}).await;
    assert!(whole.len() > 6, "{whole:?}");
    let proxy = Proxy::start(&served.path, served.home.path().join("proxy"));
    for after in 0..=whole.len() {
        let cut = |seen| {
            if seen == after {
                proxy.cut.notify_waiters();
            }
        };
        let through = Client::connect(UnixClient::new(&proxy.path));
        assert_eq!(history(&through, cut).await, whole, "{after}");
    }
    served.stop().await;
}
