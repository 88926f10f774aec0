//! A canary in every place where a secret is given is found in none where it does not belong.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::rig::agents::{events, id_of};
use crate::rig::daemon::{Daemon, Setup, has_transport};
use crate::rig::socket::Socket;
use crate::rig::websocket::WebSocket;
use crate::rig::zmtp::{Wire, Zmtp, command, greeting, message};
use crate::rig::{Caller, parrot, processes};

/// What no file, message or argument may hold; what comes after it says where it was given.
const CANARY: &str = "canary-4f1c9a";

fn canary(place: &str) -> String {
    format!("{CANARY}-{place}")
}

/// Every file below `folder` that holds the canary.
fn holding(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            found.extend(holding(&path));
        } else if kind.is_file() && has(&fs::read(&path).unwrap_or_default()) {
            found.push(path);
        }
    }
    found
}

fn has(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

#[track_caller]
fn clean(what: &str, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    assert!(!has(bytes), "{what}: {}", String::from_utf8_lossy(bytes));
}

/// The arguments of a daemon and of everything that it has started.
fn arguments(daemon: &Daemon) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = daemon.number().to_string();
        if name == number || parent == Some(&number) {
            all.extend(fs::read(entry.path().join("cmdline")).unwrap_or_default());
        }
    }
    all
}

/// How much of a core the daemon leaves.
fn core_bytes(daemon: &Daemon) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.number())).expect("ours");
    let line = limits.lines().find(|line| line.starts_with("Max core file size"));
    line.and_then(|line| line.split_whitespace().nth(4)).expect("a limit").to_owned()
}

/// What the daemon says of itself, of its agents, chats and events, and of what it refuses.
fn said(socket: &mut Socket, agent: &str, chat: &str) -> String {
    let calls = [
        ("agent.get", json!({"agent_id": agent})),
        ("agent.list", json!({"status": "any"})),
        ("agent.action", json!({"agent_id": agent, "action": "get_env"})),
        ("chat.get", json!({"session_id": chat})),
        ("chat.list", json!({})),
        ("backend.list", json!({"refresh": true})),
        ("system.info", json!({})),
        ("system.metrics", json!({})),
    ];
    let mut all = String::new();
    for (method, params) in calls {
        all += &socket.ok(method, params).to_string();
    }
    let wrong = [
        json!({"env": {"TOKEN": 5}, "x": 1}),
        json!({"command": ["/nowhere"], "env": {"TOKEN": canary("refused")}}),
        json!({"command": ["sh"], "env": {"BAD=NAME": canary("refused-name")}}),
        json!({"command": ["sh"], "env": {"TOKEN": format!("{}\0", canary("refused-value"))}}),
    ];
    for config in wrong {
        let params = json!({"agent_type": "process", "config": config});
        match socket.call("agent.spawn", params) {
            Ok(result) => panic!("{result}"),
            Err(error) => all += &error.to_string(),
        }
    }
    for topic in ["agent/", "chat/", "system", "audit", "*"] {
        all += &json!(events(socket, topic, "start")).to_string();
    }
    all
}

