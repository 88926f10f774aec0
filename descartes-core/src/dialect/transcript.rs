//! Recorded sessions of real programs, and a dialect put in the place of who recorded them.

mod again;
mod given;
mod properties;
mod script;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

pub(crate) use given::{Given, Stdin, exit_code};
pub(crate) use properties::Subject;
pub(crate) use script::{known, merged, script, told};

use super::{Action, AskToken, Decision, Dialect, Input, Prompt, TurnEnd};
use crate::event::{ChunkBody, StreamChunk, StreamName};

/// One line of a recording: when (seconds), in which direction, what.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) t: f64,
    /// `in` (to the program), `out`, `err`, or `act` and `exit` (what else was done or happened).
    pub(crate) dir: String,
    pub(crate) data: Value,
}

/// The recording `name` (a file's name) of `golden/transcripts`.
pub(crate) fn read(name: &str) -> Vec<Entry> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/transcripts").join(name);
    let text = std::fs::read_to_string(&place).expect("the recording is there");
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).expect("a line of a recording")).collect()
}

/// Compares `lines` with what is expected of recording `name`, which is in a file beside it.
///
/// With `DESCARTES_BLESS` in the environment the file is written instead: read what it says.
pub(crate) fn expect(name: &str, lines: &[String]) {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/transcripts");
    let place = place.join(format!("{name}.told"));
    let told = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    if std::env::var_os("DESCARTES_BLESS").is_some() {
        std::fs::write(&place, &told).expect("it can be written");
    }
    let expected = std::fs::read_to_string(&place).expect("what is expected is there");
    assert_eq!(told.lines().collect::<Vec<_>>(), expected.lines().collect::<Vec<_>>(), "{name}");
}

/// What the one who recorded wrote, as what our side would have been asked to do.
#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    /// It asked for a turn.
    Prompt(String),
    /// It cancelled the turn.
    Cancel,
    /// It answered the program's oldest open question.
    Decide(Decision),
    /// Nothing that a dialect needs to be told.
    Nothing,
}

/// How a dialect's protocol is read by the one that plays the recording.
pub(crate) trait Wire {
    /// What a recorded `in` line means.
    fn meaning(&self, line: &Value) -> Meaning;
    /// The name and the method of a request that our side sent; none when it is no request.
    fn request(&self, line: &Value) -> Option<(Value, String)>;
    /// Puts the dialect's name of a request in place of the recorded one in an `out` line.
    fn rename(&self, line: &mut Value, names: &HashMap<String, Value>);
}

/// A dialect that is shown a recording, and all that it did.
pub(crate) struct Played<D> {
    pub(crate) dialect: D,
    pub(crate) actions: Vec<Action>,
    /// What it wrote, line by line.
    pub(crate) sent: Vec<Value>,
    /// What it was given, its own names in the place of the recorded ones.
    pub(crate) given: Vec<Given>,
    now: Instant,
    turn: u32,
    open: VecDeque<AskToken>,
    requests: VecDeque<(Value, String)>,
    names: HashMap<String, Value>,
}

impl<D: Dialect> Played<D> {
    /// A dialect whose process runs.
    pub(crate) fn open(wire: &dyn Wire, dialect: D) -> Self {
        let mut played = Self {
            dialect,
            actions: Vec::new(),
            sent: Vec::new(),
            given: Vec::new(),
            now: Instant::now(),
            turn: 0,
            open: VecDeque::new(),
            requests: VecDeque::new(),
            names: HashMap::new(),
        };
        played.input(wire, Input::Opened);
        played
    }

    /// Plays all of `entries`, with time going on as it did; ends with the process when that is in
    /// the recording.
    pub(crate) fn play(&mut self, wire: &dyn Wire, entries: &[Entry]) {
        let began = self.now;
        for entry in entries {
            self.now = self.now.max(began + Duration::from_secs_f64(entry.t));
            match &*entry.dir {
                "in" => self.asked(wire, &entry.data),
                "out" => self.line(wire, entry.data.clone()),
                "err" => {
                    let text = entry.data.as_str().unwrap_or_default().to_owned();
                    let line = Input::Line { stream: StreamName::Stderr, bytes: text.as_bytes() };
                    self.input(wire, line);
                }
                _ => {}
            }
        }
    }

