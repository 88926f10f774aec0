//! The client that queues: away, back, cut, silent, restarted.

mod restart;
mod streams;

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use descartes_rpc::client::Client;
use descartes_rpc::error::ErrorKind;
use descartes_rpc::testing::fake_agent;
use descartes_rpc::wire::agent::{AgentStatus, ListParams, SpawnParams};
use descartes_transport_zmq::client::ZmqError;
use descartes_transport_zmq::{ControlCommandType, ZmqClient, ZmqOutputStream, ZmqRunnerConfig};
use futures_util::future::join_all;

use crate::daemon::Daemon;

/// Longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(daemon: &Daemon) -> ZmqRunnerConfig {
    ZmqRunnerConfig {
        endpoint: daemon.endpoint(),
        reconnect_delay_secs: 1,
        max_reconnect_attempts: 1000,
        request_timeout_secs: 60,
        ..ZmqRunnerConfig::default()
    }
}

async fn client(daemon: &Daemon) -> ZmqClient {
    ZmqClient::start(config(daemon)).await.unwrap()
}

fn agent(name: &str) -> SpawnParams {
    let params: SpawnParams = serde_json::from_value(fake_agent()).unwrap();
    SpawnParams { name: Some(name.to_owned()), ..params }
}

/// The names of all agents that the daemon ever had, in the order of their making.
async fn names(daemon: &Daemon) -> Vec<String> {
    let owner = Client::in_memory(daemon.rpc.clone());
    let params = serde_json::json!({"status": "any", "limit": 1000, "order": "oldest"});
    let params: ListParams = serde_json::from_value(params).unwrap();
    owner.agent_list(params).await.unwrap().agents.into_iter().map(|agent| agent.name).collect()
}