/// Shows the canary where people and programs put secrets that do not belong there, and in pieces of
/// messages that nobody can read; what is answered.
fn misplaced(daemon: &Daemon) -> String {
    let mut all = String::new();
    let wrong = [
        ("auth.login", json!({"token": canary("login")})),
        ("auth.login", json!({"token": [canary("login-array")]})),
        ("auth.login", json!({"token": {"value": canary("login-object")}})),
        ("auth.token.revoke", json!({"token": canary("revoke")})),
        ("auth.key.revoke", json!({"key_id": key_of(&canary("key"))})),
        ("agent.spawn", json!({"config": {"env": canary("env-text")}})),
        ("agent.spawn", json!({"config": {"env": [canary("env-array")]}})),
        ("agent.spawn", json!({"config": {"env": {"A": [canary("env-value")]}}})),
        ("chat.create", json!({"env": canary("chat-env-text")})),
        ("chat.create", json!({"backend": "basic", "env": {"A": {"b": canary("chat-env")}}})),
    ];
    let mut socket = daemon.socket();
    for (method, params) in wrong {
        all += &format!("{method}: {:?}\n", socket.call(method, params));
    }
    let half = format!(r#"{{"jsonrpc":"2.0","id":1,"params":{{"token":"{}"#, canary("broken"));
    let wrong = [half.clone(), half.replace(r#""id":1,"#, r#""id":{},"#) + "\"}}"];
    for text in &wrong {
        socket.send(format!("{text}\n").as_bytes()).expect("the daemon reads");
        all += &format!("a line: {:?}\n", socket.line());
        all += &format!("a body: {}\n", daemon.http().post(text.as_bytes()).text());
    }
    let query = canary("query");
    for path in ["/", "/events", "/nothing", "/agents/x/logs", "/rpc/system.health"] {
        let reply = daemon.http().get(&format!("{path}?token={query}&access_token={query}"));
        all += &format!("{path}: {}\n", reply.text());
    }
    let (protocol, basic) = (canary("subprotocol"), format!("Basic {}", canary("basic")));
    for header in [("Sec-WebSocket-Protocol", &*protocol), ("Authorization", &basic)] {
        // Taken or refused: it is not told again.
        if let Err(reply) = WebSocket::connect(daemon.http_address(), &[header]) {
            all += &format!("{}: {}\n", header.0, reply.text());
        }
    }
    if has_transport("zmq") {
        let mut peer = Zmtp::connect_as(daemon.zmq(), "DEALER", canary("identity").as_bytes());
        peer.write(&message(&[b"", half.as_bytes()])).expect("the daemon reads");
        all += &format!("a message: {:?}\n", peer.receive().map(|frames| text_of(&frames)));
        let password = canary("password");
        all += &format!("a password: {:?}\n", Zmtp::plain(daemon.zmq(), "DEALER", &password).err());
        // Whoever says that it has none and shows one is not heard.
        let mut wire = Wire::connect(daemon.zmq());
        let hello = [b"\x05HELLO\x04name\x16".to_vec(), password.into_bytes()].concat();
        wire.write_all(&[greeting(), command(&hello)].concat()).expect("the daemon reads");
        let mut heard = Vec::new();
        // A reset says the same as an end.
        drop(wire.read_to_end(&mut heard));
        all += &String::from_utf8_lossy(&heard);
    }
    all
}

/// A whole key, where an identifier is asked for.
fn key_of(canary: &str) -> String {
    format!("dsk_0011223344556677_{canary:x>64}")
}

fn text_of(frames: &[Vec<u8>]) -> String {
    frames.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect()
}

#[test]
fn a_secret_is_nowhere_but_in_the_folder_of_secrets_and_outlives_the_daemon() {
    let backend = format!(
        "[backends.with-env]\ncommand = [\"sh\", \"-c\", \"read x\"]\ndialect = \"lines\"\n\
         env = {{ KEY = \"{}\" }}\n[logging]\nlevel = \"trace\"\n",
        canary("backend")
    );
    let mut setup = Setup::new().config(&backend).env("SOME_API_KEY", "canary-4f1c9a-daemon");
    for (transport, flag) in [("zmq", "--zmq-port=0"), ("metrics", "--metrics-port=0")] {
        setup = if has_transport(transport) { setup.flag(flag) } else { setup };
    }
    let daemon = setup.start();
    assert_eq!(core_bytes(&daemon), "1", "no core file");
    let mut socket = daemon.socket();
    let script = "test -n \"$TOKEN\" && test \"$TOKEN\" = \"$SAME\" && echo known; read x";
    let env = json!({"TOKEN": canary("spawn"), "SAME": canary("spawn")});
    let config = json!({"command": parrot::shell(script), "env": env});
    let params = json!({"agent_type": "process", "config": config, "idempotency_key": "k"});
    let agent = id_of(&socket.ok("agent.spawn", params));
    id_of(&socket.ok("agent.spawn", json!({"agent_type": "with-env"})));
    let created =
        socket.ok("chat.create", json!({"backend": "basic", "env": {"TOKEN": canary("chat")}}));
    let chat = created["session_id"].as_str().expect("an id").to_owned();
    let ask = json!({"session_id": chat, "prompt": "hello", "wait": true});
    assert_eq!(socket.ok("chat.prompt", ask)["content"], "you said: hello");
    let mut http = daemon.http();
    for (name, before) in [("Authorization", "Bearer "), ("X-API-Key", ""), ("Cookie", "a=")] {
        let value = format!("{before}{}", canary("header"));
        let headers = [(name, &*value), ("Content-Type", "application/json")];
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#;
        clean("an answer to a header", http.request("POST", "/", &headers, body).text());
    }
    clean("what is answered", misplaced(&daemon));
    if has_transport("metrics") {
        clean("the numbers", daemon.metrics().get("/metrics").text());
    }
    clean("what is told", said(&mut socket, &agent, &chat));
    clean("arguments", arguments(&daemon));
    check_files(&daemon, &backend);
    let home = daemon.kill9();
    let daemon = Setup::at(&home).config(&backend).start();
    let mut socket = daemon.socket();
    let again = json!({"session_id": chat, "prompt": "again", "wait": true, "timeout_secs": 600});
    assert_eq!(socket.ok("chat.prompt", again)["content"], "you said: again");
    socket.ok("agent.restart", json!({"agent_id": agent}));
    processes::eventually("the agent has its value again", || {
        let rows = socket.ok("agent.logs", json!({"agent_id": agent}));
        rows["logs"].as_array().is_some_and(|rows| rows.len() == 2)
    });
    check_files(&daemon, &backend);
    let log = daemon.stop().0.log;
    clean("the log", log);
}

/// What lies on the disk, and what `--print-config`, `doctor` and a backup make of it.
fn check_files(daemon: &Daemon, backend: &str) {
    let data = daemon.home.data();
    let found = holding(&data);
    assert_eq!(found.len(), 2, "one file of the agent, one of the chat: {found:?}");
    for path in found {
        assert_eq!(path.parent(), Some(&*data.join("secrets")), "{path:?}");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path:?}");
    }
    let copy = tempfile::tempdir().expect("a folder");
    let to = copy.path().join("copy");
    let setup = Setup::at(&daemon.home).config(backend).flag("--print-config");
    let printed = setup.command().output().expect("it prints");
    clean("--print-config", [printed.stdout, printed.stderr].concat());
    for words in [vec!["backup", to.to_str().expect("text")], vec!["doctor"], vec!["ps", "-a"]] {
        let mut command = daemon.home.command("descartes");
        command.arg("--data-dir").arg(&data).args(&words);
        let output = command.output().expect("descartes runs");
        clean(words[0], [output.stdout, output.stderr].concat());
    }
    assert_eq!(holding(copy.path()), Vec::<PathBuf>::new());
    assert!(to.join("store").exists(), "the backup was made");
    clean("the log", daemon.log());
}
