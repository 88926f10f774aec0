//! What the agents of one principal may cost in a day, at the real daemon.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::credentials::{API_KEY, guarded_as};
use crate::rig::Caller;
use crate::rig::agents::text;
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::socket::Socket;
use crate::rig::zmtp::Zmtp;

/// A program whose turns cost as many dollars as they are asked for.
const PROGRAM: &str = r#"usd=$(cat)
part() { printf '{"type":"%s","sessionID":"s","part":{"id":"%s",%s}}\n' "$1" "$1" "$2"; }
part step_start '"type":"step-start"'
part text '"text":"done"'
part step_finish '"reason":"stop","tokens":{"input":3,"output":2},"cost":'"$usd"
"#;

/// The configuration of the backend `costly`, which is that program.
pub(crate) fn backend(home: &Home) -> String {
    let program = home.file("costly.sh", PROGRAM.as_bytes()).display().to_string();
    format!("[backends.costly]\ncommand = [\"sh\", {program:?}]\ndialect = \"opencode\"\n")
}

fn start(home: &Home, most: &str) -> Daemon {
    let mut config = backend(home);
    write!(config, "[approvals]\nmode = \"allow_all\"\n").expect("a String can be written to");
    write!(config, "[limits]\ncost_usd_per_day = {most}\n").expect("a String can be written to");
    guarded_as(Setup::at(home).config(&config).flag("--metrics-port=0").flag("--zmq-port=0"))
}

/// Asks for a turn that costs `usd`, in a chat of its own; what came of it.
fn spend(caller: &mut impl Caller, usd: &str) -> Result<Value, Value> {
    let chat = caller.ok("chat.create", json!({"backend": "costly"}));
    let prompt = json!({"session_id": chat["session_id"], "prompt": usd, "wait": true});
    caller.call("chat.prompt", prompt)
}

#[track_caller]
fn check(refused: &Value, spent: f64) {
    let data = &refused["data"];
    assert_eq!((&refused["code"], &data["kind"]), (&json!(-32011), &json!("resource_exhausted")));
    assert_eq!(data["limit"], "limits.cost_usd_per_day");
    assert_eq!((data["current"].as_f64(), data["max"].as_f64()), (Some(spent), Some(1.5)));
    let wait = data["retry_after_ms"].as_u64().expect("when to come again");
    assert!((1..=25 * 3_600_000).contains(&wait), "{wait}");
}

/// A connection of ann, who has all rights and an account of her own.
fn ann(daemon: &Daemon) -> (Socket, String) {
    let made = json!({"sub": "ann", "scopes": ["*"]});
    let token = text(&daemon.socket().ok("auth.token.create", made)["token"]).to_owned();
    let mut socket = daemon.socket();
    socket.ok("auth.login", json!({"token": token}));
    (socket, token)
}

#[test]
fn what_was_spent_is_refused_by_every_door_and_after_kill_9() {
    let home = Home::new();
    let daemon = start(&home, "1.5");
    let mut owner = daemon.socket();
    let (mut ann, token) = ann(&daemon);
    assert_eq!(spend(&mut ann, "0.5").expect("it is affordable")["usage"]["cost_usd"], 0.5);
    spend(&mut ann, "2.25").expect("what is begun ends");
    let task = json!({"agent_type": "costly", "config": {"task": "1"}});
    let refused = |daemon: &Daemon, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
        let body = task.to_string();
        let reply = daemon.http().request("POST", "/rpc/agent.spawn", &headers, body.as_bytes());
        assert_eq!(reply.status, 429, "{}", reply.text());
        check(&reply.json(), 2.75);
        let mut zmq = Zmtp::plain(daemon.zmq(), "DEALER", token).expect("it is let in");
        check(&zmq.refused("resource_exhausted", "agent.spawn", task.clone()), 2.75);
    };
    check(&spend(&mut ann, "0.5").expect_err("it is spent"), 2.75);
    refused(&daemon, &token);
    spend(&mut owner, "0.25").expect("the owner has an account of its own");
    let page = daemon.metrics().request("GET", "/metrics", &[("X-API-Key", API_KEY)], b"");
    assert!(page.text().contains("cost_usd_total{backend=\"costly\"} 3\n"), "{}", page.text());
    drop((owner, ann));
    let daemon = start(&daemon.kill9(), "1.5");
    refused(&daemon, &token);
    spend(&mut daemon.socket(), "0.25").expect("half a dollar is less than may be spent");
}

#[test]
fn another_limit_is_in_force_at_a_reload() {
    let home = Home::new();
    let daemon = start(&home, "1.5");
    let (mut owner, config) = (daemon.socket(), home.path().join("daemon.toml"));
    spend(&mut owner, "2").expect("nothing was spent");
    check(&spend(&mut owner, "1").expect_err("it is spent"), 2.0);
    let before = std::fs::read_to_string(&config).expect("it was written");
    for (most, is_refused) in [("0", false), ("2.0", true), ("2.5", false), ("2", true)] {
        let line = format!("cost_usd_per_day = {most}\n");
        std::fs::write(&config, before.replace("cost_usd_per_day = 1.5\n", &line)).expect("ours");
        let reloaded = owner.ok("system.reload", json!({}));
        assert_eq!(reloaded["applied"], json!(["limits.cost_usd_per_day"]), "{reloaded}");
        let said = spend(&mut owner, "0");
        assert_eq!(said.is_err(), is_refused, "{most}: {said:?}");
    }
}
