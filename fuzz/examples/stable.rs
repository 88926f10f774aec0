//! The stable driver of all targets: `cargo run -p descartes-fuzz --example stable [-- TARGET
//! [FILE...]]`. An example, because cargo-fuzz takes every program of the package for a target.

use std::process::ExitCode;

fn main() -> ExitCode {
    descartes_fuzz::driver::main(None)
}
