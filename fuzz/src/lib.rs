//! Hostile input for everything that reads bytes from outside.
//!
//! A target is a plain function over bytes that panics when a promise is broken: most compare the
//! product with a slow reference that was written from the documents, not from the product. Two
//! drivers call them: cargo-fuzz where there is a nightly (`fuzz_targets/`), and [`driver`], which
//! replays the corpus and mutates it on the stable compiler.

mod call;
mod cursor;
mod dialect;
pub mod driver;
mod frame;
mod guard;
mod input;
mod lines;
mod output;
mod params;
mod protocol;
mod query;
mod sse;
mod websocket;
mod zmtp;

pub use call::call;
pub use cursor::cursor;
pub use dialect::{
    dialect_acp, dialect_basic, dialect_claude, dialect_codex, dialect_codex_exec, dialect_gemini,
    dialect_lines, dialect_opencode,
};
pub use frame::frame;
pub use guard::guard;
pub use lines::lines;
pub use output::output;
pub use params::params;
pub use protocol::protocol;
pub use query::query;
pub use sse::sse;
pub use websocket::websocket;
pub use zmtp::zmtp;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

/// A function that hostile input is given to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target {
    /// The name of its program and of the folder of its corpus.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Words that mean something to it; the stable driver puts them into its mutations.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "frame", run: frame, words: frame::WORDS },
    Target { name: "call", run: call, words: call::WORDS },
    Target { name: "params", run: params, words: params::WORDS },
    Target { name: "lines", run: lines, words: lines::WORDS },
    Target { name: "guard", run: guard, words: guard::WORDS },
    Target { name: "cursor", run: cursor, words: cursor::WORDS },
    Target { name: "output", run: output, words: output::WORDS },
    Target { name: "query", run: query, words: query::WORDS },
    Target { name: "sse", run: sse, words: sse::WORDS },
    Target { name: "websocket", run: websocket, words: websocket::WORDS },
    Target { name: "protocol", run: protocol, words: protocol::WORDS },
    Target { name: "zmtp", run: zmtp, words: zmtp::WORDS },
    Target { name: "dialect_acp", run: dialect_acp, words: dialect::words::dialect_acp },
    Target { name: "dialect_basic", run: dialect_basic, words: dialect::words::dialect_basic },
    Target { name: "dialect_claude", run: dialect_claude, words: dialect::words::dialect_claude },
    Target { name: "dialect_codex", run: dialect_codex, words: dialect::words::dialect_codex },
    Target {
        name: "dialect_codex_exec",
        run: dialect_codex_exec,
        words: dialect::words::dialect_codex_exec,
    },
    Target { name: "dialect_gemini", run: dialect_gemini, words: dialect::words::dialect_gemini },
    Target { name: "dialect_lines", run: dialect_lines, words: dialect::words::dialect_lines },
    Target {
        name: "dialect_opencode",
        run: dialect_opencode,
        words: dialect::words::dialect_opencode,
    },
];

/// The program of one target: an entry point for libFuzzer under cargo-fuzz, else a `main`.
#[macro_export]
macro_rules! program {
    ($target:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$target(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::driver::main(Some(stringify!($target)))
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus_and_passes_it() {
        for target in TARGETS {
            let seeds = driver::corpus(target.name).unwrap();
            assert!(seeds.len() >= 8, "{} has {} seeds", target.name, seeds.len());
            for (path, seed) in &seeds {
                assert!(driver::passes(target, seed), "{}", path.display());
            }
        }
    }

    #[test]
    fn mutations_of_the_corpus_pass_too() {
        for target in TARGETS {
            // Counted and not timed: a busy machine does the same.
            let time = std::time::Duration::MAX;
            let run = driver::Run { executions: 300, time, ..driver::Run::default() };
            let seen = driver::mutate(target, &run).unwrap();
            assert_eq!(seen.finding, None, "{}", target.name);
            assert_eq!(seen.executions, 300);
        }
    }
}
