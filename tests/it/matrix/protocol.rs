//! The agent protocol of ZeroMQ: every message and every command, as everybody.

use descartes_transport_zmq::protocol::{ControlCommandType, ZmqMessage};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::World;
use super::places::Places;
use super::table::{method_of, needed};
use super::who::Who;
use crate::rig::zmtp::message;

/// No agent has this identifier.
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// A request, and the method that it stands for.
struct Asked {
    method: &'static str,
    message: ZmqMessage,
}

fn asked<T: DeserializeOwned + Into<ZmqMessage>>(method: &'static str, body: Value) -> Asked {
    let body: T = serde_json::from_value(body).expect("a body of this message");
    Asked { method, message: body.into() }
}

/// What a command needs to have its effect.
fn payload(command: &str) -> Value {
    match command {
        "signal" => json!({"signal": "kill"}),
        "write_stdin" => json!({"text": "x"}),
        "custom_action" => json!({"action": "ping"}),
        _ => json!({}),
    }
}

/// Every request about `agent`: each message that is no answer, with each command.
fn requests(agent: &str, config: &Value) -> Vec<Asked> {
    use descartes_transport_zmq::protocol as wire;

    let id = json!("x");
    let commands = || ControlCommandType::ALL.iter().map(|command| command.as_str());
    let mut all = Vec::new();
    for kind in ZmqMessage::TYPES {
        match *kind {
            "spawn_request" => all.push(asked::<wire::SpawnRequest>(
                "agent.spawn",
                json!({"request_id": id, "config": config}),
            )),
            "control_command" => all.extend(commands().map(|command| {
                asked::<wire::ControlCommand>(
                    method_of(command),
                    json!({"request_id": id, "agent_id": agent, "command_type": command,
                           "payload": payload(command)}),
                )
            })),
            "list_agents_request" => all.push(asked::<wire::ListAgentsRequest>(
                "agent.list",
                json!({"request_id": id, "filter_status": "any"}),
            )),
            "health_check_request" => all.push(asked::<wire::HealthCheckRequest>(
                "system.health",
                json!({"request_id": id}),
            )),
            "custom_action_request" => all.push(asked::<wire::CustomActionRequest>(
                "agent.action",
                json!({"request_id": id, "agent_id": agent, "action": "ping"}),
            )),
            "batch_control_command" => all.extend(BATCHED.map(|command| {
                asked::<wire::BatchControlCommand>(
                    "agent.batch",
                    json!({"request_id": id, "agent_ids": [agent], "command_type": command,
                           "payload": payload(command), "fail_fast": false}),
                )
            })),
            "output_query_request" => all.push(asked::<wire::OutputQueryRequest>(
                "agent.output",
                json!({"request_id": id, "agent_id": agent}),
            )),
            answer => assert!(ANSWERS.contains(&answer), "{answer} is in no row of the matrix"),
        }
    }
    all
}

/// The commands that many agents can be given at once.
const BATCHED: [&str; 7] =
    ["pause", "resume", "stop", "kill", "signal", "write_stdin", "get_status"];
/// What a daemon says.
const ANSWERS: [&str; 8] = [
    "spawn_response",
    "command_response",
    "list_agents_response",
    "health_check_response",
    "batch_control_response",
    "output_query_response",
    "status_update",
    "log_stream",
];

impl Who {
    /// Asks everything: about what is there where it may not or where that is not its own, else about
    /// nobody.
    pub(super) fn try_protocol(&self, places: &Places, world: &World) {
        let peer = self.held.zmtp(places.zmq(), "REQ");
        let mut peer = peer.unwrap_or_else(|said| panic!("{}: {said}", self.name));
        let mut ask = |message_of: &ZmqMessage| -> Value {
            let sent = message(&[b"", &message_of.encode()]);
            peer.write(&sent).expect("the daemon reads");
            let answer = peer.receive().expect("the daemon answers");
            let answer = ZmqMessage::decode(&answer[1]).expect("a message of the protocol");
            serde_json::to_value(answer).expect("it has a form in JSON")
        };
        let earnest = json!({"agent_type": "process", "config": {"command": ["sleep", "1000"]}});
        let in_earnest = requests(world.agent(), &earnest);
        let about_nobody = requests(NOBODY, &json!({"no_such_member": 1}));
        for (earnest, harmless) in in_earnest.into_iter().zip(about_nobody) {
            let lacks = self.lacks(needed(earnest.method));
            let foreign = self.is_foreign() && earnest.method != "agent.spawn";
            let message =
                if lacks.is_some() || foreign { earnest.message } else { harmless.message };
            let answer = ask(&message);
            let told = format!("{message:?} by {}: {answer}", self.name);
            if let Some(scope) = lacks {
                self.check_refused(scope, &answer["error"], &told);
                continue;
            }
            match earnest.method {
                "agent.list" => {
                    let shown = answer["agents"].as_array().expect("a list");
                    let seen = shown.iter().any(|agent| agent["id"] == world.agent());
                    assert_eq!(seen, !self.is_foreign(), "{told}");
                }
                "system.health" => assert_eq!(answer["healthy"], true, "{told}"),
                "agent.spawn" => assert_eq!(answer["error"]["kind"], "invalid_params", "{told}"),
                "agent.batch" => {
                    let error = &answer["results"][0]["error"];
                    assert_eq!(error["kind"], "agent_not_found", "{told}");
                }
                _ => assert_eq!(answer["error"]["kind"], "agent_not_found", "{told}"),
            }
        }
    }
}
