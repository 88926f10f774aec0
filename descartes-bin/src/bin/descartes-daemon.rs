//! `descartes-daemon`: agents behind one JSON-RPC API; under another name, the built-in agent.

use std::process::ExitCode;

use descartes_bin::{basic, daemon};

fn main() -> ExitCode {
    // Decided first: the agent must not pay for the daemon.
    if basic::is_called(std::env::args_os().next()) { basic::main() } else { daemon::main() }
}