    /// One line of the program, its answers under the names that the dialect gave its requests.
    pub(crate) fn line(&mut self, wire: &dyn Wire, mut line: Value) {
        wire.rename(&mut line, &self.names);
        // A line that is no JSON was recorded as text.
        let text = line.as_str().map_or_else(|| line.to_string(), ToOwned::to_owned);
        let input = Input::Line { stream: StreamName::Stdout, bytes: text.as_bytes() };
        self.input(wire, input);
    }

    /// What the one who recorded did.
    fn asked(&mut self, wire: &dyn Wire, line: &Value) {
        match wire.meaning(line) {
            Meaning::Prompt(text) => self.prompt(wire, &text),
            Meaning::Cancel => {
                let turn = self.turn;
                self.input(wire, Input::Cancel { turn });
            }
            Meaning::Decide(decision) => {
                let ask = self.open.pop_front().expect("a question is open");
                self.input(wire, Input::Decide { ask, decision: &decision });
            }
            Meaning::Nothing => {}
        }
        // The dialect asked for the same, under a name of its own.
        if let Some((id, method)) = wire.request(line)
            && let Some(at) = self.requests.iter().position(|(_, sent)| *sent == method)
            && let Some((name, _)) = self.requests.remove(at)
        {
            self.names.insert(id.to_string(), name);
        }
    }

    /// The next turn.
    pub(crate) fn prompt(&mut self, wire: &dyn Wire, text: &str) {
        self.turn += 1;
        let (turn, prompt) = (self.turn, Prompt::text(text));
        self.input(wire, Input::Prompt { turn, prompt: &prompt });
    }

    /// Any input, now.
    pub(crate) fn input(&mut self, wire: &dyn Wire, input: Input<'_>) {
        let mut out = Vec::new();
        self.given.push(Given::from(&input));
        self.dialect.handle(self.now, input, &mut out);
        for action in &out {
            match action {
                Action::Send(bytes) => {
                    let text = std::str::from_utf8(bytes).expect("text is sent");
                    for line in text.lines() {
                        // What is no JSON is sent as text, as it was recorded.
                        let text = || Value::String(line.to_owned());
                        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| text());
                        self.requests.extend(wire.request(&line));
                        self.sent.push(line);
                    }
                }
                Action::Ask { ask, .. } => self.open.push_back(*ask),
                Action::Withdraw { ask } => self.open.retain(|open| open != ask),
                Action::TurnEnded(_) => self.open.clear(),
                _ => {}
            }
        }
        self.actions.append(&mut out);
    }

    /// Time goes on by `by`, and the dialect is told when it wanted to be.
    pub(crate) fn wait(&mut self, wire: &dyn Wire, by: Duration) {
        let end = self.now + by;
        while let Some(due) = self.dialect.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(wire, Input::Tick);
            if self.dialect.deadline() == Some(due) {
                break;
            }
        }
        self.now = end;
    }

    /// The time has come that the dialect waits for, if it does.
    pub(crate) fn wait_once(&mut self, wire: &dyn Wire) {
        self.now = self.dialect.deadline().map_or(self.now, |due| due.max(self.now));
        self.input(wire, Input::Tick);
    }

    /// What was emitted.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &StreamChunk> {
        self.actions.iter().filter_map(|action| match action {
            Action::Emit(chunk) => Some(chunk),
            _ => None,
        })
    }

    /// The text of turn `turn` that stands at last, sub-agents' left out.
    pub(crate) fn text(&self, turn: u32) -> String {
        let (mut text, mut mark) = (String::new(), 0);
        for action in &self.actions {
            match action {
                Action::Mark => mark = text.len(),
                Action::Retract => text.truncate(mark),
                Action::Emit(StreamChunk {
                    turn: of,
                    parent_tool_id: None,
                    body: ChunkBody::Text { content, .. },
                    ..
                }) if *of == turn => text.push_str(content),
                Action::TurnEnded(end) if end.turn < turn => (text, mark) = (String::new(), 0),
                _ => {}
            }
        }
        text
    }

    /// How the turns ended, in order.
    pub(crate) fn ends(&self) -> Vec<&TurnEnd> {
        let ends = self.actions.iter().filter_map(|action| match action {
            Action::TurnEnded(end) => Some(end),
            _ => None,
        });
        ends.collect()
    }
}
