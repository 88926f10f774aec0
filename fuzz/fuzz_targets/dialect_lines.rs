//! `cargo fuzz run dialect_lines`; without cargo-fuzz the stable driver, for this target alone.
#![cfg_attr(fuzzing, no_main)]

descartes_fuzz::program!(dialect_lines);
