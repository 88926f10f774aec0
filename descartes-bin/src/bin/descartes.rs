//! `descartes`: the command line of a running daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    descartes_bin::cli::main()
}
