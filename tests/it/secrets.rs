//! A canary in every place where a secret is given is found in none where it does not belong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::rig::agents::{events, id_of};
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::socket::Socket;
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
    for topic in ["agent/", "chat/", "system"] {
        all += &json!(events(socket, topic, "start")).to_string();
    }
    all
}

#[test]
fn a_secret_is_nowhere_but_in_the_folder_of_secrets_and_outlives_the_daemon() {
    let backend = format!(
        "[backends.with-env]\ncommand = [\"sh\", \"-c\", \"read x\"]\ndialect = \"lines\"\n\
         env = {{ KEY = \"{}\" }}\n[logging]\nlevel = \"debug\"\n",
        canary("backend")
    );
    let daemon = Setup::new().config(&backend).env("SOME_API_KEY", "canary-4f1c9a-daemon").start();
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
