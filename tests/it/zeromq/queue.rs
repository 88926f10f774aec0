//! A client whose daemon is away: what it queued is done exactly once when the daemon is back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use descartes_rpc::error::ErrorKind;
use descartes_rpc::wire::agent::SpawnParams;
use descartes_transport_zmq::client::ZmqError;
use descartes_transport_zmq::{ControlCommandType, ZmqClient, ZmqRunnerConfig};
use serde_json::json;
use tokio::task::JoinSet;

use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::{Caller, PATIENCE, parrot, torture};

fn start(home: &Home) -> Daemon {
    Setup::at(home).only_config("[agents]\nmax_running = 1000\n").start()
}

async fn client_of(endpoint: &str) -> ZmqClient {
    let config = ZmqRunnerConfig {
        endpoint: endpoint.to_owned(),
        request_timeout_secs: PATIENCE.as_secs(),
        reconnect_delay_secs: 1,
        max_reconnect_attempts: 1000,
        ..ZmqRunnerConfig::default()
    };
    ZmqClient::start(config).await.expect("the configuration is right")
}

/// An agent that leaves a line with its name in `deeds` and ends.
fn deed(name: &str, deeds: &Path) -> SpawnParams {
    let script = format!("echo {name} >> '{}'", deeds.display());
    let config = json!({"command": parrot::shell(&script)});
    let params = json!({"name": name, "agent_type": "process", "config": config});
    serde_json::from_value(params).expect("parameters of this test")
}

