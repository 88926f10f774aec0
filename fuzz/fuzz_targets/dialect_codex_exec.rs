//! `cargo fuzz run dialect_codex_exec`; without cargo-fuzz the stable driver, for this target alone.
#![cfg_attr(fuzzing, no_main)]

descartes_fuzz::program!(dialect_codex_exec);