/// Polls until `done`, giving others their turn.
async fn until(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn seen(daemon: &Daemon) -> Vec<String> {
    daemon.moods.seen.lock().unwrap().iter().cloned().collect()
}

#[tokio::test]
async fn each_command_does_what_it_says() {
    let daemon = Daemon::there().await;
    let client = client(&daemon).await;
    assert_eq!(client.health_check().await.unwrap().status.as_str(), "healthy");
    let id = client.spawn_remote(agent("one")).await.unwrap().agent_id;
    assert_eq!(client.write_agent_stdin(&id, b"ERROR: x\n").await.unwrap().bytes_written, 9);
    assert_eq!(client.write_agent_stdin(&id, b"\xff\n").await.unwrap().bytes_written, 2);
    let (stream, filter) = (ZmqOutputStream::Both, Some("ERROR".to_owned()));
    let asking = async {
        loop {
            let filter = filter.clone();
            let asked = client.query_agent_output(&id, stream, filter, Some(50), None);
            let found = asked.await.unwrap();
            if !found.lines.is_empty() {
                break found;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, asking).await.unwrap();
    assert_eq!((found.lines, found.total_lines), (vec!["ERROR: x".to_owned()], Some(1)));
    assert_eq!(client.pause_agent(&id).await.unwrap().status, AgentStatus::Paused);
    let paused = client.list_remote_agents(Some(AgentStatus::Paused), None).await.unwrap();
    assert_eq!(paused.len(), 1);
    assert_eq!(client.resume_agent(&id).await.unwrap().status, AgentStatus::Running);
    assert_eq!(client.kill_agent(&id).await.unwrap().status, AgentStatus::Killed);
    assert_eq!(client.stop_agent(&id).await.unwrap().status, AgentStatus::Killed);
    let error = client.pause_agent(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn a_batch_tells_each_agents_result_in_order() {
    let daemon = Daemon::there().await;
    let client = client(&daemon).await;
    let ids = join_all((0..20).map(|n| client.spawn_remote(agent(&format!("a{n}"))))).await;
    let mut ids: Vec<String> = ids.into_iter().map(|spawned| spawned.unwrap().agent_id).collect();
    ids.insert(7, "nobody".to_owned());
    let batch = |command| client.batch_control(ids.clone(), command, None, false);
    let done = batch(ControlCommandType::Pause).await.unwrap();
    assert_eq!((done.success, done.successful, done.failed), (false, 20, 1));
    let order: Vec<&str> = done.results.iter().map(|result| result.agent_id.as_str()).collect();
    assert_eq!(order, ids);
    assert_eq!(done.results[7].error.as_ref().unwrap().kind, "agent_not_found");
    assert_eq!(done.results[8].status, Some(AgentStatus::Paused));
    let refused = batch(ControlCommandType::StreamLogs).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidParams);
}

#[tokio::test]
async fn commands_wait_for_a_daemon_that_is_away_and_are_executed_once_in_order() {
    let mut daemon = Daemon::away().await;
    let client = client(&daemon).await;
    let commands = (0..200).map(|n| {
        let client = client.clone();
        async move {
            // Half of them read.
            if n % 2 == 1 {
                client.list_remote_agents(None, Some(1)).await.map(|_| ())
            } else {
                client.spawn_remote(agent(&format!("a{n}"))).await.map(|_| ())
            }
        }
    });
    let commands = tokio::spawn(join_all(commands));
    until("200 wait", || client.queued_command_count() == 200).await;
    daemon.begin();
    for answer in tokio::time::timeout(PATIENCE, commands).await.unwrap().unwrap() {
        answer.unwrap();
    }
    let expected: Vec<String> = (0..200).step_by(2).map(|n| format!("a{n}")).collect();
    let mut made = names(&daemon).await;
    // What is under way at once is finished in any order.
    made.sort();
    let mut sorted = expected.clone();
    sorted.sort();
    assert_eq!(made, sorted);
    let seen = seen(&daemon);
    let pairs = ["agent.spawn", "agent.list"].repeat(100);
    assert_eq!(seen, pairs);
    assert_eq!(client.queued_command_count(), 0);
}

#[tokio::test]
async fn one_more_than_the_queue_holds_is_refused_at_once() {
    let daemon = Daemon::away().await;
    let client = client(&daemon).await;
    let waiting = (0..1000).map(|n| client.spawn_remote(agent(&format!("a{n}"))));
    let mut waiting: Vec<_> = waiting.map(Box::pin).collect();
    let all = poll_fn(|cx| {
        let pending = waiting.iter_mut().all(|one| one.as_mut().poll(cx).is_pending());
        assert!(pending, "nobody can have answered");
        if client.queued_command_count() == 1000 { Poll::Ready(()) } else { Poll::Pending }
    });
    let tick = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = busy(all) => {}
        () = tick => {}
        () = tokio::time::sleep(PATIENCE) => panic!("the queue never filled"),
    }
    let began = std::time::Instant::now();
    let error = client.spawn_remote(agent("one too many")).await.unwrap_err();
    assert!(matches!(error, ZmqError::QueueFull { waiting: 1000 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // Control has places of its own, and whoever leaves makes room.
    let kill = client.kill_agent("a1");
    tokio::pin!(kill);
    assert!(poll_fn(|cx| Poll::Ready(kill.as_mut().poll(cx).is_pending())).await);
    until("the kill waits", || client.queued_command_count() == 1001).await;
    drop(waiting);
    until("the others are gone", || client.queued_command_count() == 1).await;
}

/// Polls `future` again and again.
async fn busy(future: impl Future<Output = ()>) {
    tokio::pin!(future);
    loop {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if polled {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn control_overtakes_what_waits() {
    let mut daemon = Daemon::away().await;
    let client = client(&daemon).await;
    let spawns = (0..50).map(|n| {
        let client = client.clone();
        async move { client.spawn_remote(agent(&format!("a{n}"))).await }
    });
    let spawns = tokio::spawn(join_all(spawns));
    until("all wait", || client.queued_command_count() == 50).await;
    let late = client.clone();
    let kill = tokio::spawn(async move { late.kill_agent("nobody").await });
    until("the kill waits too", || client.queued_command_count() == 51).await;
    daemon.begin();
    assert_eq!(kill.await.unwrap().unwrap_err().kind(), ErrorKind::AgentNotFound);
    assert!(spawns.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(seen(&daemon)[0], "agent.kill");
}

#[tokio::test]
async fn whoever_leaves_takes_what_was_not_sent_along() {
    let mut daemon = Daemon::away().await;
    let client = client(&daemon).await;
    let (left, stays) = (client.clone(), client.clone());
    let left = tokio::spawn(async move { left.spawn_remote(agent("left")).await });
    until("it waits", || client.queued_command_count() == 1).await;
    let stays = tokio::spawn(async move { stays.spawn_remote(agent("stays")).await });
    until("both wait", || client.queued_command_count() == 2).await;
    left.abort();
    until("one waits", || client.queued_command_count() == 1).await;
    daemon.begin();
    stays.await.unwrap().unwrap();
    assert_eq!(names(&daemon).await, ["stays"]);
}

#[tokio::test]
async fn answers_that_are_lost_are_asked_for_again_and_nothing_is_done_twice() {
    let daemon = Daemon::there().await;
    // The first answer of a connection is about health, so twenty commands get one.
    daemon.moods.answers.store(21, Ordering::SeqCst);
    let client = client(&daemon).await;
    let spawns = (0..60).map(|n| client.spawn_remote(agent(&format!("a{n}"))));
    let spawned = tokio::time::timeout(PATIENCE, join_all(spawns)).await.unwrap();
    let mut ids: Vec<String> = spawned.into_iter().map(|one| one.unwrap().agent_id).collect();
    assert_eq!(names(&daemon).await.len(), 60);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 60, "two callers were told of the same agent");
    assert!(daemon.moods.connections.load(Ordering::SeqCst) >= 3);
    assert!(seen(&daemon).len() > 60, "nothing was ever sent again");
}

#[tokio::test]
async fn a_daemon_that_falls_silent_is_left_for_a_new_connection() {
    let daemon = Daemon::there().await;
    let config = ZmqRunnerConfig { heartbeat_interval_secs: 1, ..config(&daemon) };
    let client = ZmqClient::start(config).await.unwrap();
    client.health_check().await.unwrap();
    daemon.moods.silent.store(1, Ordering::SeqCst);
    client.spawn_remote(agent("patient")).await.unwrap();
    assert_eq!(daemon.moods.connections.load(Ordering::SeqCst), 2);
    assert_eq!(names(&daemon).await, ["patient"]);
}

#[tokio::test(start_paused = true)]
async fn waiting_is_bounded_and_attempts_go_on_meanwhile() {
    let daemon = Daemon::away().await;
    let config = ZmqRunnerConfig { endpoint: daemon.endpoint(), ..ZmqRunnerConfig::default() };
    let client = ZmqClient::start(config).await.unwrap();
    let began = tokio::time::Instant::now();
    let error = client.spawn_remote(agent("late")).await.unwrap_err();
    let ZmqError::QueueTimeout { waited, sent: false, idempotency_key: Some(_) } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((*waited, error.kind()), (Duration::from_secs(300), ErrorKind::Timeout));
    assert_eq!(began.elapsed().as_secs(), 300);
    assert_eq!(client.queued_command_count(), 0);
}

#[tokio::test]
async fn without_reconnection_a_daemon_that_is_away_is_told_at_once() {
    let mut daemon = Daemon::away().await;
    let config = ZmqRunnerConfig { auto_reconnect: false, ..config(&daemon) };
    let client = ZmqClient::start(config).await.unwrap();
    let error = client.spawn_remote(agent("one")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    daemon.begin();
    client.spawn_remote(agent("two")).await.unwrap();
    assert_eq!(names(&daemon).await, ["two"]);
}

#[tokio::test]
async fn the_last_clone_takes_the_connections_along() {
    let daemon = Daemon::there().await;
    let client = client(&daemon).await;
    client.health_check().await.unwrap();
    let open = std::sync::Arc::clone(&daemon.moods);
    assert_eq!(open.open.load(Ordering::SeqCst), 1);
    drop(client.clone());
    client.health_check().await.unwrap();
    assert_eq!(open.connections.load(Ordering::SeqCst), 1);
    drop(client);
    until("it is closed", || open.open.load(Ordering::SeqCst) == 0).await;
}
