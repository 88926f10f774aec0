//! A daemon that lets nobody in without credentials, as the remote of another.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::rig::Caller;
use crate::rig::agents::{await_output, id_of, log, wait};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::parrot::parrot;
use crate::rig::processes::eventually;

/// Puts the token where `near` looks for it.
fn give(home: &Home, token: &str) {
    let file = home.file("token", token.as_bytes());
    fs::set_permissions(file, Permissions::from_mode(0o600)).expect("it is ours");
}

fn token(far: &Daemon) -> (String, Value) {
    let made = far.socket().ok("auth.key.create", json!({"name": "near", "role": "operator"}));
    (made["key"].as_str().expect("a key").to_owned(), made["key_id"].clone())
}

fn near(home: &Home, far: &Daemon) -> Setup {
    let (endpoint, file) = (far.zmq(), home.path().join("token"));
    let remote = format!(
        "[remotes.far]\nendpoint = {endpoint:?}\ntoken_file = {:?}\nreconnect_delay_secs = 1\n",
        file.display().to_string()
    );
    Setup::at(home).config(&remote)
}

fn start(command: &[String]) -> Value {
    json!({"name": "one", "agent_type": "far", "config": {"command": command}})
}

/// What `descartes doctor` says of the remote.
fn doctor(near: &Daemon) -> String {
    let mut command = near.home.command("descartes");
    command.args(["--json", "doctor"]).arg("--data-dir").arg(near.home.data());
    command.env("DESCARTES_CONFIG", near.home.path().join("daemon.toml"));
    let said = command.output().expect("descartes runs").stdout;
    let said = String::from_utf8(said).expect("text");
    said.lines().find(|line| line.contains("remote far")).expect("the remote is told").to_owned()
}

#[test]
fn an_agent_runs_at_a_remote_that_wants_a_token_which_can_be_replaced() {
    let far = Setup::new().config("[auth]\nenabled = true\n").flag("--zmq-port=0").start();
    let (home, (first, id)) = (Home::new(), token(&far));
    give(&home, &first);
    let near = near(&home, &far).start();
    let mut socket = near.socket();
    let agent = id_of(&socket.ok("agent.spawn", start(&parrot(&["echo"]))));
    socket.ok("agent.write_stdin", json!({"agent_id": agent, "text": "over there\n"}));
    await_output(&mut socket, &agent, "over there");
    let said = doctor(&near);
    assert!(said.contains("key:near") && !said.contains(&first), "{said}");

    // A revoked one ends its connections; with another in the file all goes on.
    far.socket().ok("auth.key.revoke", json!({"key_id": id}));
    give(&home, &token(&far).0);
    let bye = json!({"agent_id": agent, "text": "bye\n", "close": true});
    eventually("the new token is shown", || socket.call("agent.write_stdin", bye.clone()).is_ok());
    assert_eq!(wait(&mut socket, &agent)["status"], "completed");
    assert_eq!(log(&mut socket, &agent, "stdout"), b"over there\nbye\n");
    assert!(!near.log().contains(&first), "{}", near.log());
}

#[test]
fn a_token_that_is_not_known_there_is_told_and_nobody_waits() {
    let far = Setup::new().config("[auth]\nenabled = true\n").flag("--zmq-port=0").start();
    let home = Home::new();
    give(&home, "a token that nobody has ever made");
    let setup = near(&home, &far);
    let near = setup.start();
    let refused = near.socket().refused("spawn_failed", "agent.spawn", start(&parrot(&["echo"])));
    assert!(refused.to_string().contains("unauthenticated"), "{refused}");
    let said = doctor(&near);
    assert!(said.contains("unauthenticated"), "{said}");
    drop(near);

    // A file that others can read is refused at the start, and so is none.
    let exposed = home.path().join("token");
    fs::set_permissions(&exposed, Permissions::from_mode(0o644)).expect("it is ours");
    for (code, why) in [(77, "others can read"), (78, "could not read")] {
        let Err(ended) = self::near(&home, &far).try_start() else { panic!("it started: {why}") };
        assert_eq!(ended.status.code(), Some(code), "{}", ended.log);
        assert!(ended.log.contains(why) && ended.log.contains("remotes.far.token_file"));
        drop(fs::remove_file(&exposed));
    }
}
