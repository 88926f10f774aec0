//! Statuses and output, told to callbacks.

use std::sync::{Arc, Mutex};

use descartes_transport_zmq::protocol::{LogStream, UpdateType};

use super::*;

type Told<T> = Arc<Mutex<Vec<T>>>;

fn told<T>() -> Told<T> {
    Arc::default()
}

fn bytes(pieces: &Told<LogStream>) -> Vec<u8> {
    pieces.lock().unwrap().iter().flat_map(|piece| piece.data.clone()).collect()
}

#[tokio::test]
async fn statuses_go_on_after_the_daemon_was_away_and_after_a_callback_failed() {
    let mut daemon = Daemon::there().await;
    let client = client(&daemon).await;
    let updates = told();
    let keep = Arc::clone(&updates);
    let guard = client
        .stream_agent_status(None, move |update| {
            keep.lock().unwrap().push((update.update_type, update.status));
            Box::pin(async move { Err("a callback may fail".into()) })
        })
        .await
        .unwrap();
    let id = client.spawn_remote(agent("one")).await.unwrap().agent_id;
    let has = |wanted| updates.lock().unwrap().contains(&wanted);
    let running = (UpdateType::StatusChanged, Some(AgentStatus::Running));
    until("it runs", || has(running)).await;
    daemon.go_away().await;
    let kill = serde_json::from_value(serde_json::json!({"agent_id": id})).unwrap();
    Client::in_memory(daemon.rpc.clone()).agent_kill(kill).await.unwrap();
    daemon.begin();
    let killed = (UpdateType::Terminated, Some(AgentStatus::Killed));
    until("it is killed", || has(killed)).await;
    let count = updates.lock().unwrap().iter().filter(|update| **update == killed).count();
    assert_eq!((count, guard.is_ended()), (1, false));
}

#[tokio::test]
async fn a_stream_that_is_dropped_tells_nothing_more() {
    let daemon = Daemon::there().await;
    let client = client(&daemon).await;
    let updates = told();
    let keep = Arc::clone(&updates);
    let guard = client
        .stream_agent_status(None, move |update| {
            keep.lock().unwrap().push(update);
            Box::pin(async { Ok(()) })
        })
        .await
        .unwrap();
    client.spawn_remote(agent("one")).await.unwrap();
    until("something is told", || !updates.lock().unwrap().is_empty()).await;
    drop(guard);
    until("the callback is gone", || Arc::strong_count(&updates) == 1).await;
}

#[tokio::test]
async fn output_is_told_byte_for_byte_and_what_was_missed_is_read_back() {
    let mut daemon = Daemon::there().await;
    let client = client(&daemon).await;
    let spawned = client.spawn_remote(agent("one")).await.unwrap();
    let id = spawned.agent_id;
    let pieces = told();
    let keep = Arc::clone(&pieces);
    let guard = client
        .stream_logs(&id, ZmqOutputStream::Both, Some(spawned.cursor), move |piece| {
            keep.lock().unwrap().push(piece);
            Box::pin(async { Ok(()) })
        })
        .await
        .unwrap();
    client.write_agent_stdin(&id, b"one\xff\n").await.unwrap();
    until("the first line", || bytes(&pieces) == b"one\xff\n").await;
    daemon.go_away().await;
    let owner = Client::in_memory(daemon.rpc.clone());
    for line in ["two\n", "three\n"] {
        let write = serde_json::json!({"agent_id": id, "text": line});
        owner.agent_write_stdin(serde_json::from_value(write).unwrap()).await.unwrap();
    }
    daemon.begin();
    until("all lines", || bytes(&pieces) == b"one\xff\ntwo\nthree\n").await;
    client.kill_agent(&id).await.unwrap();
    until("the end", || guard.is_ended()).await;
    let pieces = pieces.lock().unwrap();
    assert_eq!(pieces.last().unwrap().ended.as_deref(), Some("agent_ended"));
}
