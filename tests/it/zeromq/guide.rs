//! The guide "Agents on another machine", as far as it is about daemons: its Rust is tested where it
//! is.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::json;

use crate::house::root;
use crate::readme::{Step, blocks, matches, session, steps};
use crate::rig::Caller;
use crate::rig::agents::{id_of, wait};
use crate::rig::daemon::{Daemon, Home, Setup};

const USUAL_SOCKET: &str = "/run/user/1000/gpu.sock";
const USUAL_QUEUE: &str = "/var/lib/descartes/gpu.queue";

fn guide() -> String {
    fs::read_to_string(root().join("docs/remote-agents.md")).expect("there is the guide")
}

/// The configuration that the guide shows.
fn shown() -> String {
    let [only] = &blocks(&guide(), "toml")[..] else { panic!("the guide has one") };
    only.clone()
}

/// A daemon that is configured as the guide shows it, in folders of the test.
fn near(home: &Home, socket: &Path) -> Daemon {
    let config = shown().replace(USUAL_SOCKET, &socket.display().to_string());
    let queue = home.path().join("gpu.queue").display().to_string();
    Setup::at(home).config(&config.replace(USUAL_QUEUE, &queue)).start()
}

/// What `--print-config` says of the remote `gpu` when this is configured, but for the key that names
/// a file which has to be there.
fn printed(toml: &str) -> Vec<String> {
    let home = Home::new();
    let output = Setup::at(&home).only_config(toml).flag("--print-config").command().output();
    let output = output.expect("the daemon's program starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let section = text.split("[remotes.\"gpu\"]\n").nth(1).expect("the remote is printed");
    let lines = section.lines().take_while(|line| !line.is_empty());
    lines.filter(|line| *line != "# token_file is not set").map(str::to_owned).collect()
}

#[test]
fn the_guide_shows_every_key_with_its_default_and_says_what_it_does() {
    let (shown, guide) = (shown(), guide());
    let all: Vec<String> = shown.lines().skip(1).map(str::to_owned).collect();
    assert_eq!(printed(&shown), all, "these are all keys, in their order");
    let endpoint = &all[0];
    let unset = "# queue_path is not set";
    let defaults = printed(&format!("[remotes.gpu]\n{endpoint}\n"));
    let expected: Vec<String> = all.iter().map(|line| line.replace(&all[11], unset)).collect();
    assert_eq!(defaults, expected, "these are the defaults");
    for line in &all {
        let key = line.split(' ').next().expect("a key");
        assert!(guide.contains(&format!("| `{key}` |")), "{key} is not explained");
    }
}

#[test]
fn every_command_of_the_guide_gives_what_it_shows() {
    let (home, far) = (Home::new(), Setup::new().start());
    let socket = far.home.runtime().join("zmq.sock");
    let near = near(&home, &socket);
    // The command line reads the configuration where it is by default.
    let folder = home.path().join(".config/descartes");
    fs::create_dir_all(&folder).expect("the home is writable");
    fs::copy(home.path().join("daemon.toml"), folder.join("daemon.toml")).expect("it is there");
    let steps: Vec<Step> = blocks(&guide(), "console").iter().flat_map(|b| steps(b)).collect();
    assert!(steps.len() >= 5, "the guide has a session: {}", steps.len());
    let run: Vec<&Step> = steps.iter().collect();
    for (step, printed) in run.iter().zip(session(&near.home, &run)) {
        let (command, shown) = (&step.command, &step.shown);
        assert!(matches(shown, &printed), "$ {command}\n{printed}--- shown is:\n{shown}");
    }
}

/// What `ssh -L` does: every connection to `near` goes on to `far`.
fn tunnel(near: PathBuf, far: PathBuf) {
    let listener = UnixListener::bind(near).expect("the place is free");
    thread::spawn(move || {
        for here in listener.incoming().map_while(Result::ok) {
            let Ok(there) = UnixStream::connect(&far) else { continue };
            let ways = [(&here, &there), (&there, &here)].map(|(from, to)| {
                (from.try_clone().expect("a descriptor"), to.try_clone().expect("a descriptor"))
            });
            for (from, to) in ways {
                thread::spawn(move || carry(from, to));
            }
        }
    });
}

fn carry(mut from: UnixStream, mut to: UnixStream) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    drop((from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both)));
}

#[test]
fn a_tunnel_leads_to_a_remote() {
    let (home, far) = (Home::new(), Setup::new().start());
    let socket = home.path().join("tunnel.sock");
    tunnel(socket.clone(), far.home.runtime().join("zmq.sock"));
    let near = near(&home, &socket);
    let mut caller = near.socket();
    let params = json!({"agent_type": "gpu", "config": {"command": ["true"]}});
    let id = id_of(&caller.ok("agent.spawn", params));
    assert_eq!(wait(&mut caller, &id)["status"], "completed");
    assert_eq!(far.socket().ok("agent.list", json!({"status": "any"}))["total"], 1);
}
