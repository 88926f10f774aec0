//! A full disk: nothing acknowledged is lost, the state is told, control works, and it passes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::rig::agents::{await_output, events, spawn, text, wait};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::{Caller, parrot, processes, skip};

/// A small file system of its own; unmounted when dropped.
struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    fn mount(home: &Home) -> Option<Self> {
        if !geteuid().is_root() {
            skip("needs root to mount a small file system");
            return None;
        }
        let place = home.path().join("disk");
        fs::create_dir(&place).expect("the home is writable");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs"]).arg(&place);
        if !mount.status().is_ok_and(|status| status.success()) {
            skip("cannot mount a small file system here");
            return None;
        }
        Some(Self { place })
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }

    fn fill(&self, bytes: usize) {
        fs::write(self.ballast(), vec![1; bytes]).expect("there is space for it");
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).expect("the ballast is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.place).status());
    }
}

fn health(daemon: &Daemon) -> Value {
    daemon.socket().ok("system.health", json!({}))
}

fn data(disk: &SmallDisk) -> PathBuf {
    disk.place.join("data")
}

fn start(home: &Home, data: &Path) -> Daemon {
    Setup::at(home).data(data).start()
}

#[test]
fn a_full_disk_loses_nothing_and_passes() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(&home) else { return };
    disk.fill(20 * 1024 * 1024);
    let daemon = start(&home, &data(&disk));
    let mut socket = daemon.socket();
    let token = processes::token();
    let bystander = spawn(&mut socket, &parrot::flee(parrot::MANNERS[0], &token));
    await_output(&mut socket, &bystander, "ready");
    let flood = spawn(&mut socket, &parrot::shell("yes 'a line that takes its space on the disk'"));
    processes::eventually("it says that the disk is full", || {
        health(&daemon)["status"] == "degraded"
    });
    let reasons = health(&daemon)["reasons"].to_string();
    assert!(reasons.contains("full") || reasons.contains("space"), "{reasons}");
    let acknowledged = events(&mut socket, "agent/", "start");

    let put = json!({"key": "k", "value": "x"});
    let error = socket.refused("state_error", "state.put", put.clone());
    assert_eq!(error["data"]["reason"], "storage_full", "{error}");
    let killed = socket.ok("agent.kill", json!({"agent_id": bystander, "grace_secs": 0.1}));
    assert_eq!(killed["status"], "killed", "{killed}");
    assert_eq!(processes::with_token(&token), Vec::<u32>::new());

    disk.free();
    processes::eventually("it recovers by itself", || health(&daemon)["status"] == "healthy");
    socket.ok("state.put", put);
    socket.ok("agent.kill", json!({"agent_id": flood, "force": true}));
    wait(&mut socket, &flood);
    let all = events(&mut socket, "agent/", "start");
    assert_eq!(all[..acknowledged.len()], acknowledged);
    let ended = |id: &str| {
        let topic = format!("agent/{id}/status");
        all.iter().any(|event| event["topic"] == topic && event["type"] == "agent.exited")
    };
    assert!(ended(&bystander), "the kill on the full disk was recorded");

    let home = daemon.kill9();
    let daemon = start(&home, &data(&disk));
    let after_restart = events(&mut daemon.socket(), "agent/", "start");
    assert_eq!(after_restart[..all.len()], all);
    let status = daemon.socket().ok("agent.get", json!({"agent_id": bystander}));
    assert_eq!(text(&status["status"]), "killed");
    drop(daemon);
}
