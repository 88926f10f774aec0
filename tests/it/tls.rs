//! `https://` and `wss://`: certificates from files, read anew while the daemon serves.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use descartes_rpc::client::{Connect, Exchange};
use descartes_transport_http::{HttpClient, Roots, WsClient};
use futures_util::{SinkExt, StreamExt};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::processes::eventually;
use crate::rig::{Caller, PATIENCE};

const HEALTH: &str = r#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#;

/// A certificate for this machine and its key, as PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = generate_simple_self_signed(names).expect("a certificate");
        Self::of(&made)
    }

    fn expired() -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(1999, 1, 1);
        let signing_key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&signing_key).expect("a certificate");
        Self::of(&CertifiedKey { cert, signing_key })
    }

    fn of(made: &CertifiedKey<KeyPair>) -> Self {
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn put(&self, home: &Home) {
        put(home, &self.certificate, &self.key, 0o600);
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(self.certificate.as_bytes()).expect("a certificate")
    }
}

/// Writes both files, the second for those whom `mode` says.
fn put(home: &Home, certificate: &str, key: &str, mode: u32) {
    home.file("cert.pem", certificate.as_bytes());
    let key = home.file("key.pem", key.as_bytes());
    fs::set_permissions(key, Permissions::from_mode(mode)).expect("it is ours");
}

fn setup(pair: &Pair) -> Setup {
    let setup = Setup::new();
    pair.put(&setup.home());
    let path = |name: &str| setup.home().path().join(name).display().to_string();
    let files = format!("tls_cert = {:?}\ntls_key = {:?}\n", path("cert.pem"), path("key.pem"));
    setup.config(&format!("[server]\n{files}")).flag("--ws-port=0")
}

/// Whether a client that believes `pair` alone is answered on a connection of its own.
async fn is_answered(daemon: &Daemon, pair: &Pair) -> bool {
    let url = daemon.endpoints["http"].as_str().expect("HTTP is served");
    let client = HttpClient::new(url).expect("an address").trusting(pair.roots());
    match tokio::time::timeout(PATIENCE, client.exchange(HEALTH.into())).await.expect("in time") {
        Ok(answer) => {
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            assert_eq!(answer["result"]["status"], "healthy");
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("certificate"), "{error}");
            false
        }
    }
}

#[tokio::test]
async fn both_ports_speak_it_and_the_files_are_read_anew_at_a_reload() {
    let (old, new) = (Pair::new(), Pair::new());
    let daemon = setup(&old).start();
    let mut socket = daemon.socket();
    let mut told = Vec::new();
    for (name, scheme) in [("http", "https://"), ("ws", "wss://")] {
        let address = daemon.endpoints[name].as_str().expect("it is served").to_owned();
        assert!(address.starts_with(scheme), "{address}");
        eventually("the notice says where", || daemon.log().contains(&address));
        told.push(json!({"name": name, "address": address}));
    }
    let info = socket.ok("system.info", json!({}));
    let shown = info["transports"].as_array().expect("transports");
    assert!(told.iter().all(|one| shown.contains(one)), "{shown:?}");
    assert!(is_answered(&daemon, &old).await && !is_answered(&daemon, &new).await);

    let url = daemon.endpoints["ws"].as_str().expect("WebSockets are served");
    let follower = WsClient::new(url).expect("an address").trusting(old.roots());
    let mut follower = follower.connect().await.expect("a WebSocket");
    let subscribe = r#"{"jsonrpc":"2.0","id":1,"method":"event.subscribe","params":{"topics":["system"],"after":"now"}}"#;
    follower.send(subscribe.into()).await.expect("it is sent");
    let mut next = async || {
        let message = tokio::time::timeout(PATIENCE, follower.next()).await.expect("in time");
        let message = message.expect("the connection lasts").expect("the connection lasts");
        serde_json::from_slice::<Value>(&message).expect("JSON")
    };
    assert!(next().await["result"]["subscription_id"].is_string());

    new.put(&daemon.home);
    let reloaded = socket.ok("system.reload", json!({}));
    assert_eq!(reloaded["applied"], json!(["server.tls_cert", "server.tls_key"]), "{reloaded}");
    assert!(is_answered(&daemon, &new).await && !is_answered(&daemon, &old).await);
    // Who came before is still there, and is told.
    loop {
        let message = next().await;
        if message["params"]["event"]["type"] == "system.reloaded" {
            break;
        }
    }
    assert_eq!(socket.ok("system.reload", json!({}))["status"], "unchanged");
    refusals(&daemon, &mut socket, (&old, &new)).await;
}

