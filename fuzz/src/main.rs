//! The stable driver of all targets: `cargo run -p descartes-fuzz [-- TARGET [FILE...]]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    descartes_fuzz::driver::main(None)
}
