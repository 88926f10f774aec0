//! A dialect that talks to a recording of the program that it is for.

use std::sync::Arc;
use std::time::Instant;

use super::player::{Next, Player};
use super::{Recording, Start};
use crate::backend::Capabilities;
use crate::dialect::{Action, Dialect, Input, LaunchWords, SessionSpec, TurnEnd};
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind, StreamChunk, StreamName};

/// The dialect of the program that was recorded, which is told what it was told then: the same
/// names, the same directory, and of time what mattered.
pub(crate) struct Replayed {
    dialect: Box<dyn Dialect>,
    player: Player,
    /// What the player says besides: what was sent that was not recorded.
    complaint: String,
    turn: u32,
    is_open: bool,
    makes_room: bool,
}

impl Replayed {
    /// Has `dialect` talk to run `run` of `recording`; as it is where there is no such run, which
    /// the runner says.
    pub(crate) fn wrap(
        dialect: Box<dyn Dialect>,
        recording: &Arc<Recording>,
        run: u32,
    ) -> Box<dyn Dialect> {
        let Some(player) = Player::new(recording, run) else { return dialect };
        let (complaint, turn) = (String::new(), 0);
        Box::new(Self { dialect, player, complaint, turn, is_open: false, makes_room: false })
    }

    /// Whether `input` is what the program did then. What else there is says what is wrong.
    fn was_recorded(&mut self, input: &Input<'_>) -> bool {
        match input {
            Input::Line { stream, bytes } => {
                let was = self.player.saw(Next::Write { stream: *stream, bytes });
                if !was && *stream == StreamName::Stderr {
                    self.complaint.push_str(&String::from_utf8_lossy(bytes));
                    self.complaint.push('\n');
                }
                was
            }
            Input::Oversize { stream, bytes } => {
                self.player.saw(Next::Oversize { stream: *stream, bytes: *bytes })
            }
            _ => true,
        }
    }

    /// The player has ended because of what it was sent.
    fn complain(&mut self, out: &mut Vec<Action>) {
        let said = std::mem::take(&mut self.complaint);
        let error = ChunkError::new(ChunkErrorKind::Protocol, said.trim_end());
        out.push(match std::mem::take(&mut self.is_open) {
            true => Action::TurnEnded(TurnEnd::failed(self.turn, error)),
            false => Action::Emit(StreamChunk::new(self.turn, ChunkBody::Error(error))),
        });
    }

    /// Shows `input` to the dialect, and follows what it does.
    fn tell(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        let before = out.len();
        self.dialect.handle(now, input, out);
        for action in &out[before..] {
            // Whether it is right is the runner's to say.
            drop(match action {
                Action::Send(bytes) => self.player.take(bytes),
                Action::CloseStdin => self.player.close(),
                Action::Signal(signal) => self.player.signal(*signal),
                Action::TurnEnded(_) => {
                    self.is_open = false;
                    Ok(())
                }
                _ => Ok(()),
            });
        }
    }
}

impl Dialect for Replayed {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        let Start { fresh, native, cwd, .. } = self.player.start().clone();
        let session = SessionSpec { fresh, native, cwd, ..session.clone() };
        self.dialect.launch(&session, words);
        let taken = self.player.take(&words.first_input);
        if taken.is_ok() && words.closes_stdin {
            drop(self.player.close());
        }
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        if !self.was_recorded(&input) {
            return;
        }
        match input {
            Input::Prompt { turn, .. } => (self.turn, self.is_open) = (turn, true),
            Input::Ended { .. } if !self.complaint.is_empty() => return self.complain(out),
            _ => {}
        }
        self.tell(now, input, out);
        while self.player.next() == Next::Tick {
            self.player.done();
            let due = self.dialect.deadline().map_or(now, |due| due.max(now));
            self.tell(due, Input::Tick, out);
        }
        let was_ended = match self.player.next() {
            Next::Exit(exit) => exit.killed,
            _ => self.player.is_over(),
        };
        let makes_room = was_ended && self.player.is_followed();
        if makes_room && !std::mem::replace(&mut self.makes_room, true) {
            // Here the process was ended, and the next prompt began another.
            out.push(Action::CloseStdin);
        }
    }

    /// Waits only where the recording is over: in it, what was waited for is known.
    fn deadline(&self) -> Option<Instant> {
        self.player.is_over().then(|| self.dialect.deadline()).flatten()
    }

    fn capabilities(&self) -> Capabilities {
        self.dialect.capabilities()
    }
}
