//! A dialect and a recording that are put together without a host, in tests.

use std::sync::Arc;
use std::time::Instant;

use super::player::{Next, Player};
use super::{Recording, Replayed, What};
use crate::dialect::{Action, Dialect, Input};

/// The dialect of a recording, and the agent that plays it.
pub(crate) struct Rehearsal {
    dialect: Box<dyn Dialect>,
    agent: Player,
    done: Vec<Action>,
}

impl Rehearsal {
    pub(crate) fn begin(dialect: impl Dialect + 'static, recording: &Arc<Recording>) -> Self {
        let agent = Player::new(recording, 1).expect("a run was recorded");
        let dialect = Replayed::wrap(Box::new(dialect), recording, 1);
        Self { dialect, agent, done: Vec::new() }
    }

    /// The agent does `what`, which is what it does next.
    pub(crate) fn happens(&mut self, now: Instant, what: &What) {
        while self.agent.next() == Next::Tick {
            self.agent.done();
        }
        let next = self.agent.next();
        match what {
            What::Out { stream, bytes } => {
                assert_eq!(next, Next::Write { stream: *stream, bytes });
                self.agent.done();
                self.input(now, Input::Line { stream: *stream, bytes });
            }
            What::Oversize { stream, bytes } => {
                assert_eq!(next, Next::Oversize { stream: *stream, bytes: *bytes });
                self.agent.done();
                self.input(now, Input::Oversize { stream: *stream, bytes: *bytes });
            }
            What::Exit(exit) => {
                assert_eq!(next, Next::Exit(*exit));
                self.agent.done();
                self.input(now, Input::Ended { code: exit.code, signal: exit.signal });
            }
            other => panic!("{other:?} is not what an agent does"),
        }
    }

    /// Our side does something, of which the agent hears what it heard then.
    pub(crate) fn input(&mut self, now: Instant, input: Input<'_>) {
        let before = self.done.len();
        self.dialect.handle(now, input, &mut self.done);
        for action in &self.done[before..] {
            let heard = match action {
                Action::Send(bytes) => self.agent.take(bytes),
                Action::CloseStdin => self.agent.close(),
                Action::Signal(signal) => self.agent.signal(*signal),
                _ => Ok(()),
            };
            heard.unwrap_or_else(|difference| panic!("{difference}"));
        }
    }

    /// All that the dialect did.
    pub(crate) fn end(self) -> Vec<Action> {
        self.done
    }
}
