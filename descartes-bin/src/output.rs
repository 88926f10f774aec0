//! All printing of the command line: results on standard output, everything else on standard error.

mod plain;
mod table;

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

pub(crate) use plain::{fitted, is_plain, width};
pub(crate) use table::Table;

/// Where results go, and in which form.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are for machines.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A result: as JSON for machines, else as `text` says it.
    pub(crate) fn result(
        &self,
        result: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> io::Result<()> {
        if self.json { self.json(result) } else { self.line(&text()) }
    }

    /// One JSON value on a line of its own.
    pub(crate) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// A line for people.
    #[expect(clippy::unused_self, reason = "all printing goes through the one object")]
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    }

    /// Aligned columns.
    pub(crate) fn table(&self, table: &Table) -> io::Result<()> {
        self.bytes(table.to_string().as_bytes())
    }

    /// Exactly these bytes.
    #[expect(clippy::unused_self, reason = "all printing goes through the one object")]
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Something to know that is not the result.
    #[expect(clippy::unused_self, reason = "all printing goes through the one object")]
    pub(crate) fn note(&self, note: impl fmt::Display) {
        // Nobody can be told that standard error is gone.
        drop(writeln!(io::stderr().lock(), "{note}"));
    }
}
