//! PLAIN by TCP of ZeroMQ, with authentication on and off, and the owner's sockets as they were.

use serde_json::json;

use super::{API_KEY, guarded_as};
use crate::rig::Caller;
use crate::rig::agents::spawn;
use crate::rig::daemon::{Daemon, Setup};
use crate::rig::parrot;
use crate::rig::zmtp::{self, Wire, Zmtp};

fn daemon() -> Daemon {
    guarded_as(Setup::new().flag("--zmq-port=0").flag("--pub-port=0"))
}

#[test]
fn by_tcp_a_password_is_needed_and_the_owners_socket_needs_none() {
    let daemon = daemon();
    let mut peer = Zmtp::plain(daemon.zmq(), "DEALER", API_KEY).expect("it is let in");
    assert_eq!(peer.ok("auth.whoami", json!({}))["principal"], "api_key");
    for wrong in ["", "x", &API_KEY[1..], &format!("{API_KEY}x")] {
        let refused = Zmtp::plain(daemon.zmq(), "DEALER", wrong).err();
        assert_eq!(refused.as_deref(), Some("\x05ERROR\x03400"), "{wrong}");
    }
    let ipc = format!("ipc://{}", daemon.home.runtime().join("zmq.sock").display());
    let mut owner = Zmtp::connect(&ipc, "DEALER");
    assert_eq!(owner.ok("auth.whoami", json!({}))["principal"], "local");

    // Who offers no credentials hears that they are needed, and nothing else.
    for place in [daemon.zmq(), daemon.publisher()] {
        let mut wire = Wire::connect(place);
        let said = [zmtp::greeting(), zmtp::ready("DEALER", b"")].concat();
        std::io::Write::write_all(&mut wire, &said).expect("the daemon reads");
        let mut heard = Vec::new();
        // A reset says the same as an end.
        drop(std::io::Read::read_to_end(&mut wire, &mut heard));
        assert!(heard.len() <= 64, "{heard:?}");
    }
}

#[test]
fn without_authentication_a_password_says_who_it_is_and_the_same_user_needs_none() {
    let daemon = Setup::new().flag("--zmq-port=0").flag("--pub-port=0").start();
    let mut owner = daemon.socket();
    let made = owner.ok("auth.key.create", json!({"name": "hears", "role": "viewer"}));
    let key = made["key"].as_str().expect("a key");
    let mut subscriber = Zmtp::plain(daemon.publisher(), "SUB", key).expect("it is let in");
    subscriber.subscribe("agent/");
    let mut peer = Zmtp::plain(daemon.zmq(), "DEALER", key).expect("it is let in");
    assert_eq!(peer.ok("auth.whoami", json!({}))["principal"], "key:hears");
    spawn(&mut owner, &parrot::parrot(&["count", "1000000", "10"]));
    assert!(subscriber.receive().expect("it hears")[0].starts_with(b"agent/"));
    let mut unnamed = Zmtp::connect(daemon.zmq(), "DEALER");
    assert_eq!(unnamed.ok("auth.whoami", json!({}))["principal"], "local");
    owner.ok("auth.key.revoke", json!({"key_id": made["key_id"]}));
    while subscriber.receive().is_ok() {}
    for place in [daemon.zmq(), daemon.publisher()] {
        let refused = Zmtp::plain(place, "DEALER", key).err();
        assert_eq!(refused.as_deref(), Some("\x05ERROR\x03400"), "{place}");
    }
}

#[test]
fn a_revoked_password_is_over_at_once_also_for_subscribers() {
    let daemon = daemon();
    let mut owner = daemon.socket();
    let made = owner.ok("auth.key.create", json!({"name": "hears", "scopes": ["*"]}));
    let key = made["key"].as_str().expect("a key");
    let mut subscriber = Zmtp::plain(daemon.publisher(), "SUB", key).expect("it is let in");
    subscriber.subscribe("agent/");
    spawn(&mut owner, &parrot::parrot(&["count", "1000000", "10"]));
    let heard = subscriber.receive().expect("it hears");
    assert!(heard[0].starts_with(b"agent/"));
    let mut peer = Zmtp::plain(daemon.zmq(), "DEALER", key).expect("it is let in");
    peer.ok("auth.whoami", json!({}));
    owner.ok("auth.key.revoke", json!({"key_id": made["key_id"]}));
    while subscriber.receive().is_ok() {}
    assert!(peer.receive().is_err(), "its connection ends");
    assert!(Zmtp::plain(daemon.zmq(), "DEALER", key).is_err());
}
