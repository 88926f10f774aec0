//! It ends when it is asked, in order and at once: at any moment of its start, and when that hangs.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::rig::daemon::{Home, Setup};
use crate::rig::processes::{catches, eventually};
use crate::rig::{Caller, torture};

/// A daemon that has only just begun, but hears signals.
fn begun(home: &Home) -> Child {
    let mut command = Setup::at(home).flag("--zmq-port=0").command();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    eventually("it hears signals", || catches(child.id(), Signal::TERM));
    child
}

/// Asks it once, and says how it has ended.
fn ask(mut child: Child) -> Option<i32> {
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it is ours to signal");
    child.wait().expect("it is our child").code()
}

/// What makes `open` of a file wait for ever.
pub(crate) fn fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo is there");
    assert!(made.success());
}

#[test]
fn at_any_moment_of_its_start_it_ends_in_order() {
    let home = Home::new();
    let marks = ["", "data/daemon.lock", "run/descartes.sock", "data/store", "run/endpoints.json"];
    for mark in marks.iter().cycle().take(torture(60).max(marks.len())) {
        let mark = home.path().join(mark);
        let child = begun(&home);
        eventually("it has come so far", || mark.exists());
        assert_eq!(ask(child), Some(0), "{}", mark.display());
        for left in ["endpoints.json", "descartes.sock", "zmq.sock", "pub.sock"] {
            let left = home.runtime().join(left);
            assert!(!left.exists(), "{} at {}", left.display(), mark.display());
        }
    }
    let daemon = Setup::at(&home).start();
    assert_eq!(daemon.socket().ok("system.health", json!({}))["status"], "healthy");
}

#[test]
fn a_start_that_hangs_ends_at_the_first_signal() {
    let private = |path: &Path| {
        DirBuilder::new().recursive(true).mode(0o700).create(path).expect("a directory");
    };
    // The configuration cannot be read, or the store not be opened.
    for slow in ["daemon.toml", "data/store/journal.last"] {
        let home = Home::new();
        private(&home.data());
        private(&home.data().join("store"));
        let setup = Setup::at(&home).flag("--zmq-port=0");
        let mut command = setup.command();
        let slow = home.path().join(slow);
        drop(fs::remove_file(&slow));
        fifo(&slow);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("it starts");
        eventually("it hears signals", || catches(child.id(), Signal::TERM));
        if !slow.ends_with("daemon.toml") {
            eventually("it listens", || home.runtime().join("descartes.sock").exists());
        }
        assert_eq!(ask(child), Some(0), "{}", slow.display());
        assert!(!home.runtime().join("descartes.sock").exists(), "{}", slow.display());
    }
}
