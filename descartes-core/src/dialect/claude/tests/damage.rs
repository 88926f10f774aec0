//! Nothing that a program writes breaks anything.

use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::dialect::{AskToken, Prompt};
use crate::event::{ChunkBody, StreamChunk, StreamName};

/// Lines that are not known, whole and damaged.
const STRANGE: [&str; 16] = [
    "",
    "\u{feff}",
    "Warning: something is deprecated",
    "{",
    "[]",
    "null",
    "42",
    r#"{"type":"system","subtype":"brand_new","status":{"a":[1,2]}}"#,
    r#"{"type":"system"}"#,
    r#"{"type":7,"subtype":[],"uuid":{}}"#,
    r#"{"type":"brand_new","message":"x","event":[],"request":null}"#,
    r#"{"type":"stream_event","event":{"type":"brand_new"}}"#,
    r#"{"type":"stream_event","event":{"type":"content_block_delta","index":"x","delta":{"type":"y_delta","y":1}}}"#,
    r#"{"type":"control_response","response":{"subtype":"success","request_id":"descartes-99"}}"#,
    r#"{"type":"control_cancel_request","request_id":17}"#,
    r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"none"}]}}"#,
];

const SESSIONS: [&str; 4] = ["control", "stream-breaks", "interrupts", "question"];

/// What a recording comes to, lines that are not understood left out.
fn known(entries: &[Entry]) -> Vec<String> {
    let played = play(entries);
    let mut actions = played.actions;
    actions.retain(|action| {
        !matches!(action, Action::Emit(StreamChunk { body: ChunkBody::Raw { .. }, .. }))
    });
    merged(&actions)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn strange_lines_change_nothing(
        session in 0..SESSIONS.len(),
        strange in vec((any::<prop::sample::Index>(), 0..STRANGE.len() + 1, any::<u16>()), 1..12),
    ) {
        let entries = super::session(SESSIONS[session]);
        let expected = known(&entries);
        let mut damaged = entries.clone();
        for (place, which, cut) in strange {
            let at = place.index(damaged.len());
            let t = damaged[at].t;
            let line = STRANGE.get(which).map_or_else(
                || {
                    // The beginning of a line that is known.
                    let line = entries[place.index(entries.len())].data.to_string();
                    let end = usize::from(cut) % line.len();
                    let end = (0..=end).rev().find(|at| line.is_char_boundary(*at));
                    line[..end.unwrap_or(0)].to_owned()
                },
                |line| (*line).to_owned(),
            );
            damaged.insert(at, Entry { t, dir: "out".into(), data: Value::String(line) });
        }
        prop_assert_eq!(known(&damaged), expected);
    }
}

/// What may happen to a conversation.
#[derive(Clone, Debug)]
enum Step {
    /// A line of some recording, perhaps damaged at a place.
    Line(prop::sample::Index, Option<u16>),
    Bytes(Vec<u8>),
    Oversize,
    Prompt,
    Cancel,
    Decide(u64, u8),
    Wait(u32),
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        12 => index().prop_map(|line| Step::Line(line, None)),
        2 => (index(), any::<u16>()).prop_map(|(line, at)| Step::Line(line, Some(at))),
        2 => vec(any::<u8>(), 0..40).prop_map(Step::Bytes),
        1 => Just(Step::Oversize),
        4 => Just(Step::Prompt),
        1 => Just(Step::Cancel),
        1 => (1..9_u64, 0..4_u8).prop_map(|(ask, how)| Step::Decide(ask, how)),
        1 => (0..100_000_u32).prop_map(Step::Wait),
        2 => Just(Step::Tick),
    ]
}

/// A conversation that is checked while it goes on.
struct Checked {
    claude: Claude,
    now: Instant,
    turn: u32,
    open: bool,
    asked: Vec<AskToken>,
}

impl Checked {
    fn give(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.claude.handle(self.now, input, &mut out);
        for action in out {
            match action {
                Action::TurnEnded(end) => {
                    assert!(self.open && end.turn == self.turn, "a second end: {end:?}");
                    self.open = false;
                }
                Action::Emit(chunk) => {
                    let loose =
                        matches!(chunk.body, ChunkBody::Raw { .. } | ChunkBody::Oversize { .. });
                    assert!(loose || self.open, "nobody asked for {chunk:?}");
                    assert_eq!(chunk.turn, self.turn);
                }
                Action::Ask { ask, .. } => {
                    assert!(self.open && !self.asked.contains(&ask));
                    self.asked.push(ask);
                }
                Action::Send(line) => {
                    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                    assert_eq!(line.last(), Some(&b'\n'));
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, step: Step, lines: &[String]) {
        let stream = StreamName::Stdout;
        match step {
            Step::Line(which, damage) => {
                let mut line = lines[which.index(lines.len())].clone().into_bytes();
                if let Some(at) = damage
                    && let Some(byte) = line.get_mut(usize::from(at) % 256)
                {
                    *byte ^= 0x15;
                }
                self.give(Input::Line { stream, bytes: &line });
            }
            Step::Bytes(bytes) => self.give(Input::Line { stream, bytes: &bytes }),
            Step::Oversize => self.give(Input::Oversize { stream, bytes: 9_999_999 }),
            Step::Prompt if !self.open => {
                (self.turn, self.open) = (self.turn + 1, true);
                self.give(Input::Prompt { turn: self.turn, prompt: &Prompt::text("go") });
            }
            Step::Cancel => self.give(Input::Cancel { turn: self.turn }),
            Step::Decide(ask, how) => {
                let decision = match how {
                    0 => Decision::AllowOnce,
                    1 => Decision::Deny { message: None },
                    2 => Decision::Answer { text: "{}".into() },
                    _ => Decision::Cancel,
                };
                self.give(Input::Decide { ask: AskToken(ask), decision: &decision });
            }
            Step::Wait(milliseconds) => {
                self.now += Duration::from_millis(milliseconds.into());
                self.give(Input::Tick);
            }
            Step::Prompt | Step::Tick => self.give(Input::Tick),
        }
    }
}

/// Every line that programs wrote in some recording.
fn lines() -> Vec<String> {
    let entries = SESSIONS.iter().chain(&["own-turn", "error401"]).flat_map(|name| session(name));
    let lines = entries.filter(|entry| entry.dir == "out").map(|entry| entry.data.to_string());
    lines
        .chain(STRANGE.map(String::from))
        .chain([init().to_string(), result("x").to_string()])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_order_of_lines_prompts_and_ticks_breaks_a_turn(steps in vec(step(), 0..120)) {
        static LINES: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(lines);
        let mut checked = Checked {
            claude: claude(),
            now: Instant::now(),
            turn: 0,
            open: false,
            asked: Vec::new(),
        };
        checked.give(Input::Opened);
        for step in steps {
            checked.take(step, &LINES);
        }
        checked.give(Input::Ended { code: Some(1), signal: None });
        prop_assert!(!checked.open, "the turn has no end");
    }
}
