//! Whoever an agent has started is that agent, by whatever door it comes and however it left: it
//! decides nothing, and what is not its own is not there for it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{approval, ask, chat, descartes, until};
use crate::rig::agents::spawn;
use crate::rig::daemon::{Daemon, Setup, has_transport};
use crate::rig::parrot::shell;
use crate::rig::{Caller, processes, program};

/// How a process of an agent runs a script: as its child, from a session of its own whose parent is
/// gone, and from one that has not even the agent's environment.
const MANNERS: [&str; 3] =
    ["sh SCRIPT", "(setsid sh SCRIPT &)", "(env -i PATH=\"$PATH\" setsid sh SCRIPT &)"];

/// How `descartes` is told where the daemon is: not at all, and every URL.
fn doors(daemon: &Daemon) -> Vec<Vec<String>> {
    let mut doors = vec![Vec::new()];
    let ipc = daemon.home.runtime().join("zmq.sock");
    let ipc = has_transport("zmq").then(|| format!("ipc://{}", ipc.display()));
    let told = ["http", "ws", "zmq"].map(|name| daemon.endpoints[name].as_str().map(str::to_owned));
    doors.extend(told.into_iter().chain([ipc]).flatten().map(|url| vec!["--url".to_owned(), url]));
    doors
}

/// A call that a process inside of an agent makes with `descartes`.
struct Call {
    script: PathBuf,
    manner: &'static str,
}

impl Call {
    /// The script of call `number`, in the home of the daemon.
    fn new(daemon: &Daemon, number: usize, manner: &'static str, words: &[&str]) -> Self {
        let script = daemon.home.path().join(format!("call-{number}.sh"));
        let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let text = format!(
            "export DESCARTES_RUNTIME_DIR='{run}'\n\
             '{program}' --data-dir '{data}' {words} >'{to}.out' 2>&1\necho $? >'{to}.code'\n",
            run = daemon.home.runtime().display(),
            data = daemon.home.data().display(),
            program = program("descartes").display(),
            words = words.join(" "),
            to = script.display(),
        );
        fs::write(&script, text).expect("the home is writable");
        Self { script, manner }
    }

    fn line(&self) -> String {
        self.manner.replace("SCRIPT", &format!("'{}'", self.script.display()))
    }

    fn left(&self, ending: &str) -> String {
        let mut path = self.script.clone().into_os_string();
        path.push(ending);
        fs::read_to_string(Path::new(&path)).unwrap_or_default()
    }

    /// Its exit code and what it printed, once it has ended.
    fn ended(&self) -> (String, String) {
        processes::eventually("the call ends", || self.left(".code").ends_with('\n'));
        (self.left(".code").trim().to_owned(), self.left(".out"))
    }
}

#[test]
fn no_process_of_an_agent_decides_by_any_door_and_a_person_does() {
    let setup = Setup::new();
    let setup = if has_transport("http") { setup.flag("--ws-port=0") } else { setup };
    let setup = if has_transport("zmq") { setup.flag("--zmq-port=0") } else { setup };
    let daemon = setup.start();
    let mut socket = daemon.socket();
    let mut asking = daemon.socket();
    let chat = chat(&mut socket, &json!({}));
    let prompt = json!({"session_id": chat, "prompt": "run x", "wait": true, "timeout_secs": 600});
    let mut asked = asking.begin("chat.prompt", prompt.clone());
    let mut waits = approval(&mut socket, &chat);

    let decide = |waits: &str| json!({"approval_id": waits, "decision": "allow_once"}).to_string();
    let allow = decide(&waits);
    let doors = doors(&daemon);
    let mut calls = Vec::new();
    for door in &doors {
        let mut words: Vec<&str> = door.iter().map(String::as_str).collect();
        words.extend(["call", "approval.decide", &allow]);
        for manner in MANNERS {
            calls.push(Call::new(&daemon, calls.len(), manner, &words));
        }
    }
    let mut making = Vec::new();
    for wanted in
        [json!({"backend": "basic", "approvals": "allow_all"}), json!({"backend": "basic"})]
    {
        let (number, wanted) = (calls.len() + making.len(), wanted.to_string());
        let mut words: Vec<&str> = doors[0].iter().map(String::as_str).collect();
        words.extend(["call", "chat.create", &wanted]);
        making.push(Call::new(&daemon, number, MANNERS[0], &words));
    }
    let lines: Vec<_> = calls.iter().chain(&making).map(Call::line).collect();
    spawn(&mut socket, &shell(&format!("{}\nexec sleep 1000", lines.join("\n"))));
    for call in &calls {
        let (code, said) = call.ended();
        assert_eq!(code, "5", "{}: {said}", call.line());
        assert!(said.contains("no agent decides this"), "{}: {said}", call.line());
    }
    until(&mut socket, &chat, "waiting_approval");
    assert_eq!(making[0].ended().0, "5", "{}", making[0].ended().1);
    assert_eq!(making[1].ended().0, "0", "{}", making[1].ended().1);
    let chats = socket.ok("chat.list", json!({}));
    let owners: Vec<&Value> =
        chats["sessions"].as_array().expect("chats").iter().map(|one| &one["owner"]).collect();
    assert_eq!(owners, [&json!("local"); 2], "what an agent makes is its owner's");

    // The agent lives on, and a person decides by every door.
    for door in &doors {
        let allow = decide(&waits);
        let mut words: Vec<&str> = door.iter().map(String::as_str).collect();
        words.extend(["call", "approval.decide", &allow]);
        let (said, code) = descartes(&daemon.home, &words, "");
        assert_eq!(code, 0, "{door:?}: {said}");
        let turn = asking.answer(asked).expect("the turn ends");
        assert_eq!(turn["outcome"], "completed", "{turn}");
        asked = asking.begin("chat.prompt", prompt.clone());
        waits = approval(&mut socket, &chat);
    }
    let denied = json!({"approval_id": waits, "decision": "deny"});
    socket.ok("approval.decide", denied);
    asking.answer(asked).expect("the turn ends");
    assert_eq!(ask(&mut socket, &chat, "on")["content"], "you said: on");
}

