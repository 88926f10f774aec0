//! Chats with agents of another daemon, reached by ZeroMQ: turns, questions, cancels, and the death
//! of that daemon in the middle of a turn.

use std::process::Command;

use serde_json::{Value, json};

use super::story::{Story, chunks};
use super::{approval, ask, chat, types, types_of};
use crate::house::root;
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::socket::Socket;
use crate::rig::{Caller, processes, skip};

/// A daemon whose backend `over-there` is an ACP agent at the other one.
fn near(far: &Home) -> Daemon {
    let agent = root().join("examples/acp_agent.py");
    let config = format!(
        "[remotes.far]\nendpoint = \"ipc://{}\"\nreconnect_delay_secs = 1\n\
         max_reconnect_attempts = 100000\nheartbeat_interval_secs = 1\nlost_after_secs = 5\n\
         [backends.over-there]\ncommand = [\"python3\", \"{}\"]\ndialect = \"acp\"\n\
         runner = \"far\"\n",
        far.runtime().join("zmq.sock").display(),
        agent.display(),
    );
    Setup::new().config(&config).start()
}

/// A chat with an agent over there.
fn far_chat(socket: &mut Socket, far: &Home) -> String {
    chat(socket, &json!({"backend": "over-there", "working_dir": far.path()}))
}

/// Has a turn begin that goes on until somebody ends it.
fn begin_to_wait(socket: &mut Socket, asking: &mut Socket, chat: &str) -> u64 {
    let before = said(socket, chat);
    let params = json!({"session_id": chat, "prompt": "wait", "wait": true, "timeout_secs": 600});
    let asked = asking.begin("chat.prompt", params);
    processes::eventually("it speaks", || said(socket, chat) > before);
    asked
}

fn said(socket: &mut Socket, chat: &str) -> usize {
    types(socket, chat).iter().filter(|kind| *kind == "text").count()
}

fn agents_of(daemon: &Daemon) -> Value {
    daemon.socket().ok("agent.list", json!({}))["total"].clone()
}

#[test]
fn a_chat_with_an_agent_of_a_remote_is_like_any_other_also_when_the_remote_dies_in_a_turn() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("there is no python3");
    }
    let far_home = Home::new();
    let far = Setup::at(&far_home).start();
    let near = near(&far_home);
    let (mut socket, mut asking) = (near.socket(), near.socket());
    let chat = far_chat(&mut socket, &far_home);
    assert_eq!(ask(&mut socket, &chat, "hello")["content"], "you said: hello");
    assert_eq!(agents_of(&far), 1, "it is there");

    for (decision, there) in [("deny", false), ("allow_once", true)] {
        let file = far_home.path().join(decision);
        let prompt = format!("touch {}", file.display());
        let params =
            json!({"session_id": chat, "prompt": prompt, "wait": true, "timeout_secs": 600});
        let asked = asking.begin("chat.prompt", params);
        let approval = approval(&mut socket, &chat);
        let decided = json!({"approval_id": approval, "decision": decision});
        socket.ok("approval.decide", decided);
        assert_eq!(asking.answer(asked).expect("the turn ends")["outcome"], "completed");
        assert_eq!(file.exists(), there, "{decision}");
    }

    let asked = begin_to_wait(&mut socket, &mut asking, &chat);
    assert_eq!(socket.ok("chat.cancel", json!({"session_id": chat}))["cancelled"], true);
    let turn = asking.answer(asked).expect("the turn ends");
    assert_eq!((&turn["outcome"], &turn["content"]), (&json!("cancelled"), &json!("waiting")));
    let answered = ask(&mut socket, &chat, "on");
    assert_eq!((&answered["turn"], &answered["content"]), (&json!(5), &json!("you said: on")));

    let asked = begin_to_wait(&mut socket, &mut asking, &chat);
    drop(far.kill9());
    let turn = asking.answer(asked).expect("the turn ends");
    assert_eq!((&turn["outcome"], &turn["content"]), (&json!("interrupted"), &json!("waiting")));
    let told = chunks(&mut socket, &chat);
    let story = Story::of(&told);
    assert_eq!((story.turns.len(), &*story.turns[&6].outcome), (6, "interrupted"));
    let kinds = types_of(&told);
    assert_eq!(kinds[kinds.len() - 3..], ["text", "turn_complete", "complete"]);
    let agent = socket.ok("chat.get", json!({"session_id": chat}))["agent_id"].clone();
    let agent = socket.ok("agent.get", json!({"agent_id": agent}));
    assert_eq!((&agent["status"], &agent["run"]), (&json!("lost"), &json!(1)), "{agent}");
    socket.ok("chat.stop", json!({"session_id": chat}));

    let far = Setup::at(&far_home).start();
    let next = far_chat(&mut socket, &far_home);
    let answered = ask(&mut socket, &next, "back");
    assert_eq!(answered["content"], "you said: back", "{answered}");
    socket.ok("chat.stop", json!({"session_id": next}));
    assert_eq!(agents_of(&far), 0, "nothing of it is left");
}
