//! A client that nobody here wrote: jsonrpsee over HTTP and WebSocket.

use jsonrpsee_core::ClientError;
use jsonrpsee_core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee_core::params::{ArrayParams, BatchRequestBuilder, ObjectParams};
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use serde_json::Value;

use crate::rig::{PATIENCE, daemon::Daemon, parrot};

fn client(daemon: &Daemon) -> HttpClient {
    HttpClientBuilder::default()
        .build(format!("http://{}", daemon.http_address()))
        .expect("the address is one")
}

fn named<V: serde::Serialize>(
    members: impl IntoIterator<Item = (&'static str, V)>,
) -> ObjectParams {
    let mut params = ObjectParams::new();
    for (name, value) in members {
        params.insert(name, value).expect("it is JSON");
    }
    params
}

#[tokio::test]
async fn calls_by_name_and_by_position_are_answered() {
    let daemon = Daemon::start();
    let client = client(&daemon);
    let health: Value = client.request("system.health", ArrayParams::new()).await.expect("health");
    assert_eq!(health["status"], "healthy");
    let mut spawn = named([("agent_type", "process")]);
    let config = serde_json::json!({"command": parrot::shell("echo hello")});
    spawn.insert("config", config).expect("it is JSON");
    let spawned: Value = client.request("agent.spawn", spawn).await.expect("an agent");
    let mut position = ArrayParams::new();
    position.insert(&spawned["agent_id"]).expect("it is JSON");
    let waited: Value = client.request("agent.wait", position).await.expect("its end");
    assert_eq!(waited["status"], "completed");
    let logs: Value = client
        .request("agent.logs", named([("agent_id", &spawned["agent_id"])]))
        .await
        .expect("rows");
    assert_eq!(logs["logs"][0]["message"], "hello");
}

#[tokio::test]
async fn errors_have_their_code_and_data() {
    let daemon = Daemon::start();
    let client = client(&daemon);
    for (method, params, code) in [
        ("no.such", named([("a", "b")]), -32601),
        ("agent.get", named([("agent", "b")]), -32602),
        ("agent.get", named([("agent_id", "nobody")]), -32002),
    ] {
        let error = client.request::<Value, _>(method, params).await.expect_err("it fails");
        let ClientError::Call(error) = error else { panic!("{method}: {error:?}") };
        assert_eq!(error.code(), code, "{method}");
        let data: Value = serde_json::from_str(error.data().expect("data").get()).expect("JSON");
        assert!(data["kind"].is_string(), "{data}");
    }
}

#[tokio::test]
async fn a_batch_is_answered_call_by_call() {
    let daemon = Daemon::start();
    let mut batch = BatchRequestBuilder::new();
    for _ in 0..10 {
        batch.insert("system.ready", ArrayParams::new()).expect("it is JSON");
    }
    batch.insert("no.such", ArrayParams::new()).expect("it is JSON");
    let answers = client(&daemon).batch_request::<Value>(batch).await.expect("answers");
    assert_eq!((answers.num_successful_calls(), answers.num_failed_calls()), (10, 1));
}

#[tokio::test]
async fn a_notification_is_taken_and_has_its_effect() {
    let daemon = Daemon::start();
    let client = client(&daemon);
    client.notification("state.put", named([("key", "k"), ("value", "v")])).await.expect("taken");
    let state: Value = client.request("state.query", named([("key", "k")])).await.expect("state");
    assert_eq!(state["state"]["k"], "v");
}

async fn websocket(daemon: &Daemon) -> WsClient {
    let url = format!("ws://{}/ws", daemon.http_address());
    WsClientBuilder::default().build(url).await.expect("a connection")
}

#[tokio::test]
async fn many_calls_share_a_websocket() {
    let daemon = Daemon::start();
    let client = websocket(&daemon).await;
    let waiting = named([("agent_id", serde_json::json!("nobody"))]);
    let error = client.request::<Value, _>("agent.wait", waiting).await.expect_err("it fails");
    let ClientError::Call(error) = error else { panic!("{error:?}") };
    assert_eq!(error.code(), -32002);
    let calls = (0..100).map(|_| client.request::<Value, _>("system.health", ArrayParams::new()));
    for health in futures_util::future::join_all(calls).await {
        assert_eq!(health.expect("health")["status"], "healthy");
    }
}

#[tokio::test]
async fn a_subscription_is_heard_as_notifications() {
    let daemon = Daemon::start();
    let client = websocket(&daemon).await;
    let mut events: Subscription<Value> =
        client.subscribe_to_method("event.next").await.expect("a place for them");
    let mut follow = named([("topics", serde_json::json!(["agent/"]))]);
    follow.insert("types", ["agent.exited"]).expect("it is JSON");
    let opened: Value = client.request("event.subscribe", follow).await.expect("a subscription");
    let mut spawn = named([("agent_type", "process")]);
    let config = serde_json::json!({"command": parrot::shell("exit 3")});
    spawn.insert("config", config).expect("it is JSON");
    let spawned: Value = client.request("agent.spawn", spawn).await.expect("an agent");
    let heard = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event in time");
    let heard = heard.expect("the connection lives").expect("it is JSON");
    assert_eq!(heard["subscription_id"], opened["subscription_id"]);
    assert_eq!(heard["event"]["data"]["exit"]["code"], 3);
    let topic = format!("agent/{}/status", spawned["agent_id"].as_str().expect("an identifier"));
    assert_eq!(heard["event"]["topic"], topic);
}
