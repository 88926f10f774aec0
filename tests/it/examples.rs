//! Every example runs as it stands and shows what it says.

use std::fs;
use std::process::{Command, Stdio};

use crate::house::root;
use crate::rig::daemon::Daemon;
use crate::rig::program;

/// An example, and the last word that it prints.
const EXAMPLES: &[(&str, &str)] = &[
    ("embed", "completed"),
    ("embed_axum", "healthy"),
    ("in_memory", "completed"),
    ("custom_runner", "completed"),
    ("custom_transport", "conforms"),
    ("remote_agents", "completed"),
];

fn run(name: &str, arguments: &[&str]) -> String {
    let path = program(&format!("examples/{name}"));
    let output = Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the example starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    String::from_utf8(output.stdout).expect("examples print text")
}

#[test]
fn each_example_runs_to_its_end() {
    for (name, last) in EXAMPLES {
        let printed = run(name, &[]);
        assert!(printed.trim_end().ends_with(last), "{name} printed: {printed}");
    }
}

#[test]
fn the_client_follows_an_agent_of_a_running_daemon() {
    let daemon = Daemon::start();
    let path = daemon.socket_path();
    let path = path.to_str().expect("a path of text");
    let [http, ws] = [("http", ""), ("ws", "/ws")]
        .map(|(scheme, path)| format!("{scheme}://{}{path}", daemon.http_address()));
    for address in [&http, &ws, path] {
        let printed = run("client", &[address]);
        assert!(printed.contains("agent.exited"), "{address}: {printed}");
    }
}

#[test]
fn every_example_is_run_here() {
    let mut known: Vec<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
    known.push("client");
    let entries = fs::read_dir(root().join("examples")).expect("examples is a member");
    for entry in entries {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("text").to_owned();
        if let Some(stem) = name.strip_suffix(".rs") {
            assert!(known.contains(&stem), "{stem} is run by nobody");
        }
    }
}
