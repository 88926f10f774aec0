//! What holds for every dialect, whatever its program writes and whenever the clock ticks.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof};
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use uuid::Uuid;

use super::{Entry, Given, Played, Wire, exit_code, known, read};
use crate::chat::{Heard, Link};
use crate::cursor::{Cursor, Position};
use crate::dialect::{Action, Decision, Dialect, Input, Prompt, PromptPart, SessionSpec};
use crate::event::StreamName;
use crate::limits::DIALECT_LINE_BYTES;
use crate::output::Observer;
use crate::testing::Referee;

/// A dialect and its recordings.
pub(crate) struct Subject {
    /// Their files begin with this.
    pub(crate) prefix: &'static str,
    pub(crate) wire: &'static (dyn Wire + Sync),
    /// For a process of this recording.
    pub(crate) make: fn(&str) -> Box<dyn Dialect>,
    /// What is done in this recording, where the file does not say it all.
    pub(crate) prepare: fn(&str, &mut Vec<Entry>),
    /// Lines that mean nothing to it, beside those that mean nothing to anybody.
    pub(crate) strange: &'static [&'static str],
}

/// Where the journal is, which no dialect asks.
const HEAD: Cursor = Cursor { store: 1, epoch: 1, position: Position(0), byte: 0 };

/// Lines that mean nothing to anybody.
const STRANGE: &[&str] = &[
    "",
    "\u{feff}",
    "Warning: something is deprecated",
    "{",
    "[]",
    "null",
    "42",
    "\"ready\"",
    "{}",
    r#"{"type":"brand_new","message":"x","item":{},"part":[]}"#,
    r#"{"type":7,"id":{},"method":[]}"#,
    r#"{"jsonrpc":"2.0","method":"brand/new","params":{"a":[1,2]}}"#,
    r#"{"jsonrpc":"2.0","method":"brand/new","id":"theirs","params":null}"#,
    r#"{"jsonrpc":"2.0","id":424242,"result":{"stopReason":"end_turn"}}"#,
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"?"}}"#,
];

/// Something between the lines of a recording.
#[derive(Clone, Debug)]
enum Noise {
    /// One of the lines that mean nothing.
    Strange(Index),
    /// The beginning of a line of the recording.
    Cut(Index, u16),
    /// Bytes that are no text.
    Bytes(Vec<u8>),
    Oversize,
    /// A tick that nobody asked for, so many milliseconds ago.
    Tick(u32),
}

fn noise() -> impl Strategy<Value = Noise> {
    prop_oneof![
        6 => any::<Index>().prop_map(Noise::Strange),
        6 => (any::<Index>(), any::<u16>()).prop_map(|(line, at)| Noise::Cut(line, at)),
        2 => vec(any::<u8>(), 0..40).prop_map(Noise::Bytes),
        1 => Just(Noise::Oversize),
        3 => (0..10_000_u32).prop_map(Noise::Tick),
    ]
}

/// How one case is played: what is put where, and how long the reads are.
type Plan = (Vec<(Index, Noise)>, Vec<usize>);

fn plan() -> impl Strategy<Value = Plan> {
    let width = prop_oneof![1..9_usize, 1..200_usize, 1..70_000_usize];
    (vec((any::<Index>(), noise()), 0..12), vec(width, 1..6))
}

