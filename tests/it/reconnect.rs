//! Typed clients follow printing agents while their connections are cut at random bytes, and while
//! the daemon is killed and started again: each sees exactly what the log has, nothing twice.

use std::sync::Arc;
use std::time::Duration;

use descartes_rpc::client::{Client, Subscription, Update};
use descartes_rpc::wire::event::{AgentExited, Event, OutputBlock, SubscribeParams};
use descartes_transport_http::{HttpClient, WsClient};
use descartes_transport_unix::UnixClient;
use descartes_transport_zmq::ZmqConnect;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::rig::agents::{events, log, spawn, wait};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::proxy::{Proxy, Shears, Targets};
use crate::rig::{Caller, parrot, torture};

/// How many clients follow how many agents.
const PAIRS: usize = 20;
/// How long a client may see nothing new; far beyond every pause that it makes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long all cuts together may take; a quiet machine makes 500 in a quarter of a minute.
const LONG: Duration = Duration::from_secs(300);

/// The proxies in front of a daemon: one for HTTP and the Unix socket, one for ZeroMQ.
struct Proxies {
    main: Proxy,
    zmq: Proxy,
}

impl Proxies {
    async fn start(daemon: &Daemon, shears: &Arc<Shears>) -> Self {
        let folder = |name| {
            let folder = daemon.home.path().join(name);
            std::fs::create_dir_all(&folder).expect("the home is writable");
            folder
        };
        let main = Proxy::start(targets(daemon), Arc::clone(shears), &folder("main")).await;
        let zmq = Proxy::start(zmq_targets(daemon), Arc::clone(shears), &folder("zmq")).await;
        Self { main, zmq }
    }

    /// The daemon is another one.
    fn aim(&self, daemon: &Daemon) {
        self.main.aim(targets(daemon));
        self.zmq.aim(zmq_targets(daemon));
    }
}

/// Client number `at`, over one of the transports in turn, through `proxies`.
fn client(proxies: &Proxies, at: usize) -> Client {
    let Proxies { main: proxy, zmq } = proxies;
    let url = |scheme, path| format!("{scheme}://{}{path}", proxy.tcp);
    let over_zmq = |place: String| {
        Client::connect(ZmqConnect::new(&place).expect("the proxy's address is one"))
    };
    match at % 5 {
        0 => {
            let http = HttpClient::new(&url("http", ""));
            Client::exchange(http.expect("the proxy's address is a URL"))
        }
        1 => {
            let ws = WsClient::new(&url("ws", "/ws"));
            Client::connect(ws.expect("the proxy's address is a URL"))
        }
        2 => over_zmq(format!("tcp://{}", zmq.tcp)),
        3 => over_zmq(format!("ipc://{}", zmq.unix.display())),
        _ => Client::connect(UnixClient::new(proxy.unix.clone())),
    }
}

fn targets(daemon: &Daemon) -> Targets {
    Targets { tcp: daemon.http_address(), unix: daemon.socket_path() }
}

fn zmq_targets(daemon: &Daemon) -> Targets {
    let tcp = daemon.zmq().trim_start_matches("tcp://").parse().expect("ZeroMQ has a port");
    Targets { tcp, unix: daemon.home.runtime().join("zmq.sock") }
}

/// What a client saw of the agents.
#[derive(Default)]
struct Seen {
    /// Every event, as the daemon wrote it, in the order seen.
    events: Vec<String>,
    /// The output of the agent that was followed alone.
    output: Vec<u8>,
}

impl Seen {
    fn note(&mut self, event: &Event) {
        self.events.push(event.json().to_owned());
        if event.kind() == "agent.output" {
            let block: OutputBlock = event.data().expect("a block of output");
            self.output.extend(block.text.expect("text").into_bytes());
        }
    }
}

/// Takes what `subscription` brings until `is_last` says so.
async fn follow(mut subscription: Subscription, is_last: impl Fn(&Event) -> bool) -> Seen {
    let mut seen = Seen::default();
    let mut synced = 0;
    loop {
        let next = timeout(PATIENCE, subscription.next()).await;
        let next = next.unwrap_or_else(|_| panic!("nothing after {:?}", seen.events.last()));
        match next.expect("it does not end").expect("it comes back") {
            Update::Event(event) => {
                seen.note(&event);
                if is_last(&event) {
                    return seen;
                }
            }
            Update::Synced { .. } => synced += 1,
            other => panic!("{other:?}"),
        }
        assert!(synced <= 1, "synced is said once");
    }
}

