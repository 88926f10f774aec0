//! The built-in agent: needs no model, no key and no file but the daemon's own.
//!
//! The daemon's program becomes it when it is started under the name [`ARG0`], which is decided
//! before anything else. Standard library only: an agent that starts in a millisecond is what
//! the quick start and the tests want.

mod chat;
mod script;

use std::ffi::OsString;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Instant;

use chat::Chat;
use script::{Next, Script};

/// The name under which the daemon's program is this agent.
pub const ARG0: &str = "descartes-basic";

/// Most bytes of one line of input; the rest of a longer one is the next line.
const LINE_BYTES: u64 = 1024 * 1024;
/// Lines that are read ahead, so that a pause is seen while an answer streams.
const LINES_AHEAD: usize = 64;

/// Whether this process was started to be the agent.
#[must_use]
pub fn is_called(arg0: Option<OsString>) -> bool {
    arg0.is_some_and(|arg0| Path::new(&arg0).file_name() == Some(ARG0.as_ref()))
}

/// Is the agent until its input ends or it is told to exit.
#[must_use]
pub fn main() -> ExitCode {
    let (lines, input) = sync_channel(LINES_AHEAD);
    thread::spawn(move || read_lines(&mut io::stdin().lock(), &lines));
    // A reader that has gone away is how a conversation ends, not a failure.
    run(&input, &mut io::stdout().lock()).unwrap_or(ExitCode::SUCCESS)
}

/// What it is in: a conversation of lines, or a chat of turns.
enum Role {
    Lines(Script),
    Chat(Chat),
}

impl Role {
    /// What the arguments say: `--chat` with `--session NAME` or `--resume NAME`.
    fn of(mut arguments: impl Iterator<Item = String>) -> Self {
        if arguments.next().as_deref() != Some("--chat") {
            return Self::Lines(Script::default());
        }
        Self::Chat(Chat::new(&arguments.nth(1).unwrap_or_default()))
    }

    fn greeting(&self) -> Option<&'static [u8]> {
        matches!(self, Self::Lines(_)).then_some(b"basic: ready")
    }

    fn line(&mut self, line: &[u8]) {
        match self {
            Self::Lines(script) => script.line(line),
            Self::Chat(chat) => chat.line(line),
        }
    }

    fn next(&mut self, now: Instant) -> Next {
        match self {
            Self::Lines(script) => script.next(now),
            Self::Chat(chat) => chat.next(now),
        }
    }

    fn has_room(&self) -> bool {
        match self {
            Self::Lines(script) => script.has_room(),
            Self::Chat(_) => true,
        }
    }
}

fn read_lines(input: &mut impl BufRead, lines: &SyncSender<Vec<u8>>) {
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) || lines.send(line).is_err() {
            return;
        }
    }
}

fn run(input: &Receiver<Vec<u8>>, output: &mut impl Write) -> io::Result<ExitCode> {
    let mut script = Role::of(std::env::args().skip(1));
    let mut ended = false;
    if let Some(greeting) = script.greeting() {
        say(output, greeting)?;
    }
    loop {
        match script.next(Instant::now()) {
            Next::Say(line) => say(output, &line)?,
            Next::Exit(code) => return Ok(ExitCode::from(code)),
            Next::Nothing if ended => return Ok(ExitCode::SUCCESS),
            Next::Nothing => match input.recv() {
                Ok(line) => script.line(&line),
                Err(_) => ended = true,
            },
            // Input has ended: nothing can arrive, but what is due is still said.
            Next::At(due) if ended => wait_until(due),
            Next::At(due) => {
                let wait = due.saturating_duration_since(Instant::now());
                match input.recv_timeout(wait) {
                    Ok(line) => script.line(&line),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => ended = true,
                }
            }
        }
        ended |= take_what_is_there(input, &mut script);
    }
}

/// Reads ahead without waiting, so that `pause` overtakes what is still to be said.
fn take_what_is_there(input: &Receiver<Vec<u8>>, script: &mut Role) -> bool {
    while script.has_room() {
        match input.try_recv() {
            Ok(line) => script.line(&line),
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => return true,
        }
    }
    false
}

fn wait_until(due: Instant) {
    while let Some(rest) = due.checked_duration_since(Instant::now()) {
        thread::park_timeout(rest);
    }
}

fn say(output: &mut impl Write, line: &[u8]) -> io::Result<()> {
    output.write_all(line)?;
    output.write_all(b"\n")?;
    output.flush()
}
