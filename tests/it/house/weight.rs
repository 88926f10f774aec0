//! What an embedder has to compile: distinct crates in `cargo tree`, counted.

use std::collections::BTreeSet;
use std::process::Command;

use super::root;

/// The distinct names in the normal dependencies of `package`, itself included.
fn tree(package: &str, options: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--offline", "-e", "normal", "--prefix", "none", "-p", package])
        .args(options)
        .output()
        .expect("cargo starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree -p {package}: {complaint}");
    let text = String::from_utf8(output.stdout).expect("crate names are text");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn core_without_features_stays_under_60_crates() {
    let names = tree("descartes-core", &["--no-default-features"]);
    assert!(names.len() < 60, "{}: {names:?}", names.len());
}

#[test]
fn core_stays_under_75_crates() {
    let names = tree("descartes-core", &[]);
    assert!(names.len() < 75, "{}: {names:?}", names.len());
}

#[test]
fn a_program_with_only_a_client_compiles_no_c_and_no_sqlite() {
    let names = tree("descartes-rpc", &[]);
    let heavy = ["libsqlite3-sys", "rusqlite", "hyper", "axum", "clap", "cc", "rustix"];
    let found: Vec<_> = heavy.iter().filter(|name| names.contains(**name)).collect();
    assert!(found.is_empty(), "descartes-rpc brings {found:?}");
}

#[test]
fn a_daemon_without_the_feature_for_traces_compiles_nothing_of_them() {
    let of_traces = |options| {
        let mut names = tree("descartes-bin", options);
        names.retain(|name| name.starts_with("opentelemetry") || name == "prost");
        names
    };
    assert!(of_traces(&[]).is_empty());
    assert_eq!(of_traces(&["--features", "otel"]).len(), 4, "the test looks for the right ones");
}

#[test]
fn the_clients_of_the_transports_bring_no_store() {
    for package in
        ["descartes-transport-http", "descartes-transport-unix", "descartes-transport-zmq"]
    {
        let names = tree(package, &[]);
        assert!(!names.contains("rusqlite"), "{package} brings the store");
        assert!(!names.contains("axum"), "{package} brings a web framework");
    }
}
