//! What an agent wrote: rows of the log, and lines that match.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{params, shape, words};

/// Which output is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StreamChoice {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Both, in the order written; the default.
    Both,
}

words! {
    /// A stream that an agent writes.
    pub enum Stream {
        /// Standard output.
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
    }
}

words! {
    /// How a row is to be shown.
    pub enum LogLevel {
        /// Standard output.
        Info = "info",
        /// Standard error.
        Error = "error",
    }
}

params! {
    /// Parameters of `agent.logs`.
    pub struct LogsParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// Which output; `both` unless given.
        stream?: StreamChoice,
        /// From which line; a negative number counts from the end. With `both`: rows of the
        /// merged log.
        offset?: i64,
        /// Only the last so many rows.
        tail?: u64,
        /// How many rows at most: 100 unless given, 1000 at most.
        limit?: u32,
        /// Where the page before ended.
        after?: String,
        /// How long to wait for a first row when there is none.
        wait_ms?: u64,
    }
}

shape! {
    /// A row of the log: a line, or a piece of at most 64 KiB of a long one.
    pub struct LogRow {
        /// The number of the line in its stream, from 0.
        line: u64,
        /// Which stream.
        stream: Stream,
        /// `error` for standard error.
        level: LogLevel,
        /// When the daemon saw it.
        timestamp: String,
        /// The row without its newline; what is not UTF-8 is replaced.
        message: String,
        /// The exact bytes as base64, when they are not UTF-8.
        data?: String,
        /// True when no newline follows here.
        partial?: bool,
    }
}

shape! {
    /// A part of a topic's history that is no longer kept.
    pub struct Gap {
        /// Which topic.
        topic: String,
        /// The first offset that is missing.
        from_offset: u64,
        /// The first offset that is there again.
        to_offset: u64,
        /// Where reading goes on.
        cursor: String,
    }
}

shape! {
    /// A page of the log.
    pub struct Logs {
        /// The agent's identifier.
        agent_id: String,
        /// The rows.
        logs: Vec<LogRow>,
        /// How many there are in all.
        total: u64,
        /// Where the next page begins; also valid for `event.*`.
        cursor: String,
        /// What was asked for and is no longer kept.
        gap?: Gap,
    }
}

params! {
    /// Parameters of `agent.output`.
    pub struct OutputParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// Which output; `both` unless given.
        stream?: StreamChoice,
        /// A regular expression that is tried on the bytes of each line; absent, every line matches.
        filter?: String,
        /// How many matches at most: 100 unless given, 1000 at most.
        limit?: u32,
        /// How many matches to pass over.
        offset?: u64,
    }
}

shape! {
    /// Lines of the output that match.
    pub struct OutputMatches {
        /// The lines.
        lines: Vec<String>,
        /// Where each of them is.
        matches: Vec<OutputMatch>,
        /// How many lines match in all.
        total_lines: u64,
        /// Whether there are more after these.
        has_more: bool,
    }
}

shape! {
    /// Where a line that matches is.
    pub struct OutputMatch {
        /// The number of the line in its stream, from 0.
        line: u64,
        /// Which stream.
        stream: Stream,
        /// When the daemon saw it.
        timestamp: String,
    }
}
