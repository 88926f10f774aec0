//! Recorded sessions as we would have recorded them, played again.

use std::time::Instant;

use super::Given;
use super::properties::{Subject, give};
use crate::backend::Capabilities;
use crate::dialect::{Action, Dialect, Input, LaunchWords, SessionSpec};
use crate::recording::{Exit, Recording, Rehearsal, Start, What};

impl Subject {
    /// Each recording replays: the dialect does the same, and what it sends is what was recorded.
    pub(crate) fn recordings_replay(&self) {
        for name in self.recordings() {
            let given = self.given(&name);
            let (recording, times, actions) = recorded((self.make)(&name), &given);
            let recording = Recording::of("any", &recording);
            let mut again = Rehearsal::begin(Launched((self.make)(&name)), &recording);
            for (given, now) in given.iter().zip(times) {
                match (what(given), given) {
                    // Of time, the recording says what mattered.
                    (Some(What::Tick), _) => {}
                    (Some(what), _) => again.happens(now, &what),
                    (None, given) => again.input(now, given.input()),
                }
            }
            assert_eq!(again.end(), actions, "{name}");
        }
    }
}

/// What a recorder writes down of `given` and of what `dialect` makes of it, when each was given,
/// and all that the dialect did.
fn recorded(
    mut dialect: Box<dyn Dialect>,
    given: &[Given],
) -> (Vec<What>, Vec<Instant>, Vec<Action>) {
    let (fresh, native, cwd) = (uuid::Uuid::nil(), None, "/".into());
    let mut all = vec![What::Start(Start { fresh, native, cwd, args: Vec::new() })];
    let (mut now, mut times, mut actions) = (Instant::now(), Vec::new(), Vec::new());
    for given in given {
        all.extend(what(given));
        let before = actions.len();
        give(&mut *dialect, &mut now, given, &mut actions);
        times.push(now);
        for action in &actions[before..] {
            match action {
                Action::Send(bytes) => {
                    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                    let lines = bytes.split(|byte| *byte == b'\n');
                    all.extend(lines.map(|line| What::In(line.to_vec())));
                }
                Action::CloseStdin => all.push(What::Close),
                Action::Signal(signal) => all.push(What::Signal(*signal)),
                _ => {}
            }
        }
    }
    (all, times, actions)
}

/// What of an input is in a recording.
fn what(given: &Given) -> Option<What> {
    Some(match given {
        Given::Line(stream, bytes) => What::Out { stream: *stream, bytes: bytes.clone() },
        Given::Oversize(stream, bytes) => What::Oversize { stream: *stream, bytes: *bytes },
        Given::Ended(code, signal) => {
            What::Exit(Exit { code: *code, signal: *signal, killed: false })
        }
        Given::Plain(Input::Tick) => What::Tick,
        _ => return None,
    })
}

/// A dialect that has been launched already.
struct Launched(Box<dyn Dialect>);

impl Dialect for Launched {
    fn launch(&mut self, _: &SessionSpec, _: &mut LaunchWords) {}

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        self.0.handle(now, input, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}
