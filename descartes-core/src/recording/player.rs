//! Where in a run of a recording its player is.

use std::ops::Range;
use std::sync::Arc;

use super::difference::{Difference, Sent, compare, compare_args};
use super::{Entry, Exit, Lines, Recording, Start, What};
use crate::event::StreamName;
use crate::runner::Signal;

/// One run of a recording, as it is played.
///
/// What the agent does and what is done to it are two orders: the agent does nothing before it was
/// told all that it had been told then, and may be told things earlier than it was then.
#[derive(Debug)]
pub(super) struct Player {
    recording: Arc<Recording>,
    run: usize,
    /// Where the agent is.
    agent: usize,
    /// Where our side is.
    ours: usize,
    end: usize,
    sent: Lines,
}

/// What the agent does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next<'a> {
    Write {
        stream: StreamName,
        bytes: &'a [u8],
    },
    Oversize {
        stream: StreamName,
        bytes: u64,
    },
    Tick,
    Exit(Exit),
    /// It waits to be told something.
    Waits,
    /// Nothing more was recorded.
    Over,
}

impl Player {
    /// Run `run` of `recording`, from 1; none when there is none.
    pub(super) fn new(recording: &Arc<Recording>, run: u32) -> Option<Self> {
        let Range { start, end } = recording.run(run)?.entries;
        let run = usize::try_from(run).ok()? - 1;
        let recording = Arc::clone(recording);
        let mut player =
            Self { recording, run, agent: start, ours: start, end, sent: Lines::default() };
        player.settle();
        Some(player)
    }

    /// What its process was started with.
    pub(super) fn start(&self) -> &Start {
        &self.recording.runs[self.run].start
    }

    /// Whether another run follows.
    pub(super) fn is_followed(&self) -> bool {
        self.run + 1 < self.recording.runs()
    }

    /// What the agent does next.
    pub(super) fn next(&self) -> Next<'_> {
        if self.agent == self.end {
            return Next::Over;
        }
        if self.ours < self.agent {
            return Next::Waits;
        }
        self.next_of_agent()
    }

    fn next_of_agent(&self) -> Next<'_> {
        match self.entry(self.agent).map(|entry| &entry.what) {
            Some(What::Out { stream, bytes }) => Next::Write { stream: *stream, bytes },
            Some(What::Oversize { stream, bytes }) => {
                Next::Oversize { stream: *stream, bytes: *bytes }
            }
            Some(What::Tick) => Next::Tick,
            Some(What::Exit(exit)) => Next::Exit(*exit),
            _ => Next::Over,
        }
    }

    /// The agent has done what is next.
    pub(super) fn done(&mut self) {
        self.agent = self.end.min(self.agent + 1);
        self.settle();
    }

    /// The agent was seen doing `seen`; whether that is what it does next. What it waits for does
    /// not matter: whoever sees it may not have seen all that it was told.
    pub(super) fn saw(&mut self, seen: Next<'_>) -> bool {
        let is_next = self.next_of_agent() == seen;
        if is_next {
            self.done();
        }
        is_next
    }

    /// Whether everything was played.
    pub(super) fn is_over(&self) -> bool {
        self.agent == self.end && self.ours == self.end
    }

    /// Its process is started with these arguments.
    pub(super) fn begun(&self, args: &[String]) -> Result<(), Box<Difference>> {
        let Some(place) = compare_args(&self.start().args, args) else { return Ok(()) };
        Err(Box::new(Difference {
            name: Arc::clone(&self.recording.name),
            line: Some(self.recording.runs[self.run].line),
            recorded: format!("(arguments) {}", self.start().args.join(" ")),
            sent: format!("(arguments) {}", args.join(" ")),
            place: Some(place),
        }))
    }

    /// Its process is sent these bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Box<Difference>> {
        for line in self.sent.push(bytes) {
            self.took(&Sent::Line(line))?;
        }
        Ok(())
    }

    /// Its standard input is closed.
    pub(super) fn close(&mut self) -> Result<(), Box<Difference>> {
        if let Some(line) = self.sent.finish() {
            self.took(&Sent::Line(line))?;
        }
        self.took(&Sent::Close)
    }

    /// It is sent a signal.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), Box<Difference>> {
        self.took(&Sent::Signal(signal))
    }

    fn took(&mut self, sent: &Sent) -> Result<(), Box<Difference>> {
        let entry = (self.ours < self.end).then(|| self.entry(self.ours)).flatten();
        let Some(entry) = entry else {
            let recorded = "(nothing more in this run)".to_owned();
            return Err(Box::new(self.difference(None, recorded, sent, None)));
        };
        if let Err((recorded, place)) = compare(&entry.what, sent) {
            let line = Some(entry.line);
            return Err(Box::new(self.difference(line, recorded, sent, place)));
        }
        self.ours += 1;
        self.settle();
        Ok(())
    }

    fn difference(
        &self,
        line: Option<usize>,
        recorded: String,
        sent: &Sent,
        place: Option<String>,
    ) -> Difference {
        let name = Arc::clone(&self.recording.name);
        Difference { name, line, recorded, sent: sent.to_string(), place }
    }

    /// Passes what is the other's to do.
    fn settle(&mut self) {
        while self.agent < self.end && self.is_ours(self.agent) {
            self.agent += 1;
        }
        while self.ours < self.end && !self.is_ours(self.ours) {
            self.ours += 1;
        }
    }

    fn is_ours(&self, at: usize) -> bool {
        let what = self.entry(at).map(|entry| &entry.what);
        matches!(what, Some(What::In(_) | What::Close | What::Signal(_)))
    }

    fn entry(&self, at: usize) -> Option<&Entry> {
        self.recording.entries.get(at)
    }
}
