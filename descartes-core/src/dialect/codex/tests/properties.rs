//! What must hold whatever else the program writes, and whenever the clock ticks.

use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof,
};
use proptest::proptest;
use serde_json::{Value, json};

use super::AppServer;
use super::talk::{THREAD, TURN, Talk, plain};
use crate::dialect::transcript::{Entry, Played, merged, read};
use crate::dialect::{Codex, Decision, Input};
use crate::event::StreamName;

/// Something that is put between the lines of a recording.
#[derive(Clone, Debug)]
enum Extra {
    Tick,
    Line(Vec<u8>),
    /// A line of the recording, cut at this part of it.
    Damaged(usize, u8),
    Stderr,
}

fn extra() -> impl Strategy<Value = Extra> {
    let lines: Vec<Value> = vec![
        json!({"method": "brand/new", "params": {"threadId": "x"}}),
        json!({"method": "turn/completed", "params": {"threadId": "x", "turn": {"id": "y", "status": "completed"}}}),
        json!({"method": "turn/completed", "params": 7}),
        json!({"method": "item/agentMessage/delta", "params": {"threadId": "x", "turnId": "y", "itemId": "z", "delta": "void"}}),
        json!({"method": "item/started", "params": {"item": {"type": "novelty", "id": "z"}}}),
        json!({"method": "item/completed", "params": {"item": {"type": "novelty", "id": "z"}}}),
        json!({"method": "error", "params": {}}),
        json!({"method": "serverRequest/resolved", "params": {"requestId": "never"}}),
        json!({"method": "brand/new/request", "id": "r", "params": {}}),
        json!({"id": 4711, "result": {"turn": {"id": "y"}}}),
        json!({"id": "x", "error": {"code": 1, "message": "?"}}),
        json!({"result": {}}),
        json!(null),
        json!([[]]),
    ];
    prop_oneof![
        Just(Extra::Tick),
        Just(Extra::Stderr),
        vec(any::<u8>(), 0..40).prop_map(Extra::Line),
        proptest::sample::select(lines).prop_map(|line| Extra::Line(line.to_string().into())),
        (any::<usize>(), any::<u8>()).prop_map(|(line, part)| Extra::Damaged(line, part)),
    ]
}

/// A prefix of `line` that is no line.
fn damaged(line: &Value, part: u8) -> Vec<u8> {
    let text = line.to_string().into_bytes();
    let end = 1 + usize::from(part) * (text.len() - 2) / 255;
    text[..end].to_vec()
}

/// What is done when `extras` stand before these lines of the recording.
fn played(entries: &[Entry], extras: &[(usize, Extra)]) -> Vec<String> {
    let mut played = Played::open(&AppServer, Codex::new());
    for (at, entry) in entries.iter().enumerate() {
        for (_, extra) in extras.iter().filter(|(before, _)| before % entries.len() == at) {
            let bytes = match extra {
                Extra::Tick => {
                    played.input(&AppServer, Input::Tick);
                    continue;
                }
                Extra::Stderr => {
                    let line = Input::Line { stream: StreamName::Stderr, bytes: b"{\"id\":1}" };
                    played.input(&AppServer, line);
                    continue;
                }
                Extra::Line(bytes) => bytes.clone(),
                Extra::Damaged(line, part) => damaged(&entries[line % entries.len()].data, *part),
            };
            let line = Input::Line { stream: StreamName::Stdout, bytes: &bytes };
            played.input(&AppServer, line);
        }
        played.play(&AppServer, std::slice::from_ref(entry));
    }
    let known = |line: &String| !line.contains(" raw ");
    merged_around_raw(&played).into_iter().filter(known).collect()
}

/// What is not understood stands between pieces of one text: it is taken out first.
fn merged_around_raw(played: &Played<Codex>) -> Vec<String> {
    use crate::dialect::Action;
    use crate::event::ChunkBody;
    let known = |action: &&Action| match action {
        Action::Emit(chunk) => !matches!(chunk.body, ChunkBody::Raw { .. }),
        Action::Send(_) => false,
        _ => true,
    };
    let known: Vec<Action> = played.actions.iter().filter(known).cloned().collect();
    merged(&known)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_that_are_none_and_ticks_change_nothing(
        name in proptest::sample::select(vec!["-cuts", "-subagent", "-resume-unknown", ""]),
        extras in vec((any::<usize>(), extra()), 1..12),
    ) {
        let mut entries = read(&format!("codex-appserver{name}.session.jsonl"));
        entries.retain(|entry| matches!(&*entry.dir, "in" | "out"));
        // Ticks come at any time, and none of them too late.
        entries.iter_mut().for_each(|entry| entry.t = 0.0);
        prop_assert_eq!(played(&entries, &extras), played(&entries, &[]));
    }
}