#[test]
fn by_every_door_an_agent_reaches_itself_and_what_it_began_and_nothing_else() {
    let setup = Setup::new();
    let setup = if has_transport("http") { setup.flag("--ws-port=0") } else { setup };
    let setup = if has_transport("zmq") { setup.flag("--zmq-port=0") } else { setup };
    let daemon = setup.start();
    let mut socket = daemon.socket();
    let other = spawn(&mut socket, &shell("exec sleep 1000"));
    let named = json!({"agent_id": other}).to_string();
    let child = json!({"agent_type": "process", "config": {"command": ["sleep", "1000"]}});
    let child = child.to_string();
    let topics = json!({"topics": ["agent/"], "limit": 1000}).to_string();
    // What is called, and the exit code that it comes to.
    let asked: [(&str, &str, &str); 10] = [
        ("agent.list", "{}", "0"),
        ("event.read", &topics, "0"),
        ("agent.spawn", &child, "0"),
        ("agent.get", &named, "3"),
        ("agent.kill", &named, "3"),
        ("system.shutdown", "{}", "5"),
        ("system.reload", "{}", "5"),
        ("system.drain", r#"{"on":true}"#, "5"),
        ("auth.token.create", r#"{"sub":"mallory","role":"admin"}"#, "5"),
        ("auth.key.create", r#"{"name":"mallory","role":"admin"}"#, "5"),
    ];
    let mut calls = Vec::new();
    for door in doors(&daemon) {
        for (method, params, _) in asked {
            let mut words: Vec<&str> = door.iter().map(String::as_str).collect();
            words.extend(["call", method, params]);
            calls.push(Call::new(&daemon, calls.len(), MANNERS[0], &words));
        }
    }
    let lines: Vec<_> = calls.iter().map(Call::line).collect();
    let script = format!("read go\n{}\nexec sleep 1000", lines.join("\n"));
    let agent = spawn(&mut socket, &shell(&script));
    // Its own beginning is over: it is known by all its marks.
    socket.ok("agent.write_stdin", json!({"agent_id": agent, "text": "go\n"}));
    for (call, (method, _, expected)) in calls.iter().zip(asked.iter().cycle()) {
        let (code, said) = call.ended();
        assert_eq!(code, *expected, "{method}: {}: {said}", call.line());
        if *expected == "0" {
            assert!(!said.contains(&other), "{method}: {said}");
        }
        if ["agent.list", "event.read"].contains(method) {
            assert!(said.contains(&agent), "{method}: {said}");
        }
    }
    let children = socket.ok("agent.list", json!({"parent_agent_id": agent}));
    let owners: Vec<&Value> =
        children["agents"].as_array().expect("agents").iter().map(|one| &one["owner"]).collect();
    assert_eq!(owners, vec![&json!("local"); calls.len() / asked.len()], "{children}");
    assert_eq!(socket.ok("agent.get", json!({"agent_id": other}))["status"], "running");
    let denied = json!({"topics": ["audit"], "types": ["audit.denied"], "limit": 1000});
    let wanted = format!("agent:{agent}");
    processes::eventually("refusals are written down", || {
        let page = socket.ok("event.read", denied.clone());
        let events = page["events"].as_array().expect("events").clone();
        let of = |method: &str| {
            events.iter().any(|event| {
                event["by"] == json!(wanted) && event["data"]["method"] == json!(method)
            })
        };
        of("system.shutdown") && of("agent.kill")
    });
}
