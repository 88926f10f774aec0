//! Who may use whom: the arrows of the design, read from the manifests.

use std::collections::BTreeSet;
use std::fs;

use super::root;

/// A member, which of ours it may use, and which foreign crates are not for it.
struct Room {
    name: &'static str,
    may_use: &'static [&'static str],
    must_not: &'static [&'static str],
}

const HTTP: &[&str] = &["http", "hyper", "hyper-util", "axum", "tower-http", "reqwest", "zeromq"];

const ROOMS: &[Room] = &[
    Room {
        name: "descartes-core",
        may_use: &[],
        must_not: &["http", "axum", "hyper", "zeromq", "clap", "anyhow", "tracing-subscriber"],
    },
    Room { name: "descartes-rpc", may_use: &["descartes-core"], must_not: HTTP },
    Room { name: "descartes-transport-http", may_use: &["descartes-rpc"], must_not: &["anyhow"] },
    Room { name: "descartes-transport-unix", may_use: &["descartes-rpc"], must_not: HTTP },
    Room { name: "descartes-transport-zmq", may_use: &["descartes-rpc"], must_not: HTTP },
];

/// Crates that nobody here uses; the design says what to use instead.
const NOWHERE: &[&str] =
    &["sqlx", "figment", "nix", "process-wrap", "dashmap", "portable-pty", "mockall"];

struct Manifest(toml::Table);

impl Manifest {
    fn of(member: &str) -> Self {
        let path = root().join(member).join("Cargo.toml");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    fn names(&self, table: &str) -> BTreeSet<&str> {
        let table = self.0.get(table).and_then(toml::Value::as_table);
        table.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }
}

pub(crate) fn members() -> Vec<String> {
    let workspace = Manifest::of("");
    let members = workspace.0["workspace"]["members"].as_array().expect("members are a list");
    members.iter().map(|m| m.as_str().expect("a member is a path").to_owned()).collect()
}

#[test]
fn arrows_point_down_only() {
    for room in ROOMS {
        let manifest = Manifest::of(room.name);
        let mut ours = manifest.names("dependencies");
        ours.extend(manifest.names("dev-dependencies"));
        ours.retain(|name| name.starts_with("descartes-") && *name != room.name);
        let allowed: BTreeSet<&str> = room.may_use.iter().copied().collect();
        assert!(ours.is_subset(&allowed), "{} uses {ours:?}, may use {allowed:?}", room.name);
    }
}

#[test]
fn no_room_uses_what_belongs_to_another_floor() {
    for room in ROOMS {
        let manifest = Manifest::of(room.name);
        let used = manifest.names("dependencies");
        let wrong: Vec<_> = room.must_not.iter().filter(|name| used.contains(**name)).collect();
        assert!(wrong.is_empty(), "{} must not use {wrong:?}", room.name);
    }
}

#[test]
fn crates_that_the_design_refuses_are_used_by_nobody() {
    for member in members() {
        let manifest = Manifest::of(&member);
        let mut used = manifest.names("dependencies");
        used.extend(manifest.names("dev-dependencies"));
        let wrong: Vec<_> = NOWHERE.iter().filter(|name| used.contains(**name)).collect();
        assert!(wrong.is_empty(), "{member} uses {wrong:?}");
    }
}

#[test]
fn every_member_takes_the_lints_of_the_workspace() {
    for member in members() {
        let lints = Manifest::of(&member).0.get("lints").cloned();
        let expected = "workspace = true".parse::<toml::Table>().expect("a table");
        assert_eq!(lints, Some(toml::Value::Table(expected)), "[lints] of {member}");
    }
}

#[test]
fn the_daemon_is_what_cargo_run_starts() {
    let workspace = Manifest::of("");
    let default = &workspace.0["workspace"]["default-members"];
    assert_eq!(default, &toml::Value::Array(vec!["descartes-bin".into()]));
    let run = &Manifest::of("descartes-bin").0["package"]["default-run"];
    assert_eq!(run.as_str(), Some("descartes-daemon"));
}

#[test]
fn examples_has_only_example_targets() {
    let manifest = Manifest::of("examples");
    for target in ["lib", "bin", "test", "bench"] {
        assert!(!manifest.0.contains_key(target), "examples has a [{target}]");
    }
    assert!(!root().join("examples/src").exists());
    assert!(manifest.names("dependencies").is_empty(), "examples need dev-dependencies only");
}
