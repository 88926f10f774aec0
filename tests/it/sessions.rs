//! Sessions of many clients: whoever follows or controls an agent, over whatever transport, sees
//! and does the same, and may leave.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use descartes_rpc::client::{Client, Subscription, Update};
use descartes_rpc::wire::agent::{AgentStatus, SpawnParams, WaitParams};
use descartes_rpc::wire::control::{KillParams, WriteParams};
use descartes_rpc::wire::event::SubscribeParams;
use descartes_transport_http::{HttpClient, WsClient};
use descartes_transport_unix::UnixClient;
use descartes_transport_zmq::ZmqConnect;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::rig::agents::{events, log};
use crate::rig::daemon::Daemon;
use crate::rig::{Caller, parrot};

/// One client over each transport, with its name.
fn clients(daemon: &Daemon) -> Vec<(&'static str, Client)> {
    let http = format!("http://{}", daemon.http_address());
    let ws = format!("ws://{}/ws", daemon.http_address());
    vec![
        ("http", Client::exchange(HttpClient::new(&http).expect("the daemon's address is a URL"))),
        ("ws", Client::connect(WsClient::new(&ws).expect("the daemon's address is a URL"))),
        ("unix", Client::connect(UnixClient::new(daemon.socket_path()))),
        (
            "zmq",
            Client::connect(ZmqConnect::new(daemon.zmq()).expect("the daemon's address is one")),
        ),
        ("another unix", Client::connect(UnixClient::new(daemon.socket_path()))),
    ]
}

fn params<P: DeserializeOwned>(params: Value) -> P {
    serde_json::from_value(params).expect("parameters of this test")
}

async fn spawn(client: &Client, command: &[String]) -> String {
    let spawn = json!({"agent_type": "process", "config": {"command": command}});
    client.agent_spawn(params::<SpawnParams>(spawn)).await.expect("it starts").agent_id
}

async fn write(client: &Client, id: &str, text: &str) {
    let write = json!({"agent_id": id, "text": text});
    client.agent_write_stdin(params::<WriteParams>(write)).await.expect("it listens");
}

async fn follow(client: &Client, id: &str) -> Subscription {
    let topics = vec![format!("agent/{id}/")];
    let follow = SubscribeParams { topics, ..SubscribeParams::default() };
    client.subscribe(follow).await.expect("it can be followed")
}

