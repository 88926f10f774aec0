//! What must hold whatever else the program writes, and whenever the clock ticks.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq};
use proptest::proptest;
use serde_json::json;

use super::AppServer;
use super::talk::{THREAD, TURN, Talk, plain};
use crate::dialect::transcript::Subject;
use crate::dialect::{Codex, Decision, Dialect, Input, LaunchWords, SessionSpec};

static CODEX: Subject = Subject {
    prefix: "codex-appserver",
    wire: &AppServer,
    make: |name| {
        let native = name.contains("-resume").then(|| "old".into());
        let mut codex = Codex::new();
        codex.launch(&SessionSpec { native, ..plain() }, &mut LaunchWords::default());
        Box::new(codex)
    },
    prepare: |_, _| {},
    strange: &[
        r#"{"method":"turn/completed","params":{"threadId":"x","turn":{"id":"y","status":"completed"}}}"#,
        r#"{"method":"turn/completed","params":7}"#,
        r#"{"method":"item/agentMessage/delta","params":{"threadId":"x","turnId":"y","itemId":"z","delta":"void"}}"#,
        r#"{"method":"item/started","params":{"item":{"type":"novelty","id":"z"}}}"#,
        r#"{"method":"item/completed","params":{"item":{"type":"novelty","id":"z"}}}"#,
        r#"{"method":"error","params":{}}"#,
        r#"{"method":"serverRequest/resolved","params":{"requestId":"never"}}"#,
        r#"{"id":4711,"result":{"turn":{"id":"y"}}}"#,
        r#"{"id":"x","error":{"code":1,"message":"?"}}"#,
        r#"{"result":{}}"#,
    ],
};

#[test]
fn its_recordings_replay() {
    CODEX.recordings_replay();
}

#[test]
fn splits_strange_lines_and_ticks_change_nothing() {
    CODEX.noise_changes_nothing();
}

#[test]
fn no_order_of_lines_prompts_and_ticks_breaks_a_promise() {
    CODEX.no_order_breaks_a_promise();
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_program_says_breaks_no_promise(
        lines in vec(any_line(), 1..40),
        decided in vec(any::<bool>(), 0..4),
        cancelled in any::<bool>(),
    ) {
        let mut talk = Talk::watched(&plain());
        for (at, line) in lines.iter().enumerate() {
            talk.line(line.as_bytes());
            let ask = talk.codex.asks().next();
            if let (Some(allowed), Some(ask)) = (decided.get(at), ask) {
                let denied = Decision::Deny { message: None };
                talk.decide(ask.0, if *allowed { &Decision::AllowOnce } else { &denied });
            }
            if cancelled && at == 5 {
                talk.input(Input::Cancel { turn: 1 });
            }
        }
        talk.input(Input::Ended { code: Some(0), signal: None });
        let ended = |line: &String| line.starts_with("end 1 ");
        prop_assert_eq!(talk.did().into_iter().filter(ended).count(), 1);
    }
}
