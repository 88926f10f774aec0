//! A process of another user on this machine gets nothing from any port or socket.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use rustix::process::geteuid;
use serde_json::json;

use crate::rig::agents::spawn;
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::{Caller, parrot, skip, zmtp};

/// Nobody in particular.
const STRANGER: &str = "65534";

/// Runs a line of bash as another user; `None` where this user cannot become another.
fn as_stranger(script: &str) -> Option<String> {
    if !geteuid().is_root() {
        skip("needs root to become another user");
        return None;
    }
    let ids = [format!("--reuid={STRANGER}"), format!("--regid={STRANGER}")];
    let output = Command::new("setpriv")
        .args(&ids)
        .args(["--clear-groups", "bash", "-c", script])
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        skip("needs setpriv and bash");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn over_tcp(daemon: &Daemon, request: &str) -> Option<String> {
    let port = daemon.http_address().port();
    let request = request.replace('\n', "\\r\\n");
    as_stranger(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{request}' >&3; cat <&3"))
}

#[test]
fn another_user_is_refused_over_http() {
    let daemon = Daemon::start();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"system.info"}"#;
    for request in [
        format!(
            "POST / HTTP/1.1\nHost: localhost\nConnection: close\nContent-Type: application/json\n\
             Content-Length: {}\n\n{call}",
            call.len()
        ),
        "GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n".to_owned(),
        "GET /events?topic=agent/ HTTP/1.1\nHost: localhost\nConnection: close\n\n".to_owned(),
        "GET /openrpc.json HTTP/1.1\nHost: localhost\nConnection: close\n\n".to_owned(),
    ] {
        let Some(answer) = over_tcp(&daemon, &request) else { return };
        assert!(answer.starts_with("HTTP/1.1 401"), "{request}: {answer}");
        assert!(answer.contains("-32001"), "{answer}");
        assert!(!answer.contains("data_dir"), "{answer}");
    }
    let health = "GET /health HTTP/1.1\nHost: localhost\nConnection: close\n\n";
    let answer = over_tcp(&daemon, health).expect("it worked before");
    assert!(answer.ends_with("\r\n\r\nOK"), "{answer}");
}

#[test]
fn another_user_is_refused_over_zeromq() {
    let daemon = Setup::new().flag("--zmq-port=0").flag("--pub-port=0").start();
    // Something to hear all the time.
    spawn(&mut daemon.socket(), &parrot::parrot(&["count", "1000000", "10"]));
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"system.info"}"#;
    let answer = heard_by_stranger(daemon.zmq(), "REQ", &[b"", call]);
    let Some(answer) = answer else { return };
    assert!(answer.contains("-32001") && !answer.contains("data_dir"), "{answer}");
    let heard = heard_by_stranger(daemon.publisher(), "SUB", &[b"\x01"]);
    let heard = heard.expect("it worked before");
    assert!(!heard.contains("agent/"), "{heard}");
}

/// What a peer of another user hears that says `message`, until it is cut.
fn heard_by_stranger(place: &str, socket_type: &str, message: &[&[u8]]) -> Option<String> {
    let said = [zmtp::greeting(), zmtp::ready(socket_type, b""), zmtp::message(message)].concat();
    let said: String = said.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let (address, port) = place.trim_start_matches("tcp://").split_once(':').expect("a port");
    as_stranger(&format!("exec 3<>/dev/tcp/{address}/{port}; printf '{said}' >&3; cat <&3"))
}

#[test]
fn another_user_gets_one_word_from_any_port_and_the_owner_reads_of_it() {
    let ports = ["--ws-port=0", "--zmq-port=0", "--pub-port=0", "--metrics-port=0"];
    let daemon = ports.into_iter().fold(Setup::new(), Setup::flag).start();
    let port = |name: &str| {
        let url = daemon.endpoints[name].as_str().expect("an endpoint");
        let digits = url.rsplit(':').next().expect("a port");
        digits.trim_end_matches(|c: char| !c.is_ascii_digit()).to_owned()
    };
    let script = format!(
        "for port in {} {} {}; do \
         for path in / /health /ready /metrics /openrpc.json /events?topic=system /ws; do \
         exec 3<>/dev/tcp/127.0.0.1/$port; \
         printf 'GET %s HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' $path >&3; \
         cat <&3; echo; done; done",
        port("http"),
        port("ws"),
        port("metrics"),
    );
    let Some(heard) = as_stranger(&script) else { return };
    let answers: Vec<&str> = heard.split("HTTP/1.1 ").skip(1).collect();
    assert_eq!(answers.len(), 21, "{heard}");
    for answer in answers.into_iter().filter(|answer| answer.starts_with("200")) {
        let word = answer.split("\r\n\r\n").nth(1).expect("a body").trim();
        assert!(["OK", "READY"].contains(&word), "{answer}");
    }
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"system.info"}"#;
    heard_by_stranger(daemon.zmq(), "REQ", &[b"", call]);
    let denied = json!({"topics": ["audit"], "types": ["audit.denied"], "limit": 1000});
    let page = daemon.socket().ok("event.read", denied);
    for transport in ["http 127.0.0.1:", "zmq 127.0.0.1:"] {
        let found = page["events"].as_array().expect("events").iter().any(|event| {
            let (peer, reason) = (&event["data"]["peer"], &event["data"]["reason"]);
            reason == "other_user" && peer.as_str().is_some_and(|peer| peer.starts_with(transport))
        });
        assert!(found, "{transport}: {page}");
    }
}

#[test]
fn another_user_cannot_reach_the_socket() {
    let daemon = Daemon::start();
    let socket = daemon.socket_path();
    let script = format!("test -e {} && echo reached || echo hidden", socket.display());
    let Some(answer) = as_stranger(&script) else { return };
    assert_eq!(answer.trim(), "hidden");
}

#[test]
fn another_user_is_refused_also_where_the_socket_lies_open() {
    let daemon = Setup::new();
    let open = tempfile::tempdir().expect("a temporary folder");
    let socket = open.path().join("open.sock");
    let daemon = daemon.flag(&format!("--unix-socket={}", socket.display())).start();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let script = format!(
        "perl -MSocket -e 'socket(my $s, PF_UNIX, SOCK_STREAM, 0); \
         connect($s, sockaddr_un(\"{}\")) or die; \
         syswrite $s, q({{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system.info\"}}).chr(10); \
         print scalar <$s> // q(closed)' || echo no perl",
        socket.display()
    );
    let Some(answer) = as_stranger(&script) else { return };
    if answer.contains("no perl") && !answer.contains("closed") {
        skip("needs perl to speak to a Unix socket as another user");
        return;
    }
    let refused = answer.contains("-32001") || answer.contains("closed");
    assert!(refused && !answer.contains("data_dir"), "{answer}");
    drop(daemon);
}