async fn open(client: &Client, topic: String) -> Subscription {
    let follow = SubscribeParams { topics: vec![topic], ..SubscribeParams::default() };
    loop {
        // The first attempt is the caller's; only what was opened comes back by itself.
        match client.subscribe(follow.clone()).await {
            Ok(subscription) => return subscription,
            Err(error) if error.rpc().is_none() => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn torture_clients_whose_connections_are_cut_at_random_see_each_byte_once() {
    let daemon = Setup::new().flag("--zmq-port=0").start();
    let mut control = daemon.socket();
    let (cuts, runtime) = (torture(500), Runtime::new().expect("a runtime"));
    let shears = Arc::new(Shears::new(cuts, 8 * 1024));
    let proxies = runtime.block_on(Proxies::start(&daemon, &shears));
    let agent = parrot::parrot(&["count", "1000000", "20"]);
    let ids: Vec<String> = (0..PAIRS).map(|_| spawn(&mut control, &agent)).collect();
    let follow_one = |(at, id): (usize, &String)| {
        let (client, topic) = (client(&proxies, at), format!("agent/{id}/"));
        let is_last = |event: &Event| event.kind() == "agent.exited";
        runtime.spawn(async move { follow(open(&client, topic).await, is_last).await })
    };
    let followers: Vec<_> = ids.iter().enumerate().map(follow_one).collect();
    let all_cut = runtime.block_on(async { timeout(LONG, shears.finished()).await });
    assert!(all_cut.is_ok(), "only {} of {cuts} cuts in {LONG:?}", shears.done());
    for id in &ids {
        control.ok("agent.kill", json!({"agent_id": id, "force": true}));
    }
    assert_eq!(shears.done(), cuts);
    for (id, follower) in ids.iter().zip(followers) {
        let seen = runtime.block_on(follower).expect("the client follows to the end");
        assert!(seen.output == log(&mut control, id, "stdout"), "the output of {id} differs");
        assert_same(&seen.events, &events(&mut control, &format!("agent/{id}/"), "start"));
    }
}

/// Holds what was seen against what the daemon has, whatever the order of members.
#[track_caller]
fn assert_same(seen: &[String], history: &[Value]) {
    let read = |text: &String| serde_json::from_str::<Value>(text).expect("an event is JSON");
    let differs = seen.iter().zip(history).position(|(seen, had)| read(seen) != *had);
    assert_eq!(differs, None, "the first event that differs");
    assert_eq!(seen.len(), history.len());
}

/// A moment between 20 and 270 ms, another one each time.
fn moment() -> Duration {
    use std::hash::{BuildHasher, RandomState};
    Duration::from_micros(20_000 + RandomState::new().hash_one(()) % 250_000)
}

fn restart(home: &Home) -> Daemon {
    // Each round leaves twenty agents behind, and all of them are compared.
    let keep = "[retention]\nended_agents = 100000\n";
    Setup::at(home).config(keep).flag("--zmq-port=0").start()
}

/// One life of a daemon: printing agents are started, and at some moment it is killed.
fn live_and_die(daemon: Daemon, agent: &[String]) -> Home {
    let mut control = daemon.socket();
    for _ in 0..PAIRS {
        spawn(&mut control, agent);
    }
    std::thread::park_timeout(moment());
    daemon.kill9()
}

#[test]
fn torture_clients_whose_daemon_is_killed_again_and_again_see_each_event_once() {
    let home = Home::new();
    let mut daemon = restart(&home);
    let runtime = Runtime::new().expect("a runtime");
    let whole = Arc::new(Shears::new(0, 1));
    let proxies = runtime.block_on(Proxies::start(&daemon, &whole));
    let follow_all = |at| {
        let client = client(&proxies, at);
        let is_last = |event: &Event| event.kind() == "agent.exited" && ended_with(event, 77);
        let topic = "agent/".to_owned();
        runtime.spawn(async move { follow(open(&client, topic).await, is_last).await })
    };
    let followers: Vec<_> = (0..PAIRS).map(follow_all).collect();
    let agent = parrot::parrot(&["count", "1000000", "100"]);
    for _ in 0..torture(500) {
        live_and_die(daemon, &agent);
        daemon = restart(&home);
        proxies.aim(&daemon);
    }
    let mut control = daemon.socket();
    let last = spawn(&mut control, &parrot::parrot(&["exit", "77"]));
    wait(&mut control, &last);
    let history = events(&mut control, "agent/", "start");
    for follower in followers {
        let seen = runtime.block_on(follower).expect("the client follows to the end");
        assert_same(&seen.events, &history);
    }
}

fn ended_with(event: &Event, code: i32) -> bool {
    event.data::<AgentExited>().is_ok_and(|exited| exited.exit.code == Some(code))
}
