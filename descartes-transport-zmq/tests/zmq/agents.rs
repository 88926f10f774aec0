//! The agent protocol beside JSON-RPC on one connection.

use descartes_transport_zmq::zmtp::SocketType;
use serde_json::{Value, json};

use crate::{
    node::Node,
    packed::{map, text},
    server::{Server, Talk, call},
};

fn request(kind: &str, id: &str, more: &[(&str, Node)]) -> Vec<u8> {
    map(&[&[("type", text(kind)), ("request_id", text(id))], more].concat())
}

async fn heard(talk: &mut Talk) -> Value {
    let frames = talk.frames().await.unwrap();
    serde_json::from_slice(&Node::unpack(frames.last().unwrap())).unwrap()
}

#[tokio::test]
async fn a_req_starts_lists_and_stops_an_agent() {
    let server = Server::start_whole().await;
    let mut talk = server.connect(SocketType::Req).await;
    let fake = descartes_rpc::testing::fake_agent();
    let config: Node = serde_json::from_value(fake).unwrap();
    talk.send(&[b"", &request("spawn_request", "1", &[("config", config)])]).await;
    let spawned = heard(&mut talk).await;
    assert_eq!((&spawned["type"], &spawned["success"]), (&json!("spawn_response"), &json!(true)));
    let agent = spawned["agent_id"].as_str().unwrap();
    talk.send(&[b"", &request("list_agents_request", "2", &[])]).await;
    assert_eq!(heard(&mut talk).await["agents"][0]["id"], agent);
    let kill = [("agent_id", text(agent)), ("command_type", text("kill"))];
    talk.send(&[b"", &request("control_command", "3", &kill)]).await;
    let killed = heard(&mut talk).await;
    assert_eq!((&killed["request_id"], &killed["status"]), (&json!("3"), &json!("killed")));
    drop(talk);
    server.stop().await;
}

#[tokio::test]
async fn three_languages_share_a_connection() {
    let server = Server::start_whole().await;
    let mut talk = server.dealer().await;
    let health = call(7, "system.health", "{}");
    for _ in 0..3 {
        talk.send(&[&request("health_check_request", "a", &[])]).await;
        talk.send(&[&health]).await;
        talk.send(&[&Node::pack(&health).unwrap()]).await;
        let mut answers = Vec::new();
        for _ in 0..3 {
            let frames = talk.frames().await.unwrap();
            let is_json = frames[0][0] == b'{';
            let json = if is_json { frames[0].to_vec() } else { Node::unpack(&frames[0]) };
            let answer: Value = serde_json::from_slice(&json).unwrap();
            answers.push((is_json, answer["id"] == 7, answer["healthy"] == true));
        }
        answers.sort_unstable();
        assert_eq!(answers, [(false, false, true), (false, true, false), (true, true, false)]);
    }
    drop(talk);
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_answered_in_its_protocol() {
    let server = Server::start_whole().await;
    let mut talk = server.dealer().await;
    let whole = request("health_check_request", "a", &[]);
    for message in [
        request("no_such_request", "a", &[]),
        [&whole[..], b"\x01"].concat(),
        whole[..whole.len() - 1].to_vec(),
        map(&[("type", text("health_check_request")), ("request_id", Node::Unsigned(1))]),
        request("health_check_request", "a", &[("x", Node::Array(vec![Node::Null; 300_000]))]),
    ] {
        talk.send(&[b"", &message]).await;
        let answer = heard(&mut talk).await;
        assert!(answer["type"].as_str().unwrap().ends_with("_response"), "{answer}");
        assert!(answer["error"]["code"].is_number(), "{answer}");
    }
    // A message of this protocol may be ten times as long as a request of JSON-RPC.
    let fake = descartes_rpc::testing::fake_agent();
    let mut config: Value = fake;
    config["name"] = json!("x".repeat(9 << 20));
    let config: Node = serde_json::from_value(config).unwrap();
    talk.send(&[b"", &request("spawn_request", "1", &[("config", config)])]).await;
    let answer = heard(&mut talk).await;
    assert_eq!(answer["type"], "spawn_response");
    assert_ne!(answer["error"]["code"], -32011, "{answer}");
    drop(talk);
    server.stop().await;
}
