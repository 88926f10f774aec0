//! The suite that every transport passes, and the typed client through a restart.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use descartes_rpc::{
    client::{Client, Update},
    service::Rpc,
    testing::{self, conformance},
    wire::event::SubscribeParams,
};
use descartes_transport_http::{HttpClient, HttpConfig, HttpTransport};
use serde_json::Value;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::fake::PATIENCE;

/// A real service behind a real socket.
struct Served {
    address: SocketAddr,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    task: JoinHandle<()>,
}

impl Served {
    async fn start(rpc: Rpc, address: SocketAddr) -> Self {
        let transport = HttpTransport::bind(HttpConfig::new(address)).await.unwrap();
        let address = transport.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(transport.serve(rpc, async {
            drop(stopped.await);
        }));
        Self { address, stop: Mutex::new(Some(stop)), task }
    }

    fn client(&self) -> HttpClient {
        HttpClient::new(&format!("http://{}", self.address)).unwrap()
    }

    fn begin_stop(&self) {
        drop(self.stop.lock().unwrap().take());
    }

    async fn stop(self) {
        self.begin_stop();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

async fn service() -> Rpc {
    testing::fake_service(HttpConfig::new(anywhere()).own_uid).await
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[async_trait]
impl conformance::Harness for Served {
    fn link(&self) -> conformance::Link {
        conformance::Link::Exchange(Arc::new(self.client()))
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
    let served = Served::start(service().await, anywhere()).await;
    let report = conformance::run(&served).await;
    report.assert_passed();
    served.stop().await;
}

/// Stands between a client and a server, and cuts them off when told.
struct Proxy {
    address: SocketAddr,
    cut: Arc<Notify>,
}

impl Proxy {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(anywhere()).await.unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), cut: Arc::default() };
        let cut = Arc::clone(&proxy.cut);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let cut = Arc::clone(&cut);
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
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
    let served = Served::start(service().await, anywhere()).await;
    let client = Client::exchange(served.client());
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
    let proxy = Proxy::start(served.address).await;
    let through = HttpClient::new(&format!("http://{}", proxy.address)).unwrap();
    for after in 0..=whole.len() {
        let cut = |seen| {
            if seen == after {
                proxy.cut.notify_waiters();
            }
        };
        assert_eq!(history(&Client::exchange(through.clone()), cut).await, whole, "{after}");
    }
    served.stop().await;
}
