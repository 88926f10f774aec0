//! Sockets that a service manager has opened: served as their names say, under the same rules.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::rig::Caller;
use crate::rig::agents::{await_output, spawn};
use crate::rig::daemon::{Home, Setup};
use crate::rig::http::Http;
use crate::rig::parrot;
use crate::rig::socket::Socket;
use crate::rig::websocket::WebSocket;
use crate::rig::zmtp::{Wire, Zmtp, greeting, ready};

fn port() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

fn health(id: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "system.health", "params": {}})
}

#[test]
fn who_came_before_the_daemon_is_served_by_it_and_agents_get_none_of_its_sockets() {
    let home = Home::new();
    let (path, (tcp, address)) = (home.path().join("given.sock"), port());
    let unix = UnixListener::bind(&path).expect("a socket");
    let mut http = Http::connect(address.parse().expect("an address"));
    http.send(&http.format("GET", "/health", &[], b"")).expect("a connection waits");
    let mut early = Socket::connect(&path);
    let asked = early.begin("system.health", json!({}));
    let given = [("http", OwnedFd::from(tcp)), ("unix", OwnedFd::from(unix))];
    let daemon = Setup::at(&home).given(given).start();
    assert_eq!(http.reply().expect("it is served").text(), "OK");
    assert_eq!(early.answer(asked).expect("it is served")["status"], "healthy");
    assert_eq!(daemon.http_address().to_string(), address);
    assert_eq!(daemon.socket_path(), path);

    let mut socket = daemon.socket();
    let script = "ls -l /proc/$$/fd | grep -c socket:; echo \"given: $LISTEN_FDS.\"";
    let agent = spawn(&mut socket, &parrot::shell(script));
    await_output(&mut socket, &agent, "0\ngiven: .");
    let (ended, _home) = daemon.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(path.exists(), "the path belongs to whoever opened it");
}

#[test]
fn each_port_can_be_given() {
    let ((zmq, zmq_at), (publisher, pub_at)) = (port(), port());
    let mut early = Wire::connect(&format!("tcp://{zmq_at}"));
    let hello = [greeting(), ready("DEALER", b"")].concat();
    std::io::Write::write_all(&mut early, &hello).expect("a connection waits");
    let daemon = Setup::new().given([("zmq", zmq.into()), ("pub", publisher.into())]).start();
    assert_eq!(daemon.zmq(), format!("tcp://{zmq_at}"));
    assert_eq!(daemon.publisher(), format!("tcp://{pub_at}"));
    assert_eq!(Zmtp::greeted(early).ok("system.health", json!({}))["status"], "healthy");

    let ((ws, ws_at), (metrics, metrics_at)) = (port(), port());
    let daemon = Setup::new().given([("ws", ws.into()), ("metrics", metrics.into())]).start();
    assert_eq!(daemon.endpoints["ws"], format!("ws://{ws_at}"));
    let mut socket = WebSocket::open(Http::connect(ws_at.parse().expect("an address")));
    socket.send(&health(7)).expect("the daemon reads");
    assert_eq!(socket.next().expect("an answer")["id"], 7);
    assert_eq!(daemon.endpoints["metrics"], format!("http://{metrics_at}/metrics"));
    assert!(daemon.metrics().get("/metrics").text().contains("descartes_daemon_info"));
}

#[test]
fn two_of_one_name_are_served_both_and_clients_are_told_the_first() {
    let second = || TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0"));
    let http = [port().0, second().expect("a free port")];
    let at = http.each_ref().map(|one| one.local_addr().expect("an address"));
    let daemon = Setup::new().given(http.map(|one| ("http", OwnedFd::from(one)))).start();
    for at in at {
        assert_eq!(Http::connect(at).get("/health").text(), "OK", "{at}");
    }
    assert_eq!(daemon.http_address(), at[0]);

    let [(one, first), (two, other)] = [port(), port()];
    let daemon = Setup::new().given([("zmq", one.into()), ("zmq", two.into())]).start();
    for at in [&first, &other] {
        let mut peer = Zmtp::connect(&format!("tcp://{at}"), "DEALER");
        assert_eq!(peer.ok("system.health", json!({}))["status"], "healthy");
    }
    assert_eq!(daemon.zmq(), format!("tcp://{first}"));

    let home = Home::new();
    let paths = ["one.sock", "two.sock"].map(|name| home.path().join(name));
    let unix = paths.each_ref().map(|path| UnixListener::bind(path).expect("a socket"));
    let daemon = Setup::at(&home).given(unix.map(|one| ("unix", OwnedFd::from(one)))).start();
    for path in &paths {
        assert_eq!(Socket::connect(path).ok("system.health", json!({}))["status"], "healthy");
    }
    assert_eq!(daemon.socket_path(), paths[0]);
}

#[test]
fn what_cannot_be_served_or_is_not_safe_is_refused_with_its_name() {
    let refused = |name: &'static str, socket: OwnedFd| {
        let given = [("pub", OwnedFd::from(port().0)), (name, socket)];
        match Setup::new().given(given).try_start() {
            Ok(daemon) => panic!("{name}: the daemon started:\n{}", daemon.log()),
            Err(ended) => (ended.status.code(), ended.log),
        }
    };
    let home = Home::new();
    let unix = UnixListener::bind(home.path().join("a.sock")).expect("a socket");
    let anywhere = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    for (name, socket, code, why) in [
        ("htpp", port().0.into(), 78, "`htpp`, which is none of http, ws"),
        ("http", unix.into(), 78, "(`http`) is not a TCP socket"),
        ("unix", port().0.into(), 78, "(`unix`) is not a Unix socket"),
        ("zmq", silent.into(), 78, "(`zmq`) is no stream socket that listens"),
        ("http", anywhere.into(), 77, "needs authentication"),
    ] {
        let (ended, log) = refused(name, socket);
        assert_eq!(ended, Some(code), "{name}: {log}");
        assert!(log.contains(why), "{name}: {log}");
    }
}