/// The events up to the agent's end.
async fn seen(mut subscription: Subscription) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        match subscription.next().await.expect("it goes on").expect("nothing breaks") {
            Update::Event(event) => {
                seen.push(serde_json::from_str(event.json()).expect("an event is JSON"));
                if event.kind() == "agent.exited" {
                    return seen;
                }
            }
            Update::Synced { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The command line as one more client.
struct Follower(Child);

impl Follower {
    fn start(daemon: &Daemon, id: &str) -> Self {
        let mut command = daemon.home.command("descartes");
        command.arg("--data-dir").arg(daemon.home.data());
        command.args(["--json", "events", "--follow", id]).stdout(Stdio::piped());
        Self(command.spawn().expect("descartes starts"))
    }

    /// The events up to the agent's end.
    fn seen(&mut self) -> Vec<Value> {
        let mut seen: Vec<Value> = Vec::new();
        for line in BufReader::new(self.0.stdout.take().expect("stdout is piped")).lines() {
            let line = line.expect("lines of text");
            seen.push(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")));
            if seen.last().is_some_and(|event| event["type"] == "agent.exited") {
                break;
            }
        }
        seen
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn everybody_sees_the_same_events_with_the_same_cursors() {
    let daemon = Daemon::start();
    let clients = clients(&daemon);
    let id = spawn(&clients[0].1, &parrot::parrot(&["echo"])).await;
    let mut followers = Vec::new();
    for (name, client) in &clients {
        followers.push((*name, tokio::spawn(seen(follow(client, &id).await))));
    }
    let mut command_line = Follower::start(&daemon, &id);
    for (name, client) in &clients {
        write(client, &id, &format!("{name} says something\n")).await;
    }
    // Whoever comes late sees the same.
    let late = follow(&clients[1].1, &id).await;
    let kill = json!({"agent_id": id, "force": true});
    let (_, killer) = &clients[1];
    let killed = killer.agent_kill(params::<KillParams>(kill.clone())).await.expect("it dies");
    assert_eq!(killed.status, AgentStatus::Killed);

    let history = events(&mut daemon.socket(), &format!("agent/{id}/"), "start");
    let exited = &history[history.len() - 1];
    assert_eq!(exited["type"], "agent.exited");
    for (name, follower) in followers {
        assert_eq!(follower.await.expect("it follows to the end"), history, "{name}");
    }
    assert_eq!(seen(late).await, history, "late");
    assert_eq!(command_line.seen(), history, "the command line");
    // The others may kill it too; it is dead, and they are told.
    for (name, client) in &clients {
        let again = client.agent_kill(params::<KillParams>(kill.clone())).await;
        assert_eq!(again.expect("killing is never too late").status, AgentStatus::Killed, "{name}");
    }
}

#[tokio::test]
async fn whoever_waits_for_the_end_is_told_whoever_brought_it_about() {
    let daemon = Daemon::start();
    let clients = clients(&daemon);
    let id = spawn(&clients[0].1, &parrot::parrot(&["line", "exit", "3"])).await;
    let wait = json!({"agent_id": id, "timeout_secs": 60});
    let mut waits = Vec::new();
    for (name, client) in &clients {
        let (client, wait) = (client.clone(), params::<WaitParams>(wait.clone()));
        waits.push((*name, tokio::spawn(async move { client.agent_wait(wait).await })));
    }
    write(&clients[2].1, &id, "\n").await;
    for (name, wait) in waits {
        let waited = wait.await.expect("a wait does not panic").expect("the agent ends");
        let code = waited.exit.and_then(|exit| exit.code);
        assert_eq!((waited.status, code), (AgentStatus::Failed, Some(3)), "{name}");
    }
}

#[tokio::test]
async fn the_client_that_started_an_agent_may_leave_and_any_other_takes_over() {
    let daemon = Daemon::start();
    let transports = clients(&daemon).len();
    for starter in 0..transports {
        let mut clients = clients(&daemon);
        let (name, client) = clients.remove(starter);
        let id = spawn(&client, &parrot::parrot(&["echo"])).await;
        write(&client, &id, "of the first\n").await;
        drop(client);
        for (_, heir) in &clients {
            write(heir, &id, "of an heir\n").await;
        }
        let close = json!({"agent_id": id, "close": true});
        let (_, heir) = &clients[0];
        heir.agent_write_stdin(params::<WriteParams>(close)).await.expect("it listens");
        let wait = params::<WaitParams>(json!({"agent_id": id, "timeout_secs": 60}));
        let waited = heir.agent_wait(wait).await.expect("the agent ends");
        assert_eq!(waited.status, AgentStatus::Completed, "started by {name}");
        let said = "of the first\n".to_owned() + &"of an heir\n".repeat(transports - 1);
        assert_eq!(log(&mut daemon.socket(), &id, "stdout"), said.into_bytes(), "{name}");
    }
}

#[tokio::test]
async fn what_one_connection_writes_arrives_in_its_order_whoever_else_writes() {
    const LINES: usize = 200;
    /// As many as one connection may have at work, with room.
    const BURST: usize = 40;
    let daemon = Daemon::start();
    let clients = clients(&daemon);
    let id = spawn(&clients[0].1, &parrot::parrot(&["echo"])).await;
    let mut writers = Vec::new();
    for (hand, (name, client)) in clients.iter().enumerate() {
        let (client, id, name) = (client.clone(), id.clone(), *name);
        writers.push(tokio::spawn(async move {
            let line = |number| format!("{hand} {number}\n");
            if name == "http" {
                // Each request may take another connection: the order is the caller's.
                for number in 0..LINES {
                    write(&client, &id, &line(number)).await;
                }
            } else {
                // Many at once: the order is that of the connection.
                for burst in 0..LINES / BURST {
                    let mut under_way = tokio::task::JoinSet::new();
                    for number in burst * BURST..(burst + 1) * BURST {
                        let (client, id, line) = (client.clone(), id.clone(), line(number));
                        under_way.spawn(async move { write(&client, &id, &line).await });
                    }
                    under_way.join_all().await;
                }
            }
        }));
    }
    for writer in writers {
        writer.await.expect("everything is written");
    }
    let mut socket = daemon.socket();
    socket.ok("agent.write_stdin", json!({"agent_id": id, "close": true}));
    crate::rig::agents::wait(&mut socket, &id);
    let said = String::from_utf8(log(&mut socket, &id, "stdout")).expect("text");
    for (hand, (name, _)) in clients.iter().enumerate() {
        let own: Vec<usize> = said
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{hand} "))?.parse().ok())
            .collect();
        assert_eq!(own, (0..LINES).collect::<Vec<_>>(), "{name}");
    }
}
