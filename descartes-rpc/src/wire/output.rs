//! What an agent wrote: rows of the log, and lines that match.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

impl LogRow {
    /// Writes the row as the agent wrote it: its exact bytes, and its newline unless the row is
    /// partial.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        match self.data.as_ref().map(|data| STANDARD.decode(data)) {
            Some(Ok(exact)) => out.extend_from_slice(&exact),
            _ => out.extend_from_slice(self.message.as_bytes()),
        }
        if self.partial != Some(true) {
            out.push(b'\n');
        }
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

#[cfg(test)]
mod tests {
    use super::LogRow;

    fn bytes(json: &str) -> Vec<u8> {
        let head = r#"{"line":0,"stream":"stdout","level":"info","timestamp":"","#;
        let row: LogRow = serde_json::from_str(&format!("{head}{json}}}")).unwrap();
        let mut out = Vec::new();
        row.write_bytes(&mut out);
        out
    }

    #[test]
    fn rows_give_back_what_was_written() {
        assert_eq!(bytes(r#""message":"é""#), "é\n".as_bytes());
        assert_eq!(bytes(r#""message":"half","partial":true"#), b"half");
        assert_eq!(bytes(r#""message":"\ufffd","data":"/wA=""#), b"\xff\0\n");
    }
}
