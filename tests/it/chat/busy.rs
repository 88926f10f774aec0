//! What happens to those who ask while a turn is under way, and to turns that take too long.

use serde_json::json;

use super::story::{Story, chunks};
use super::{ask, chat, get, until};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::{Caller, processes};

#[test]
fn a_prompt_waits_is_refused_or_interrupts_and_one_can_wait_for_a_turn_or_for_all() {
    let daemon = Daemon::start();
    let (mut socket, mut asking, mut all) = (daemon.socket(), daemon.socket(), daemon.socket());
    let chat = chat(&mut socket, &json!({"when_busy": "reject"}));
    let turn = |prompt: &str| json!({"session_id": chat, "prompt": prompt});
    assert_eq!(socket.ok("chat.prompt", turn("wait"))["queued"], false);
    let error = socket.refused("conflict", "chat.prompt", turn("never"));
    assert_eq!((&error["data"]["reason"], &error["data"]["turn"]), (&json!("busy"), &json!(1)));
    let mut queued = turn("wait");
    queued["when_busy"] = json!("queue");
    let queued = socket.ok("chat.prompt", queued);
    assert_eq!((&queued["turn"], &queued["queued"]), (&json!(2), &json!(true)));
    let agent = get(&mut socket, &chat)["agent_id"].clone();
    let wait = |what: &str| json!({"agent_id": agent, "for": what, "timeout_secs": 600});
    let one = asking.begin("agent.wait", wait("turn"));
    let idle = all.begin("agent.wait", wait("idle"));
    let mut brief = wait("turn");
    brief["timeout_secs"] = json!(0.05);
    let error = socket.refused("timeout", "agent.wait", brief);
    assert_eq!(error["data"]["status"], "running", "{error}");
    assert_eq!(socket.ok("chat.cancel", json!({"session_id": chat}))["cancelled"], true);
    assert_eq!(asking.answer(one).expect("the turn has ended")["status"], "running");
    // The second one gives way to the third.
    let mut pressing = turn("third");
    pressing["when_busy"] = json!("interrupt");
    let pressing = socket.ok("chat.prompt", pressing);
    assert_eq!(pressing["turn"], 3, "{pressing}");
    assert_eq!(all.answer(idle).expect("nothing is asked")["status"], "running");
    let story = Story::of(&chunks(&mut socket, &chat));
    let outcomes: Vec<_> = story.turns.values().map(|turn| &*turn.outcome).collect();
    assert_eq!(outcomes, ["cancelled", "cancelled", "completed"]);
    assert_eq!(story.turns[&3].text, "you said: third");
}

#[test]
fn a_turn_of_which_nothing_is_heard_is_stalled_and_one_that_takes_too_long_times_out() {
    let daemon = Setup::new().config("[chats]\nstall_secs = 1\n").start();
    let (mut socket, mut asking) = (daemon.socket(), daemon.socket());
    let limited = chat(&mut socket, &json!({"turn_timeout_secs": 2}));
    let params =
        json!({"session_id": limited, "prompt": "wait", "wait": true, "timeout_secs": 600});
    let asked = asking.begin("chat.prompt", params);
    let patient = chat(&mut socket, &json!({}));
    socket.ok("chat.prompt", json!({"session_id": patient, "prompt": "wait"}));
    until(&mut socket, &patient, "stalled");
    let agent = json!({"agent_id": get(&mut socket, &patient)["agent_id"]});
    processes::eventually("it is shown", || {
        socket.ok("agent.get", agent.clone())["activity"] == "stalled"
    });
    let turn = asking.answer(asked).expect("the turn ends");
    assert_eq!(turn["outcome"], "timed_out", "{turn}");
    assert_eq!(turn["error"]["kind"], "timeout", "{turn}");
    assert_eq!(ask(&mut socket, &limited, "on")["content"], "you said: on");
    Story::of(&chunks(&mut socket, &limited));
    assert_eq!(socket.ok("chat.cancel", json!({"session_id": patient}))["cancelled"], true);
    let told = chunks(&mut socket, &patient);
    assert!(told.iter().any(|chunk| chunk["activity"] == "stalled"), "{told:?}");
    Story::of(&told);
}

#[test]
fn a_chat_nobody_asks_anything_has_no_process_and_one_that_became_an_agent_has() {
    let daemon = Setup::new().config("[chats]\nidle_stop_secs = 1\n").start();
    let mut socket = daemon.socket();
    let chat = chat(&mut socket, &json!({"working_dir": "."}));
    let here = daemon.home.path().canonicalize().expect("it is there");
    assert_eq!(get(&mut socket, &chat)["working_dir"], here.to_str().expect("text"));
    ask(&mut socket, &chat, "hello");
    processes::eventually("its process ends", || get(&mut socket, &chat)["is_active"] == false);
    let upgraded = socket.ok("chat.upgrade_to_agent", json!({"session_id": chat}));
    assert_eq!(upgraded["mode"], "agent", "{upgraded}");
    let agent = socket.ok("agent.get", json!({"agent_id": upgraded["agent_id"]}));
    assert_eq!((&agent["status"], &agent["run"]), (&json!("running"), &json!(2)), "{agent}");
    assert_eq!(ask(&mut socket, &chat, "on")["content"], "you said: on");
    // What is sent to the agent is a turn of the same conversation.
    let params = json!({"agent_id": upgraded["agent_id"], "content": "more", "timeout_secs": 600});
    assert_eq!(socket.ok("agent.send", params)["content"], "you said: more");
    assert_eq!(get(&mut socket, &chat)["turn_count"], 3);
    Story::of(&chunks(&mut socket, &chat));
}
