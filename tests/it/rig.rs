//! What the tests stand on: the programs under test, started and ended, and plain clients.
//!
//! The clients are written on sockets of the standard library, so that a fault in our own clients
//! cannot hide the same fault in the daemon.

pub(crate) mod agents;
pub(crate) mod daemon;
pub(crate) mod given;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod parrot;
pub(crate) mod processes;
pub(crate) mod proxy;
pub(crate) mod socket;
pub(crate) mod terminal;
pub(crate) mod websocket;
pub(crate) mod zmtp;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take before a test calls it hung; far beyond what a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where the programs lie: in the target directory, or where `.ci/run` has put a daemon of its own making.
pub(crate) fn program(name: &str) -> PathBuf {
    // This test lies in `deps`, beside which cargo puts the programs and the examples.
    let own = std::env::current_exe().expect("a test has a path");
    let folder = own.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps");
    let chosen = std::env::var_os("DESCARTES_TEST_PROGRAMS").map(|d| PathBuf::from(d).join(name));
    let path = chosen.filter(|path| path.exists()).unwrap_or_else(|| folder.join(name));
    assert!(
        path.exists(),
        "{} is not built; `cargo test --workspace` or `cargo build --workspace` does it",
        path.display()
    );
    path
}

/// `full` repetitions, scaled by `DESCARTES_TORTURE`, but at least one.
pub(crate) fn torture(full: usize) -> usize {
    let scale = std::env::var("DESCARTES_TORTURE").ok().and_then(|text| text.parse().ok());
    let scaled = full as f64 * scale.unwrap_or(0.05_f64);
    (scaled.round() as usize).max(1)
}

/// Says why a test shows nothing on this machine, past the runner, which hides what passes.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {reason}\n", thread.name().unwrap_or("a test"));
    // Where nobody can be told, nobody asks.
    drop(std::io::stderr().write_all(line.as_bytes()));
}

/// Tells a figure that was measured, past the runner, when somebody asked for a count of their own.
pub(crate) fn measured(figure: impl std::fmt::Display) {
    if std::env::var_os("DESCARTES_TORTURE").is_some() {
        let thread = std::thread::current();
        let line = format!("measured: {}: {figure}\n", thread.name().unwrap_or("a test"));
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
}

/// Something that answers JSON-RPC calls, whatever carries them.
pub(crate) trait Caller {
    /// The result, or the error object.
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Value>;

    /// The result of a call that has to succeed.
    #[track_caller]
    fn ok(&mut self, method: &str, params: Value) -> Value {
        match self.call(method, params) {
            Ok(result) => result,
            Err(error) => panic!("{method}: {error}"),
        }
    }

    /// The error of a call that has to fail with `kind`.
    #[track_caller]
    fn refused(&mut self, kind: &str, method: &str, params: Value) -> Value {
        match self.call(method, params) {
            Ok(result) => panic!("{method} succeeded, expected {kind}: {result}"),
            Err(error) => {
                assert_eq!(error["data"]["kind"], kind, "{method}: {error}");
                error
            }
        }
    }
}

/// The outcome in a JSON-RPC response.
#[track_caller]
pub(crate) fn outcome(response: &Value) -> Result<Value, Value> {
    assert_eq!(response["jsonrpc"], "2.0", "{response}");
    match (response.get("result"), response.get("error")) {
        (Some(result), None) => Ok(result.clone()),
        (None, Some(error)) => Err(error.clone()),
        _ => panic!("neither result nor error, or both: {response}"),
    }
}
