//! The dialect of programs that are simply read line by line.

use std::time::Instant;

use super::{Action, Dialect, Input};
use crate::backend::Capabilities;
use crate::event::StreamName;

/// The lines with which an agent is asked to pause and go on, and with which it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PauseWords {
    /// Asks for a pause.
    pub pause: String,
    /// Answers it.
    pub paused: String,
    /// Asks to go on.
    pub resume: String,
    /// Answers that.
    pub resumed: String,
}

impl PauseWords {
    /// What the bundled agent understands: `pause`, `paused`, `resume`, `resumed`.
    #[must_use]
    pub fn basic() -> Self {
        Self {
            pause: "pause".into(),
            paused: "paused".into(),
            resume: "resume".into(),
            resumed: "resumed".into(),
        }
    }
}

/// Lines in, lines out; nothing is understood but the words for a pause, where there are some.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    words: Option<PauseWords>,
}

impl Lines {
    /// A program that cannot be asked to pause.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A program that understands `words`.
    #[must_use]
    pub fn with_pause(words: PauseWords) -> Self {
        Self { words: Some(words) }
    }
}

impl Dialect for Lines {
    fn handle(&mut self, _now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        let Some(words) = &self.words else { return };
        match input {
            Input::Pause => out.push(Action::Send(format!("{}\n", words.pause).into())),
            Input::Resume => out.push(Action::Send(format!("{}\n", words.resume).into())),
            Input::Line { stream: StreamName::Stdout, bytes } => {
                let line = bytes.strip_suffix(b"\r").unwrap_or(bytes);
                if line == words.paused.as_bytes() {
                    out.push(Action::Paused);
                } else if line == words.resumed.as_bytes() {
                    out.push(Action::Resumed);
                }
            }
            _ => {}
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { pause: self.words.is_some(), ..Capabilities::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(lines: &mut Lines, input: Input<'_>) -> Vec<Action> {
        let mut out = Vec::new();
        lines.handle(Instant::now(), input, &mut out);
        out
    }

    #[test]
    fn a_pause_is_asked_for_in_words_and_only_the_answer_counts() {
        let mut lines = Lines::with_pause(PauseWords::basic());
        assert_eq!(actions(&mut lines, Input::Pause), [Action::Send(b"pause\n".to_vec())]);
        let said = |bytes| Input::Line { stream: StreamName::Stdout, bytes };
        assert_eq!(actions(&mut lines, said(b"not paused")), []);
        assert_eq!(actions(&mut lines, said(b"paused")), [Action::Paused]);
        assert_eq!(actions(&mut lines, said(b"resumed\r")), [Action::Resumed]);
        let complaint = Input::Line { stream: StreamName::Stderr, bytes: b"paused" };
        assert_eq!(actions(&mut lines, complaint), []);
    }

    #[test]
    fn a_program_without_words_is_never_written_to() {
        let mut lines = Lines::new();
        assert!(!lines.capabilities().pause);
        assert_eq!(actions(&mut lines, Input::Pause), []);
    }
}