/// The same cases on every machine, so that what is measured by them is.
fn runner(cases: u32) -> TestRunner {
    let config =
        Config { cases, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

impl Subject {
    /// The names of its recordings.
    pub(super) fn recordings(&self) -> Vec<String> {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/transcripts");
        let entries = std::fs::read_dir(place).expect("recordings are there");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let names = names.filter_map(|name| {
            let name = name.to_str()?.strip_suffix(".session.jsonl")?.to_owned();
            name.starts_with(self.prefix).then_some(name)
        });
        let mut names = names.collect::<Vec<_>>();
        names.sort();
        assert!(!names.is_empty(), "{} was never recorded", self.prefix);
        names
    }

    /// What the dialect is given in the recording `name`, its own names in the place of the
    /// recorded ones. Time stands still: what is late is another test's.
    pub(crate) fn given(&self, name: &str) -> Vec<Given> {
        let mut entries = read(&format!("{name}.session.jsonl"));
        (self.prepare)(name, &mut entries);
        let mut played = Played::open(self.wire, (self.make)(name));
        for entry in &entries {
            match &*entry.dir {
                // Something is waited for, by its time.
                "tick" => played.wait_once(self.wire),
                _ => played.play(self.wire, &[Entry { t: 0.0, ..entry.clone() }]),
            }
        }
        played.input(self.wire, Input::Ended { code: exit_code(&entries), signal: None });
        played.given
    }

    /// Any split of any recording into reads, any unknown or damaged line inserted, any ticks: what
    /// is known stays the same, and the promises of a dialect hold.
    pub(crate) fn noise_changes_nothing(&self) {
        for name in self.recordings() {
            let given = self.given(&name);
            let make = || (self.make)(&name);
            let plain = known(&told(make(), &given));
            let checked = runner(3).run(&plan(), |plan| {
                let (given, widths) = (self.disturbed(&given, &plan.0), &plan.1);
                let told = known(&read_in_pieces(make(), &given, widths));
                let differs = plain.iter().zip(&told).position(|(one, other)| one != other);
                let at = differs.unwrap_or(plain.len().min(told.len()));
                prop_assert_eq!(told.get(at), plain.get(at), "event {} differs", at);
                Ok(())
            });
            checked.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        }
    }

    /// `given` with `noise` in it: nothing before it begins, nothing after it ends.
    fn disturbed(&self, given: &[Given], noise: &[(Index, Noise)]) -> Vec<Given> {
        let (stdout, mut more) = (StreamName::Stdout, given.to_vec());
        for (place, noise) in noise {
            let what = match noise {
                Noise::Strange(which) => {
                    let all = STRANGE.iter().chain(self.strange).collect::<Vec<_>>();
                    Given::Line(stdout, which.get(&all).as_bytes().to_vec())
                }
                Noise::Cut(which, at) => Given::Line(stdout, cut(given, *which, *at)),
                Noise::Bytes(bytes) => {
                    let bytes = bytes.iter().filter(|byte| **byte != b'\n');
                    Given::Line(stdout, [&0xff].into_iter().chain(bytes).copied().collect())
                }
                Noise::Oversize => Given::Oversize(stdout, DIALECT_LINE_BYTES as u64 + 1),
                Noise::Tick(ago) => Given::EarlyTick(*ago),
            };
            more.insert(1 + place.index(more.len() - 1), what);
        }
        more
    }

    /// Whatever a program writes, and whatever is done meanwhile: the promises of a dialect hold.
    pub(crate) fn no_order_breaks_a_promise(&self) {
        let names = self.recordings();
        let lines =
            names.iter().flat_map(|name| self.given(name)).filter_map(|given| match given {
                Given::Line(StreamName::Stdout, bytes) => Some(bytes),
                _ => None,
            });
        let strange = STRANGE.iter().chain(self.strange).map(|line| line.as_bytes().to_vec());
        // Long recordings say the same again and again: of each kind of line a few.
        let mut seen = std::collections::BTreeMap::<Vec<u8>, u32>::new();
        let few = lines.chain(strange).filter(|line| {
            let letters = line.iter().filter(|byte| byte.is_ascii_lowercase() || **byte == b'"');
            let count = seen.entry(letters.copied().take(60).collect()).or_default();
            *count += 1;
            *count <= 4
        });
        let lines = few.collect::<Vec<_>>();
        let checked = runner(64).run(&vec(step(), 0..120), |steps| {
            let mut talk = Talk::new((self.make)(&names[0]));
            talk.give(Input::Opened);
            steps.iter().for_each(|step| talk.take(step, &lines));
            let code = i32::try_from(steps.len()).ok().filter(|code| *code > 60);
            talk.give(Input::Ended { code, signal: None });
            Ok(())
        });
        checked.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// The beginning of a line in `given`; never all of it.
fn cut(given: &[Given], which: Index, at: u16) -> Vec<u8> {
    let lines = given.iter().filter_map(|given| match given {
        // Text that is cut is text.
        Given::Line(StreamName::Stdout, bytes) if bytes.starts_with(b"{") => Some(bytes),
        _ => None,
    });
    let lines = lines.collect::<Vec<_>>();
    if lines.is_empty() {
        return b"{".to_vec();
    }
    let line = which.get(&lines);
    line[..1 + usize::from(at) % (line.len() - 1)].to_vec()
}

/// What `dialect` makes of `given`, line by line.
fn told(mut dialect: Box<dyn Dialect>, given: &[Given]) -> Vec<Action> {
    let (mut now, mut out) = (Instant::now(), Vec::new());
    for given in given {
        give(&mut *dialect, &mut now, given, &mut out);
    }
    out
}

/// Gives `dialect` one input; a tick comes when it is due.
pub(super) fn give(
    dialect: &mut dyn Dialect,
    now: &mut Instant,
    given: &Given,
    out: &mut Vec<Action>,
) {
    match given {
        Given::EarlyTick(ago) => {
            let then = now.checked_sub(Duration::from_millis((*ago).into()));
            dialect.handle(then.unwrap_or(*now), Input::Tick, out);
        }
        given => {
            if *given == Given::Plain(Input::Tick) {
                *now = dialect.deadline().map_or(*now, |due| due.max(*now));
            }
            dialect.handle(*now, given.input(), out);
        }
    }
}

/// The same through what core cuts lines with, its bytes in reads of these lengths.
fn read_in_pieces(dialect: Box<dyn Dialect>, given: &[Given], widths: &[usize]) -> Vec<Action> {
    let nobody = SessionSpec::new(Uuid::nil(), "/");
    let link = Link::new(nobody, Box::new(|_| unreachable!("no run begins")));
    let mut reader = Reader {
        dialect: Box::new(Referee::new(dialect)),
        now: Instant::now(),
        out: Vec::new(),
        observer: Observer::conversation(std::sync::Arc::clone(&link)),
        link,
        waiting: (StreamName::Stdout, Vec::new()),
        widths: widths.to_vec(),
    };
    for given in given {
        reader.take(given);
    }
    reader.out
}

struct Reader {
    dialect: Box<dyn Dialect>,
    now: Instant,
    out: Vec<Action>,
    observer: Observer,
    link: std::sync::Arc<Link>,
    /// What was written and not read yet.
    waiting: (StreamName, Vec<u8>),
    widths: Vec<usize>,
}

impl Reader {
    fn take(&mut self, given: &Given) {
        match given {
            Given::Line(stream, bytes) => self.write(*stream, bytes),
            Given::Oversize(stream, bytes) => {
                let bytes = usize::try_from(*bytes).expect("it fits");
                self.write(*stream, &vec![b'x'; bytes]);
            }
            given => {
                self.read();
                give(&mut *self.dialect, &mut self.now, given, &mut self.out);
            }
        }
    }

    fn write(&mut self, stream: StreamName, line: &[u8]) {
        if self.waiting.0 != stream {
            self.read();
        }
        self.waiting.0 = stream;
        self.waiting.1.extend_from_slice(line);
        self.waiting.1.push(b'\n');
    }

    fn read(&mut self) {
        let (stream, bytes) = (self.waiting.0, std::mem::take(&mut self.waiting.1));
        // What is very long is not read in very small pieces.
        let least = bytes.len() / 4000;
        let (mut rest, mut widths) = (&*bytes, self.widths.iter().cycle());
        while let Some(width) = widths.next().filter(|_| !rest.is_empty()) {
            let (piece, more) = rest.split_at((*width).max(least).min(rest.len()));
            rest = more;
            self.observer.look(stream, piece, || HEAD);
            while let Some(heard) = self.link.take() {
                let input = match &heard {
                    Heard::Line { stream, bytes } => Input::Line { stream: *stream, bytes },
                    Heard::Oversize { stream, bytes, .. } => {
                        Input::Oversize { stream: *stream, bytes: *bytes }
                    }
                    _ => unreachable!("lines are heard"),
                };
                self.dialect.handle(self.now, input, &mut self.out);
            }
        }
    }
}

/// What may happen to a conversation.
#[derive(Clone, Debug)]
enum Step {
    /// A line of some recording, perhaps damaged at a place.
    Line(Index, Option<u16>),
    Bytes(Vec<u8>),
    Given(Given),
    Prompt(u8),
    Cancel,
    Decide(u8),
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let stdout = StreamName::Stdout;
    let given = vec![
        Given::Oversize(stdout, 9_999_999),
        Given::Eof(StreamName::Stderr),
        Given::Plain(Input::Tick),
        Given::Plain(Input::Tick),
        Given::Plain(Input::Pause),
        Given::Plain(Input::Resume),
        Given::Line(StreamName::Stderr, b"error: please log in".to_vec()),
    ];
    prop_oneof![
        24 => any::<Index>().prop_map(|line| Step::Line(line, None)),
        4 => (any::<Index>(), any::<u16>()).prop_map(|(line, at)| Step::Line(line, Some(at))),
        4 => vec(any::<u8>(), 0..40).prop_map(Step::Bytes),
        4 => proptest::sample::select(given).prop_map(Step::Given),
        8 => any::<u8>().prop_map(Step::Prompt),
        2 => Just(Step::Cancel),
        3 => any::<u8>().prop_map(Step::Decide),
        2 => (0..100_000_u32).prop_map(Step::Wait),
        1 => Just(Step::Given(Given::Eof(stdout))),
    ]
}

/// A conversation in which anything happens.
struct Talk {
    referee: Referee,
    now: Instant,
    turn: u32,
}

impl Talk {
    fn new(dialect: Box<dyn Dialect>) -> Self {
        Self { referee: Referee::new(dialect), now: Instant::now(), turn: 0 }
    }

    fn give(&mut self, input: Input<'_>) {
        self.referee.handle(self.now, input, &mut Vec::new());
    }

    fn take(&mut self, step: &Step, lines: &[Vec<u8>]) {
        let stream = StreamName::Stdout;
        match step {
            Step::Line(which, damage) => {
                let mut line = which.get(lines).clone();
                if let Some(at) = damage
                    && let Some(byte) = line.get_mut(usize::from(*at) % 256)
                {
                    *byte ^= 0x15;
                }
                self.give(Input::Line { stream, bytes: &line });
            }
            Step::Bytes(bytes) => self.give(Input::Line { stream, bytes }),
            Step::Given(given) => self.give(given.input()),
            Step::Prompt(kind) if !self.referee.is_busy() => {
                self.turn += 1;
                let parts = match kind % 16 {
                    0 => vec![],
                    1 => vec![PromptPart::File { path: "/a b".into() }],
                    2 => vec![PromptPart::Image {
                        media_type: "image/png".into(),
                        data: "AA".into(),
                    }],
                    _ => vec![PromptPart::Text("go\non".into())],
                };
                self.give(Input::Prompt { turn: self.turn, prompt: &Prompt::parts(parts) });
            }
            Step::Cancel => self.give(Input::Cancel { turn: self.turn }),
            Step::Decide(how) => self.decide(*how),
            Step::Wait(milliseconds) => {
                self.now += Duration::from_millis((*milliseconds).into());
                self.give(Input::Tick);
            }
            Step::Prompt(_) => self.give(Input::Tick),
        }
    }

    fn decide(&mut self, how: u8) {
        let Some(ask) = self.referee.asks().last() else { return };
        let decision = match how % 6 {
            0 => Decision::AllowOnce,
            1 => Decision::AllowSession,
            2 => Decision::Deny { message: Some("no".into()) },
            3 => Decision::Option { id: "once".into() },
            4 => Decision::Answer { text: "{}".into() },
            _ => Decision::Cancel,
        };
        self.give(Input::Decide { ask, decision: &decision });
    }
}