const METHODS: [&str; 18] = [
    "item/started",
    "item/completed",
    "item/agentMessage/delta",
    "item/plan/delta",
    "item/reasoning/summaryTextDelta",
    "item/reasoning/textDelta",
    "turn/started",
    "turn/completed",
    "error",
    "thread/tokenUsage/updated",
    "thread/status/changed",
    "serverRequest/resolved",
    "item/commandExecution/requestApproval",
    "item/fileChange/requestApproval",
    "item/permissions/requestApproval",
    "item/tool/requestUserInput",
    "mcpServer/elicitation/request",
    "x",
];
const KINDS: [&str; 9] = [
    "agentMessage",
    "reasoning",
    "commandExecution",
    "fileChange",
    "mcpToolCall",
    "collabAgentToolCall",
    "webSearch",
    "userMessage",
    "x",
];
const STATUSES: [&str; 6] = ["completed", "failed", "declined", "interrupted", "idle", "x"];

/// Any line that has to do with the protocol.
fn any_line() -> impl Strategy<Value = String> {
    let one_of = |words: &'static [&'static str]| proptest::sample::select(words);
    let names = (one_of(&METHODS), one_of(&KINDS), one_of(&["a", "b", "c"]), one_of(&STATUSES));
    let text = one_of(&["", "one", "one two", "é"]);
    let thread = one_of(&[THREAD, "helper"]);
    let request = proptest::option::of(0u8..4);
    (names, text, thread, request, any::<u8>()).prop_map(
        |(names, text, thread, request, number)| line_of(names, (text, thread), (request, number)),
    )
}

fn line_of(
    (method, kind, id, status): (&str, &str, &str, &str),
    (text, thread): (&str, &str),
    (request, number): (Option<u8>, u8),
) -> String {
    let item = json!({
        "type": kind, "id": id, "text": text, "status": status, "summary": [text],
        "receiverThreadIds": ["helper"], "command": text, "changes": [{"path": text}],
    });
    let tokens = json!({"inputTokens": number, "outputTokens": number});
    let error = json!({"message": text});
    let params = json!({
        "threadId": thread, "turnId": TURN, "item": item, "itemId": id, "delta": text,
        "turn": {"id": TURN, "status": status, "items": [item], "error": error},
        "error": error, "willRetry": number % 2 == 0,
        "tokenUsage": {"total": tokens, "last": tokens}, "status": {"type": status},
        "requestId": number % 4, "permissions": {}, "questions": [{"id": id}],
        "summaryIndex": number % 3,
    });
    let mut line = json!({"method": method, "params": params});
    if let Some(request) = request {
        line["id"] = request.into();
    }
    line.to_string()
}

/// What is broken in `did`, if anything.
fn broken(did: &[String]) -> Option<String> {
    let (mut open, mut marked, mut tools) = (true, false, Vec::new());
    for line in did {
        let words: Vec<&str> = line.split(' ').collect();
        let wrong = match &*words {
            ["end", "1", ..] => !std::mem::take(&mut open),
            ["mark"] => {
                marked = true;
                false
            }
            ["retract"] => !marked,
            [turn, "tool", _, id] => {
                tools.push(((*turn).to_owned(), (*id).to_owned()));
                !open
            }
            [turn, "input" | "result", id, ..] => {
                !open || !tools.contains(&((*turn).to_owned(), (*id).to_owned()))
            }
            ["1", "raw", ..] => false,
            ["1" | "1<a>" | "1<b>" | "1<c>" | "ask" | "mark" | "activity", ..] => {
                !open && words[0] != "activity"
            }
            _ => false,
        };
        if wrong {
            return Some(line.clone());
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_program_says_a_turn_ends_at_most_once_and_in_order(
        lines in vec(any_line(), 1..40),
        decided in vec((1u64..5, any::<bool>()), 0..4),
        cancelled in any::<bool>(),
    ) {
        let mut talk = Talk::busy(&plain());
        for (at, line) in lines.iter().enumerate() {
            talk.line(line.as_bytes());
            if let Some((ask, allowed)) = decided.get(at) {
                let denied = Decision::Deny { message: None };
                talk.decide(*ask, if *allowed { &Decision::AllowOnce } else { &denied });
            }
            if cancelled && at == 5 {
                talk.input(Input::Cancel { turn: 1 });
            }
        }
        talk.input(Input::Ended { code: Some(0), signal: None });
        let did = talk.did();
        prop_assert_eq!(broken(&did), None, "{:#?}", did);
        prop_assert!(did.iter().filter(|line| line.starts_with("end 1 ")).count() == 1);
    }

    #[test]
    fn any_bytes_at_all_end_nothing(lines in vec(vec(any::<u8>(), 0..60), 0..20)) {
        let mut talk = Talk::busy(&plain());
        for line in &lines {
            talk.line(line);
        }
        let did = talk.did();
        prop_assert!(did.iter().all(|line| line.starts_with("1 raw ")), "{:?}", did);
    }
}
