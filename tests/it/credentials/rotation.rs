//! Secrets are replaced while the daemon serves.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{API_KEY, bearer, guarded, token};
use crate::rig::Caller;
use crate::rig::daemon::Daemon;
use crate::rig::socket::Socket;

const OTHER_SECRET: &str = "another secret of this test, of more than 32 bytes";
const OTHER_KEY: &str = "another configured key of this test";

#[track_caller]
fn reload(owner: &mut Socket) -> Value {
    owner.ok("system.reload", json!({}))
}

/// Whether nothing more comes but that it is over.
fn ends(socket: &mut Socket) -> bool {
    std::iter::from_fn(|| socket.line()).all(|line| !line.contains("\"result\""))
}

fn logged_in(daemon: &Daemon, credentials: &str) -> Socket {
    let mut socket = daemon.socket();
    socket.ok("auth.login", json!({"token": credentials}));
    socket.ok("event.subscribe", json!({"topics": ["agent/"], "after": "now"}));
    socket
}

#[test]
fn a_replaced_secret_is_in_force_at_once_and_what_the_old_one_signed_ends() {
    let daemon = guarded();
    let (mut owner, home) = (daemon.socket(), daemon.home.clone());
    let old = token(&daemon, json!({"sub": "ann", "scopes": ["agent:read"]}));
    let made = owner.ok("auth.key.create", json!({"name": "ci", "role": "viewer"}));
    let made = made["key"].as_str().expect("a key");
    let mut by_token = logged_in(&daemon, &old);
    let (mut by_key, mut by_made) = (logged_in(&daemon, API_KEY), logged_in(&daemon, made));

    home.file("jwt", OTHER_SECRET.as_bytes());
    assert_eq!(reload(&mut owner)["applied"], json!(["auth.jwt_secret_file"]));
    assert!(ends(&mut by_token) && bearer(&daemon, &old).is_none());
    let new = token(&daemon, json!({"sub": "ann", "scopes": ["agent:read"]}));
    assert_eq!(bearer(&daemon, &new).as_deref(), Some("ann"));
    assert_eq!(by_key.ok("auth.whoami", json!({}))["principal"], "api_key");

    home.file("key", OTHER_KEY.as_bytes());
    assert_eq!(reload(&mut owner)["applied"], json!(["auth.api_key_file"]));
    assert!(ends(&mut by_key) && bearer(&daemon, API_KEY).is_none());
    assert_eq!(bearer(&daemon, OTHER_KEY).as_deref(), Some("api_key"));
    assert_eq!(by_made.ok("auth.whoami", json!({}))["principal"], "key:ci");
    assert_eq!(reload(&mut owner)["status"], "unchanged");

    // A secret that would not be taken at the start is not taken here.
    for (content, mode) in [("short", 0o600), (API_KEY, 0o644)] {
        let key = home.file("key", content.as_bytes());
        fs::set_permissions(key, Permissions::from_mode(mode)).expect("it is ours");
        let told = reload(&mut owner);
        assert_eq!((&told["status"], &told["applied"]), (&json!("refused"), &json!([])), "{told}");
        assert_eq!(bearer(&daemon, OTHER_KEY).as_deref(), Some("api_key"));
    }
    let log = daemon.log();
    assert!([OTHER_SECRET, OTHER_KEY, &old].iter().all(|secret| !log.contains(secret)), "{log}");
}
