//! What is on the wire: the parameters and results of every method, and the JSON of events.
//!
//! Nothing of core is serialised by accident: core's objects become these structs in `encode` rooms,
//! and a golden file pins every shape.

#[cfg(test)]
mod golden;
mod shape;

pub mod agent;
pub mod backend;
pub mod config;
pub mod control;
pub mod duration;
pub(crate) mod encode;
mod error;
pub mod event;
pub mod output;
pub mod state;
pub mod system;

pub(crate) use shape::{params, shape, words};

/// Files that hold what was published.
#[cfg(test)]
pub(crate) mod published {
    /// Compares `now` with the file `name` of `golden/`, or writes it when that is asked for.
    #[track_caller]
    pub(crate) fn assert_unchanged(name: &str, now: &str) {
        let path = format!("{}/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("DESCARTES_BLESS").is_some() {
            std::fs::write(&path, now).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let first = golden.lines().zip(now.lines()).find(|(old, new)| old != new);
        assert!(
            golden == now,
            "golden/{name} has changed, first here: {first:#?}. Within version 1 nothing may be \
             removed, renamed or made required. If the change is meant: DESCARTES_BLESS=1 cargo \
             test -p descartes-rpc published, and commit golden/{name}"
        );
    }
}