/// Files that are of no use change nothing.
async fn refusals(daemon: &Daemon, socket: &mut impl Caller, (old, new): (&Pair, &Pair)) {
    for (certificate, key, mode, file, why) in [
        (&*new.certificate, &*old.key, 0o600, "key.pem", "does not belong"),
        (&new.certificate, &new.key, 0o644, "key.pem", "others can read"),
        ("", &new.key, 0o600, "cert.pem", "none in PEM"),
        (&new.certificate, "", 0o600, "key.pem", "none in PEM"),
    ] {
        put(&daemon.home, certificate, key, mode);
        let told = socket.ok("system.reload", json!({}));
        assert_eq!((&told["status"], &told["applied"]), (&json!("refused"), &json!([])), "{told}");
        let error = told["errors"][0].as_str().expect("an error");
        assert!(error.contains(file) && error.contains(why), "{error}");
    }
    daemon.signal(Signal::HUP);
    eventually("the refusal is logged", || daemon.log().matches("was not reloaded").count() == 5);
    assert!(is_answered(daemon, new).await);
}

#[test]
fn a_start_without_a_certificate_that_serves_is_refused() {
    let (pair, other) = (Pair::new(), Pair::new());
    for (certificate, key, mode, code, why) in [
        (&*pair.certificate, &*other.key, 0o600, 78, "does not belong"),
        (&pair.certificate, &pair.key, 0o640, 77, "others can read"),
        (&pair.key, &pair.key, 0o600, 78, "cert.pem"),
        (&pair.certificate, &pair.certificate, 0o600, 78, "key.pem"),
    ] {
        let setup = setup(&pair);
        put(&setup.home(), certificate, key, mode);
        let mut check = setup.command();
        let checked = check.arg("--check-config").output().expect("the daemon's program runs");
        assert_eq!(checked.status.code(), Some(code));
        let Err(ended) = setup.try_start() else { panic!("it started: {why}") };
        assert_eq!(ended.status.code(), Some(code), "{}", ended.log);
        assert!(ended.log.contains(why) && !ended.log.contains(&pair.key), "{}", ended.log);
    }
    for (one, other) in [("tls_cert", "tls_key"), ("tls_key", "tls_cert")] {
        let half = Setup::new().config(&format!("[server]\n{one} = '/x'\n")).try_start();
        let Err(ended) = half else { panic!("it started with {one} alone") };
        assert_eq!(ended.status.code(), Some(78), "{}", ended.log);
        assert!(ended.log.contains(other) && ended.log.contains("daemon.toml:4"), "{}", ended.log);
    }
    let expired = setup(&Pair::expired()).start();
    eventually("it is warned of", || expired.log().contains("it has expired"));
}

#[test]
fn the_command_line_reaches_it() {
    let pair = Pair::new();
    let daemon = setup(&pair).start();
    let file = daemon.home.path().join("cert.pem").display().to_string();
    let run = |arguments: &[&str]| {
        let mut command = daemon.home.command("descartes");
        let run = command.arg("--data-dir").arg(daemon.home.data()).args(arguments).output();
        let output = run.expect("descartes runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    assert_eq!(run(&["health"]), (Some(0), String::new()));
    for name in ["http", "ws"] {
        let url = daemon.endpoints[name].as_str().expect("it is served");
        assert_eq!(run(&["--url", url, "--ca-file", &file, "health"]), (Some(0), String::new()));
        let (code, said) = run(&["--url", url, "health"]);
        assert!(code == Some(2) && said.contains("--ca-file"), "{said}");
    }
}