async fn queued(client: &ZmqClient, count: usize) {
    let began = Instant::now();
    while client.queued_command_count() != count {
        let waiting = client.queued_command_count();
        assert!(began.elapsed() < PATIENCE, "{waiting} wait, not {count}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How often each deed was done.
fn done(deeds: &Path) -> BTreeMap<String, usize> {
    let mut done = BTreeMap::new();
    for name in fs::read_to_string(deeds).unwrap_or_default().lines() {
        *done.entry(name.to_owned()).or_insert(0) += 1;
    }
    done
}

#[tokio::test]
async fn what_was_queued_while_the_daemon_was_away_is_done_once_and_answered() {
    const SPAWNS: usize = 120;
    const OTHERS: usize = 80;
    let daemon = start(&Home::new());
    let client = client_of(daemon.zmq()).await;
    client.health_check().await.expect("the daemon is there");
    let home = daemon.kill9();
    let deeds = home.path().join("deeds");
    let mut commands = JoinSet::new();
    for number in 0..SPAWNS {
        let (client, name) = (client.clone(), format!("queued-{number}"));
        let params = deed(&name, &deeds);
        commands.spawn(async move {
            let spawned = client.spawn_remote(params).await.expect("it is started");
            assert_eq!(spawned.name, name, "each gets its own answer");
        });
    }
    for number in 0..OTHERS {
        let client = client.clone();
        commands.spawn(async move {
            let nobody = format!("nobody-{number}");
            let error = client.pause_agent(&nobody).await.expect_err("there is none");
            assert_eq!(error.kind(), ErrorKind::AgentNotFound, "{error}");
        });
    }
    queued(&client, SPAWNS + OTHERS).await;
    // At the full count the daemon is away for half a minute.
    tokio::time::sleep(Duration::from_secs(torture(30) as u64)).await;
    assert_eq!(client.queued_command_count(), SPAWNS + OTHERS, "they wait");
    let daemon = start(&home);
    while let Some(ended) = commands.join_next().await {
        ended.expect("each is answered as it should be");
    }
    let mut socket = daemon.socket();
    let listed = socket.ok("agent.list", json!({"status": "any", "limit": 1000}));
    assert_eq!(listed["total"], SPAWNS, "nothing is started twice");
    for agent in listed["agents"].as_array().expect("agents") {
        let ended = socket.ok("agent.wait", json!({"agent_id": agent["id"]}));
        assert_eq!(ended["status"], "completed", "{ended}");
    }
    let done = done(&deeds);
    assert_eq!(done.len(), SPAWNS, "each is done");
    assert!(done.values().all(|times| *times == 1), "each once: {done:?}");
}

#[tokio::test]
async fn what_was_on_its_way_when_the_daemon_was_killed_is_not_done_twice() {
    const EACH: usize = 60;
    let mut daemon = start(&Home::new());
    let client = client_of(daemon.zmq()).await;
    let deeds = daemon.home.path().join("deeds");
    let rounds = torture(20).max(2);
    let mut commands = JoinSet::new();
    for round in 0..rounds {
        let first = Arc::new(tokio::sync::Notify::new());
        for number in 0..EACH {
            let (client, first) = (client.clone(), Arc::clone(&first));
            let params = deed(&format!("killed-{round}-{number}"), &deeds);
            commands.spawn(async move {
                let spawned = client.spawn_remote(params).await;
                first.notify_one();
                spawned
            });
        }
        // In the middle of it: one is answered, the others are not.
        first.notified().await;
        let home = daemon.kill9();
        daemon = start(&home);
    }
    let mut names = BTreeMap::new();
    while let Some(answered) = commands.join_next().await {
        let answered = answered.expect("a caller does not panic").expect("each is answered");
        *names.entry(answered.name).or_insert(0) += 1;
    }
    assert_eq!(names.len(), rounds * EACH, "each is answered once");
    let mut socket = daemon.socket();
    let listed = socket.ok("agent.list", json!({"status": "any", "limit": 1}));
    assert_eq!(listed["total"], rounds * EACH, "nothing is started twice");
    let done = done(&deeds);
    assert!(done.values().all(|times| *times == 1), "none is done twice: {done:?}");
}

#[tokio::test]
async fn one_more_than_the_queue_holds_is_refused_at_once() {
    const MOST: usize = 1000;
    let home = Home::new();
    let nobody = format!("ipc://{}", home.path().join("nobody.sock").display());
    let client = client_of(&nobody).await;
    let deeds = home.path().join("deeds");
    let mut waiting = JoinSet::new();
    for number in 0..MOST {
        let (client, params) = (client.clone(), deed(&format!("waits-{number}"), &deeds));
        waiting.spawn(async move { client.spawn_remote(params).await });
    }
    queued(&client, MOST).await;
    let refused = client.spawn_remote(deed("one-more", &deeds)).await.expect_err("it is full");
    assert!(matches!(refused, ZmqError::QueueFull { waiting: MOST }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    assert_eq!(waiting.len(), MOST, "the others go on waiting");
    assert!(waiting.try_join_next().is_none());
}

#[tokio::test]
async fn what_takes_longer_than_the_daemon_waits_is_answered_when_it_is_done() {
    const AGENTS: usize = 8;
    let config = "[agents]\nstop_grace_secs = 3\n[server]\nrequest_timeout_secs = 2\n";
    let daemon = Setup::new().only_config(config).start();
    let client = client_of(daemon.zmq()).await;
    // They do not listen, so that each takes the whole grace.
    let deaf = "trap '' TERM; echo ready; while :; do sleep 1000; done";
    let mut ids = Vec::new();
    for number in 0..AGENTS {
        let params = json!({"name": format!("deaf-{number}"), "agent_type": "process",
            "config": {"command": parrot::shell(deaf)}});
        let params = serde_json::from_value(params).expect("parameters of this test");
        ids.push(client.spawn_remote(params).await.expect("it is started").agent_id);
    }
    for id in &ids {
        crate::rig::agents::await_output(&mut daemon.socket(), id, "ready");
    }
    let last = ids.pop().expect("one of them");
    let stop = ControlCommandType::Stop;
    let done = client.batch_control(ids.clone(), stop, None, false).await.expect("it is done");
    let order: Vec<&String> = done.results.iter().map(|result| &result.agent_id).collect();
    assert_eq!(order, ids.iter().collect::<Vec<_>>());
    assert_eq!((done.successful, done.failed), (AGENTS as u64 - 1, 0), "{done:?}");
    let stopped = client.stop_agent(&last).await.expect("it is done");
    assert!(stopped.forced, "{stopped:?}");
}
