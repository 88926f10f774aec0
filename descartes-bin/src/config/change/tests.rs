use super::super::Surroundings;
use super::super::{Config, Flags};

fn read(file: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.toml");
    std::fs::write(&path, file).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let mut config = Config::load(&flags, &Surroundings::default()).expect(file);
    config.file = None;
    config
}

/// What is applied and what takes a restart, when the second is read in place of the first.
#[track_caller]
fn changes(old: &str, new: &str, applied: &[&str], needs_restart: &[&str]) -> Config {
    let change = read(old).changed_to(read(new));
    let told = (change.applied, change.needs_restart);
    let strings = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    assert_eq!(told, (strings(applied), strings(needs_restart)), "from {old:?} to {new:?}");
    change.config
}

#[test]
fn what_says_the_same_changes_nothing() {
    let file = "[logging]\nlevel = 'warn'\n[backends.mine]\ncommand = ['true']\n";
    let config = changes(file, &format!("# a word\n{file}"), &[], &[]);
    assert_eq!(config, read(file));
}

#[test]
fn what_can_change_is_in_force_and_the_rest_stays_until_a_restart() {
    let new = "[logging]\nlevel = 'debug'\nformat = 'json'\n[limits]\nstate_keys = 7\n";
    let applied = ["logging.level", "limits.state_keys"];
    let config = changes("", new, &applied, &["logging.format"]);
    assert_eq!(config, read("[logging]\nlevel = 'debug'\n[limits]\nstate_keys = 7\n"));
    changes(new, "", &applied, &["logging.format"]);
}

#[test]
#[cfg(feature = "http")]
fn a_port_stays_the_one_that_is_listened_at() {
    let config = changes("", "[server]\nhttp_port = 0\n", &[], &["server.http_port"]);
    assert_eq!(config, Config::default());
}

#[test]
fn backends_come_change_and_go() {
    let one = "[backends.mine]\ncommand = ['true']\n";
    let other = "[backends.mine]\ncommand = ['false']\n";
    for (old, new) in [("", one), (one, other), (other, "")] {
        let config = changes(old, new, &["backends.mine"], &[]);
        assert_eq!(config, read(new));
    }
}

#[test]
#[cfg(feature = "zmq")]
fn remotes_and_the_backends_that_need_new_ones_take_a_restart() {
    let remote = "[remotes.farm]\nendpoint = 'tcp://farm:5555'\n";
    let there = format!("{remote}[backends.far]\nrunner = 'farm'\n");
    let config = changes("", &there, &[], &["remotes.farm", "backends.far"]);
    assert_eq!(config, Config::default());
    let config = changes(remote, &there, &["backends.far"], &[]);
    assert_eq!(config, read(&there));
    let moved = "[remotes.farm]\nendpoint = 'tcp://farm:5556'\n";
    assert_eq!(changes(remote, moved, &[], &["remotes.farm"]), read(remote));
    // The remote is there until the restart, and its name is that of its agents' backend.
    let own = "[backends.farm]\ncommand = ['true']\n";
    assert_eq!(changes(remote, own, &[], &["remotes.farm", "backends.farm"]), read(remote));
}
