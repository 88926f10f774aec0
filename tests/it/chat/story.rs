//! What the chunks of every chat are like, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::types_of;
use crate::rig::Caller;
use crate::rig::agents::events;

/// A turn as its chunks tell it.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) text: String,
    pub(super) outcome: String,
}

/// The chunks of a chat in order, none of them missing.
#[track_caller]
pub(super) fn chunks(caller: &mut impl Caller, chat: &str) -> Vec<Value> {
    let events = events(caller, &format!("chat/{chat}"), "start");
    for (offset, event) in events.iter().enumerate() {
        assert_eq!(event["offset"], offset, "{event}");
    }
    events.into_iter().map(|mut event| event["data"].take()).collect()
}

/// What the chunks of a chat tell; reading them panics where they make no sense.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) turns: BTreeMap<u64, Turn>,
    open: Option<u64>,
    /// For each piece of the open turn its offset in the topic and where it begins in the text.
    pieces: Vec<(usize, usize)>,
    /// Tool calls of the open turn.
    tools: BTreeSet<String>,
    asked: BTreeSet<String>,
    /// A process has said its last: nothing is said before another turn.
    over: bool,
    closed: bool,
}

impl Story {
    #[track_caller]
    pub(super) fn of(chunks: &[Value]) -> Self {
        let mut story = Self::default();
        for (offset, chunk) in chunks.iter().enumerate() {
            assert!(!story.closed, "after the end: {chunk}");
            story.take(offset, chunk);
        }
        assert_eq!(story.open, None, "{:?}", types_of(chunks));
        assert!(story.asked.is_empty(), "unanswered: {:?}", story.asked);
        story
    }

    #[track_caller]
    fn take(&mut self, offset: usize, chunk: &Value) {
        let word = |member: &str| chunk[member].as_str().unwrap_or_default().to_owned();
        let kind = word("type");
        assert!(!self.over || ["turn_started", "closed"].contains(&&*kind), "{chunk}");
        match &*kind {
            "turn_started" => self.begin(chunk),
            "text" | "thinking" => {
                let turn = self.turn(chunk);
                let begin = turn.text.len();
                if kind == "text" {
                    turn.text.push_str(&word("content"));
                }
                self.pieces.push((offset, begin));
            }
            "tool_use_start" => {
                self.turn(chunk);
                assert!(self.tools.insert(word("tool_id")), "begun twice: {chunk}");
            }
            "tool_use_input" | "tool_result" => {
                self.turn(chunk);
                assert!(self.tools.contains(&word("tool_id")), "of no call: {chunk}");
            }
            "approval_requested" => assert!(self.asked.insert(word("approval_id")), "{chunk}"),
            "approval_resolved" => assert!(self.asked.remove(&word("approval_id")), "{chunk}"),
            "retracted" => self.retract(chunk),
            "turn_complete" => {
                assert_eq!(chunk["turn_number"], chunk["turn"], "{chunk}");
                self.turn(chunk).outcome = word("outcome");
                self.open = None;
            }
            "complete" | "closed" => {
                assert_eq!(self.open, None, "{chunk}");
                (self.over, self.closed) = (true, kind == "closed");
            }
            "status" | "usage" => {}
            other => panic!("{other} is not expected here: {chunk}"),
        }
    }

    #[track_caller]
    fn begin(&mut self, chunk: &Value) {
        let number = chunk["turn"].as_u64().expect("a number");
        let last = self.turns.keys().next_back().copied().unwrap_or_default();
        assert_eq!((self.open, number), (None, last + 1), "{chunk}");
        (self.open, self.over) = (Some(number), false);
        self.turns.insert(number, Turn::default());
        self.pieces.clear();
        self.tools.clear();
    }

    /// The turn that is under way, which this chunk has to be of.
    #[track_caller]
    fn turn(&mut self, chunk: &Value) -> &mut Turn {
        assert_eq!(json!(self.open), chunk["turn"], "of no open turn: {chunk}");
        let number = self.open.expect("a turn is open");
        self.turns.get_mut(&number).expect("it has begun")
    }

    #[track_caller]
    fn retract(&mut self, chunk: &Value) {
        let from = chunk["from_offset"].as_u64().expect("an offset");
        let void = self.pieces.iter().find(|(offset, _)| *offset as u64 >= from);
        let (_, begin) = *void.expect("something is void");
        self.turn(chunk).text.truncate(begin);
        self.pieces.retain(|(offset, _)| (*offset as u64) < from);
    }
}
