//! Whatever an agent writes: nothing panics, and what is known stays the same.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{AcpWire, asked, bare, open, session};
use crate::dialect::acp::Acp;
use crate::dialect::transcript::{Entry, Played, known, read};
use crate::dialect::{Dialect, Input, Prompt};
use crate::event::StreamName;

/// A recording with every kind of thing in it.
const RECORDING: &str = "acp-opencode.session.jsonl";

/// Lines of an agent that mean nothing to us.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![
        Just(json!({"jsonrpc": "2.0", "id": 1_000_000, "result": {"stopReason": "end_turn"}})),
        Just(json!({"jsonrpc": "2.0", "id": null, "error": {"code": 1}})),
        Just(json!({"method": "session/update", "params": {"update": {"sessionUpdate": "new"}}})),
        Just(json!({"method": "session/update", "params": [1]})),
        Just(json!({"method": "session/update", "params": {"sessionId": "x", "update": 5}})),
        Just(json!({"method": "fs/read_text_file", "id": {"a": 1}, "params": null})),
        Just(json!({"method": "session/request_permission", "id": "odd"})),
        Just(json!([{"id": 3}])),
        Just(json!(7)),
    ];
    prop_oneof![
        odd.prop_map(|line| line.to_string().into_bytes()),
        prop::collection::vec(any::<u8>().prop_filter("a line", |byte| *byte != b'\n'), 0..40)
            .prop_filter("no message", |bytes| !bytes.starts_with(b"{")),
    ]
}

/// The known events of a recording into which `extra` lines are put, and clock ticks.
fn run(entries: &[Entry], extra: &[(usize, Vec<u8>)], ticks: &[usize]) -> Vec<String> {
    let mut played = open(Acp::new(), &session());
    for (at, entry) in entries.iter().enumerate() {
        for (_, bytes) in extra.iter().filter(|(place, _)| place % entries.len() == at) {
            played.input(&AcpWire, Input::Line { stream: StreamName::Stdout, bytes });
        }
        if ticks.iter().any(|place| place % entries.len() == at) {
            played.input(&AcpWire, Input::Tick);
            played.wait(&AcpWire, Duration::from_millis(1));
        }
        // Time stands still: what is late is another test's.
        played.play(&AcpWire, &[Entry { t: 0.0, ..entry.clone() }]);
    }
    known(&played.actions)
}

/// The outputs of an agent in the middle of a turn, damaged.
fn damaged(lines: &[Value], at: usize, from: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = lines[at % lines.len()].to_string().into_bytes();
    let from = from % bytes.len();
    let to = (from + with.len()).min(bytes.len());
    bytes.splice(from..to, with.iter().copied());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn lines_that_mean_nothing_and_ticks_change_nothing(
        extra in prop::collection::vec((any::<usize>(), noise()), 0..12),
        ticks in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let entries = read(RECORDING);
        prop_assert_eq!(run(&entries, &extra, &ticks), run(&entries, &[], &[]));
    }

    #[test]
    fn damaged_lines_break_nothing_and_a_turn_ends_once(
        damage in prop::collection::vec(
            (any::<usize>(), any::<usize>(), prop::collection::vec(any::<u8>(), 0..4)), 1..30),
    ) {
        let lines = read(RECORDING).into_iter().filter(|entry| entry.dir == "out");
        let lines = lines.map(|entry| entry.data).collect::<Vec<_>>();
        let mut played: Played<Acp> = asked();
        for (at, from, with) in damage {
            let bytes = damaged(&lines, at, from, &with);
            played.input(&AcpWire, Input::Line { stream: StreamName::Stdout, bytes: &bytes });
        }
        played.input(&AcpWire, Input::Ended { code: Some(0), signal: None });
        prop_assert_eq!(played.ends().len(), 1);
        prop_assert!(played.chunks().all(|chunk| chunk.turn == 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_taken(lines in prop::collection::vec(any::<Vec<u8>>(), 0..20)) {
        let (mut acp, now) = bare();
        let mut out = Vec::new();
        let prompt = Prompt::text("x");
        acp.handle(now, Input::Opened, &mut out);
        acp.handle(now, Input::Prompt { turn: 1, prompt: &prompt }, &mut out);
        for bytes in &lines {
            acp.handle(now, Input::Line { stream: StreamName::Stdout, bytes }, &mut out);
        }
        acp.handle(now, Input::Ended { code: None, signal: None }, &mut out);
    }
}
