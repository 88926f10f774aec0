//! What each message is answered with, whatever carries it.

use bytes::Bytes;

use super::{Case, Needs, case};
use crate::testing::conformance::{
    Harness, Outcome,
    expect::{Failure, check, summary},
    session::Session,
};

/// `(name, message, answer)`; the answer is as [`summary`] has it.
const ROWS: &[(&str, &str, &str)] = &[
    ("a number as id", r#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#, "ok 1"),
    ("zero as id", r#"{"jsonrpc":"2.0","id":0,"method":"system.health"}"#, "ok 0"),
    ("a negative id", r#"{"jsonrpc":"2.0","id":-5,"method":"system.health"}"#, "ok -5"),
    (
        "an id beyond 2^53",
        r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"system.health"}"#,
        "ok 9007199254740993",
    ),
    (
        "an id beyond 2^64",
        r#"{"jsonrpc":"2.0","id":18446744073709551617,"method":"system.health"}"#,
        "ok 18446744073709551617",
    ),
    ("a text as id", r#"{"jsonrpc":"2.0","id":"a b","method":"system.health"}"#, r#"ok "a b""#),
    (
        "an escaped text as id",
        r#"{"jsonrpc":"2.0","id":"\u00e9\n","method":"system.health"}"#,
        r#"ok "\u00e9\n""#,
    ),
    (
        "an id beyond ASCII",
        r#"{"jsonrpc":"2.0","id":"größe 🦀","method":"system.health"}"#,
        r#"ok "größe 🦀""#,
    ),
    ("null as id", r#"{"jsonrpc":"2.0","id":null,"method":"system.health"}"#, "ok null"),
    ("a notification", r#"{"jsonrpc":"2.0","method":"system.health"}"#, "none"),
    ("a notification of nothing", r#"{"jsonrpc":"2.0","method":"no.such"}"#, "none"),
    (
        "a notification with a wrong parameter",
        r#"{"jsonrpc":"2.0","method":"agent.get","params":{"agent_id":7}}"#,
        "none",
    ),
    (
        "a notification with a text as parameters",
        r#"{"jsonrpc":"2.0","method":"system.health","params":"a"}"#,
        "none",
    ),
    (
        "a notification that fails",
        r#"{"jsonrpc":"2.0","method":"agent.kill","params":["nobody-of-this-name"]}"#,
        "none",
    ),
    (
        "a notification that waits",
        r#"{"jsonrpc":"2.0","method":"event.read","params":{"topics":["system"],"after":"now","wait_ms":50}}"#,
        "none",
    ),
    (
        "a notification that subscribes",
        r#"{"jsonrpc":"2.0","method":"event.subscribe","params":{"topics":["system"]}}"#,
        "none",
    ),
    ("a notification without version", r#"{"method":"system.health"}"#, "-32600 null"),
    ("an identifier alone", r#"{"id":1}"#, "-32600 1"),
    ("an answer instead of a call", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "-32600 1"),
    ("spaces around a call", r#"  {"jsonrpc":"2.0","id":1,"method":"system.health"}  "#, "ok 1"),
    (
        "escaped names of members",
        r#"{"\u006asonrpc":"2.0","\u0069d":1,"method":"system.health"}"#,
        "ok 1",
    ),
    (
        "a text of NUL as id",
        r#"{"jsonrpc":"2.0","id":"\u0000","method":"system.health"}"#,
        r#"ok "\u0000""#,
    ),
    ("a fraction as id", r#"{"jsonrpc":"2.0","id":1.5,"method":"system.health"}"#, "-32600 null"),
    (
        "a number with an exponent as id",
        r#"{"jsonrpc":"2.0","id":1e2,"method":"system.health"}"#,
        "-32600 null",
    ),
    ("a boolean as id", r#"{"jsonrpc":"2.0","id":true,"method":"system.health"}"#, "-32600 null"),
    ("an object as id", r#"{"jsonrpc":"2.0","id":{},"method":"system.health"}"#, "-32600 null"),
    ("an array as id", r#"{"jsonrpc":"2.0","id":[1],"method":"system.health"}"#, "-32600 null"),
    ("no version", r#"{"id":1,"method":"system.health"}"#, "-32600 1"),
    ("an old version", r#"{"jsonrpc":"1.0","id":1,"method":"system.health"}"#, "-32600 1"),
    ("a number as version", r#"{"jsonrpc":2.0,"id":1,"method":"system.health"}"#, "-32600 1"),
    ("no method", r#"{"jsonrpc":"2.0","id":1}"#, "-32600 1"),
    ("a number as method", r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "-32600 1"),
    ("an unknown method", r#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#, "-32601 1"),
    ("an escaped method", r#"{"jsonrpc":"2.0","id":1,"method":"system.h\u0065alth"}"#, "ok 1"),
    (
        "empty parameters by name",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.health","params":{}}"#,
        "ok 1",
    ),
    (
        "empty parameters by position",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.health","params":[]}"#,
        "ok 1",
    ),
    (
        "null as parameters",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.health","params":null}"#,
        "-32602 1",
    ),
    (
        "a text as parameters",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.health","params":"a"}"#,
        "-32602 1",
    ),
    (
        "an unknown parameter",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.health","params":{"a":1}}"#,
        "-32602 1",
    ),
    (
        "a parameter too many",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.health","params":[1]}"#,
        "-32602 1",
    ),
    (
        "a parameter twice",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":{"agent_id":"a","agent_id":"a"}}"#,
        "-32602 1",
    ),
    (
        "a parameter of the wrong type",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":{"agent_id":7}}"#,
        "-32602 1",
    ),
    ("a parameter that is missing", r#"{"jsonrpc":"2.0","id":1,"method":"agent.get"}"#, "-32602 1"),
    (
        "parameters by position",
        r#"{"jsonrpc":"2.0","id":1,"method":"agent.get","params":["nobody-of-this-name"]}"#,
        "-32002 1",
    ),
    ("two ids", r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"system.health"}"#, "-32600 null"),
    (
        "two methods",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.health","method":"system.health"}"#,
        "-32600 1",
    ),
    (
        "members in another order",
        r#"{"params":{},"method":"system.health","id":1,"jsonrpc":"2.0"}"#,
        "ok 1",
    ),
    (
        "an unknown member beside",
        r#"{"jsonrpc":"2.0","id":1,"method":"system.health","trace":"x"}"#,
        "ok 1",
    ),
    ("an empty object", "{}", "-32600 null"),
    ("a number alone", "1", "-32600 null"),
    ("a word alone", "nonsense", "-32700 null"),
    ("half an object", r#"{"jsonrpc":"2.0","id":1"#, "-32700 null"),
    ("an object and more", r#"{"jsonrpc":"2.0","id":1,"method":"system.health"} x"#, "-32700 null"),
    ("a comma too many", r#"{"jsonrpc":"2.0","id":1,"method":"system.health",}"#, "-32700 null"),
    ("two values", "1 2", "-32700 null"),
    ("spaces alone", "   ", "-32700 null"),
    ("a byte order mark", "\u{feff}{}", "-32700 null"),
    ("single quotes", "{'id':1}", "-32700 null"),
    ("a number that is none", r#"{"jsonrpc":"2.0","id":NaN}"#, "-32700 null"),
    ("a number with a zero before it", r#"{"jsonrpc":"2.0","id":01}"#, "-32700 null"),
    ("a bare tab in a text", "{\"jsonrpc\":\"2.0\",\"id\":\"a\tb\"}", "-32700 null"),
    ("an empty batch", "[]", "-32600 null"),
    ("a batch of empty batches", "[[],[]]", "[-32600 null; -32600 null]"),
    (
        "a batch of one id twice",
        r#"[{"jsonrpc":"2.0","id":1,"method":"system.health"},{"jsonrpc":"2.0","id":1,"method":"no.such"}]"#,
        "[-32601 1; ok 1]",
    ),
    (
        "a batch of notifications of every kind",
        r#"[{"jsonrpc":"2.0","method":"no.such"},{"jsonrpc":"2.0","method":"agent.get","params":{"a":1}},{"jsonrpc":"2.0","method":"system.health","params":7},{"jsonrpc":"2.0","method":"event.subscribe","params":{"topics":["system"]}}]"#,
        "none",
    ),
    ("a batch of rubbish", "[1,2]", "[-32600 null; -32600 null]"),
    ("a batch of one", r#"[{"jsonrpc":"2.0","id":1,"method":"system.health"}]"#, "[ok 1]"),
    ("a batch of notifications", r#"[{"jsonrpc":"2.0","method":"system.health"}]"#, "none"),
    (
        "a mixed batch",
        r#"[{"jsonrpc":"2.0","id":1,"method":"system.health"},{"jsonrpc":"2.0","method":"system.health"},{"jsonrpc":"2.0","id":"b","method":"no.such"},7]"#,
        r#"[-32600 null; -32601 "b"; ok 1]"#,
    ),
    ("a batch cut off", r#"[{"jsonrpc":"2.0","id":1,"method":"system.health"}"#, "-32700 null"),
    (
        "a subscription in a batch",
        r#"[{"jsonrpc":"2.0","id":1,"method":"event.subscribe","params":{"topics":["system"]}}]"#,
        "[-32600 1]",
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let fixed = ROWS.iter().map(|(name, message, answer)| {
        row((*name).to_owned(), Bytes::from_static(message.as_bytes()), (*answer).to_owned())
    });
    fixed
        .chain(generated())
        .chain([case!("what is not text is refused", Nothing, not_text)])
        .collect()
}

/// Messages that are too long to be written down.
fn generated() -> Vec<Case> {
    let call = |id: usize| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"system.health"}}"#);
    let batch = |count| {
        let calls: Vec<_> = (0..count).map(call).collect();
        Bytes::from(format!("[{}]", calls.join(",")))
    };
    let mut answers: Vec<_> = (0..128).map(|id| format!("ok {id}")).collect();
    answers.sort();
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"system.health","params":{open}{close}}}"#
        ))
    };
    let refused = || "-32600 null".to_owned();
    let long = format!("\"{}\"", "long ".repeat(2000));
    let long_id = format!(r#"{{"jsonrpc":"2.0","id":{long},"method":"system.health"}}"#);
    vec![
        row("a text of 10,000 bytes as id".to_owned(), long_id.into(), format!("ok {long}")),
        row("a batch of 128".to_owned(), batch(128), format!("[{}]", answers.join("; "))),
        row("a batch of 129".to_owned(), batch(129), refused()),
        row("nested 127 deep".to_owned(), deep(127), "-32602 1".to_owned()),
        row("nested 128 deep".to_owned(), deep(128), refused()),
        row("nested 100,000 deep".to_owned(), deep(100_000), refused()),
        row("opened 100,000 times".to_owned(), Bytes::from("[".repeat(100_000)), refused()),
    ]
}

/// A case that sends one message and looks at what comes back, and whether the channel still works.
fn row(name: String, message: Bytes, expected: String) -> Case {
    Case {
        name,
        needs: Needs::Nothing,
        run: Box::new(move |harness| {
            let (message, expected) = (message.clone(), expected.clone());
            Box::pin(async move { answers(harness, message, &expected).await })
        }),
    }
}

async fn answers(
    harness: &dyn Harness,
    message: Bytes,
    expected: &str,
) -> Result<Outcome, Failure> {
    let mut session = Session::open(harness).await?;
    let heard = if expected == "none" {
        session.tell(message).await?
    } else {
        Some(session.ask(message).await?)
    };
    let heard = summary(heard.as_deref())?;
    let same = heard == expected || !harness.keeps_spelling() && meant(&heard) == meant(expected);
    check(same, || format!("answered {heard} instead of {expected}"))?;
    session.call("system.health", serde_json::json!({})).await?;
    session.expect_no_notifications()?;
    Ok(Outcome::Passed)
}

/// A summary whose text of an identifier is what it says, however it is spelt.
fn meant(summary: &str) -> (&str, String) {
    let (outcome, id) = summary.split_once(' ').unwrap_or((summary, ""));
    (outcome, serde_json::from_str(id).unwrap_or_else(|_other| id.to_owned()))
}

/// Bytes that are not UTF-8. Where only text can be carried, the connection may end over it.
async fn not_text(harness: &dyn Harness) -> Result<(), Failure> {
    let mut session = Session::open(harness).await?;
    match session.ask(&b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\"}"[..]).await {
        Ok(answer) => {
            let heard = summary(Some(&answer))?;
            check(heard == "-32700 null", || format!("answered {heard}"))?;
        }
        Err(ended) if ended.is_of_channel() => session = Session::open(harness).await?,
        Err(error) => return Err(error),
    }
    session.call("system.health", serde_json::json!({})).await.map(drop)
}
