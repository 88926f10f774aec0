//! The protocol table: what each message is answered with.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    auth::Principal,
    connection::{answer, answer_streaming},
    fixture::Fixture,
    peer::Peer,
};

#[derive(Deserialize)]
struct Wire<'a> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<WireError<'a>>,
}

#[derive(Deserialize)]
struct WireError<'a> {
    code: i32,
    #[serde(borrow)]
    data: WireData<'a>,
}

#[derive(Deserialize)]
struct WireData<'a> {
    kind: &'a str,
    retryable: bool,
}

fn summary_of(response: &Wire<'_>) -> String {
    assert_eq!(response.jsonrpc, "2.0");
    match (&response.result, &response.error) {
        (Some(result), None) => format!("ok {} {result}", response.id),
        // An option takes a result of null for none.
        (None, None) => format!("ok {} null", response.id),
        (None, Some(error)) => {
            let kind = crate::error::ErrorKind::from_code(error.code).unwrap();
            assert_eq!(kind.as_str(), error.data.kind);
            assert_eq!(kind.retryable(), error.data.retryable);
            format!("{} {}", error.code, response.id)
        }
        (Some(_), Some(_)) => panic!("a response has a result or an error"),
    }
}

/// `none`, `ok <id> <result>`, `<code> <id>`, or these between brackets for a batch.
fn summary(body: Option<Bytes>) -> String {
    let Some(body) = body else { return "none".into() };
    if body.starts_with(b"[") {
        let all: Vec<Wire<'_>> = serde_json::from_slice(&body).unwrap();
        let all: Vec<_> = all.iter().map(summary_of).collect();
        return format!("[{}]", all.join("; "));
    }
    summary_of(&serde_json::from_slice(&body).unwrap())
}

async fn ask(message: impl Into<Bytes>) -> String {
    summary(answer(Fixture::service(), Peer::owner("test"), message.into()).await.body)
}

async fn check(table: &[(&'static str, &'static str)]) {
    for (message, expected) in table {
        assert_eq!(ask(*message).await, *expected, "{message}");
    }
}

#[tokio::test]
async fn identifiers_are_echoed_exactly_or_refused() {
    check(&[
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#, "ok 1 null"),
        (r#"{"jsonrpc":"2.0","id":0,"method":"echo"}"#, "ok 0 null"),
        (r#"{"jsonrpc":"2.0","id":-7,"method":"echo"}"#, "ok -7 null"),
        (r#"{"jsonrpc":"2.0","id":-0,"method":"echo"}"#, "ok -0 null"),
        (r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"echo"}"#, "ok 9007199254740993 null"),
        (
            r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"echo"}"#,
            "ok 18446744073709551616 null",
        ),
        (
            r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"echo"}"#,
            "ok 123456789012345678901234567890 null",
        ),
        (r#"{"jsonrpc":"2.0","id":"a","method":"echo"}"#, r#"ok "a" null"#),
        (r#"{"jsonrpc":"2.0","id":"","method":"echo"}"#, r#"ok "" null"#),
        (r#"{"jsonrpc":"2.0","id":"1","method":"echo"}"#, r#"ok "1" null"#),
        (r#"{"jsonrpc":"2.0","id":"\u0061\n\"","method":"echo"}"#, r#"ok "\u0061\n\"" null"#),
        (r#"{"jsonrpc":"2.0","id":"größe 🦀","method":"echo"}"#, r#"ok "größe 🦀" null"#),
        (r#"{"jsonrpc":"2.0","id":"\ud800","method":"echo"}"#, r#"ok "\ud800" null"#),
        (
            r#"{"jsonrpc":"2.0","id":"0123456789012345678901234567890123456789","method":"echo"}"#,
            r#"ok "0123456789012345678901234567890123456789" null"#,
        ),
        (r#"{"jsonrpc":"2.0","id":null,"method":"echo"}"#, "ok null null"),
        (r#"{"jsonrpc":"2.0","method":"echo"}"#, "none"),
        (r#"{"jsonrpc":"2.0","method":"fail"}"#, "none"),
        (r#"{"jsonrpc":"2.0","method":"no.such"}"#, "none"),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":1e3,"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":1E3,"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":true,"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":false,"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":{"a":1},"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":[],"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":01,"method":"echo"}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":+1,"method":"echo"}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":NaN,"method":"echo"}"#, "-32700 null"),
    ])
    .await;
}

#[tokio::test]
async fn the_version_is_two_and_nothing_else() {
    check(&[
        (r#"{"id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":"2","id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.00","id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":" 2.0","id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":2.0,"id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":2,"id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":null,"id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":["2.0"],"id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":"","id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"JSONRPC":"2.0","id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"1.0","method":"echo"}"#, "-32600 null"),
    ])
    .await;
}

#[tokio::test]
async fn the_method_is_text_that_names_one() {
    check(&[
        (r#"{"jsonrpc":"2.0","id":1}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0"}"#, "-32600 null"),
        (r#"{}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":1}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":null}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":["echo"]}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":{"name":"echo"}}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","method":1}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ec\u0068o"}"#, "ok 1 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"\u0065\u0063\u0068\u006f"}"#, "ok 1 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, "-32601 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"Echo"}"#, "-32601 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo "}"#, "-32601 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#, "-32601 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"échö"}"#, "-32601 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"fail"}"#, "-32017 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"panic"}"#, "-32603 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"panic_now"}"#, "-32603 1"),
    ])
    .await;
}

#[tokio::test]
async fn parameters_are_an_object_or_an_array_and_reach_the_method_as_they_are() {
    check(&[
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{}}"#, "ok 1 {}"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[]}"#, "ok 1 []"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params": [ 1 , 2 ] }"#, "ok 1 [ 1 , 2 ]"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":{"b":[]}}}"#,
            r#"ok 1 {"a":{"b":[]}}"#,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":["}\"]"]}"#, r#"ok 1 ["}\"]"]"#),
        (r#"{"params":[1e400],"method":"echo","id":1,"jsonrpc":"2.0"}"#, "ok 1 [1e400]"),
        (r#"{"params":["\ud800"],"method":"echo","id":1,"jsonrpc":"2.0"}"#, r#"ok 1 ["\ud800"]"#),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[0.1,12345678901234567890]}"#,
            "ok 1 [0.1,12345678901234567890]",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":null}"#, "-32602 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":1}"#, "-32602 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":"text"}"#, "-32602 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":true}"#, "-32602 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":-0.5}"#, "-32602 1"),
        (r#"{"jsonrpc":"2.0","method":"echo","params":"text"}"#, "none"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"echo","params":7}"#, "-32602 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":7,"params":"text"}"#, "-32600 1"),
    ])
    .await;
}

#[tokio::test]
async fn a_member_twice_is_refused_and_an_unknown_one_is_not() {
    check(&[
        (r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"echo"}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","\u006dethod":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"echo"}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[],"params":[]}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","method":"echo","params":[],"params":[]}"#, "-32600 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","x":1,"x":1}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","x":1,"\u0078":1}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","":1,"":1}"#, "-32600 1"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","x":1}"#, "ok 1 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","meta":{"id":5,"id":6}}"#, "ok 1 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","ID":2,"Method":3,"":4}"#, "ok 1 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","result":1,"error":2}"#, "ok 1 null"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_request_is_told_so_and_what_is_no_json_as_well() {
    check(&[
        ("", "-32700 null"),
        (" ", "-32700 null"),
        ("\n", "-32700 null"),
        ("1", "-32600 null"),
        ("\"text\"", "-32600 null"),
        ("null", "-32600 null"),
        ("true", "-32600 null"),
        ("tru", "-32700 null"),
        ("nonsense", "-32700 null"),
        ("{", "-32700 null"),
        ("}", "-32700 null"),
        ("[", "-32700 null"),
        ("]", "-32700 null"),
        ("{]", "-32700 null"),
        ("[}", "-32700 null"),
        ("{\"a\"}", "-32700 null"),
        ("{\"a\":1,}", "-32700 null"),
        ("{,}", "-32700 null"),
        ("{'a':1}", "-32700 null"),
        ("{a:1}", "-32700 null"),
        ("{1:1}", "-32700 null"),
        ("// {}", "-32700 null"),
        ("{} {}", "-32700 null"),
        ("{}x", "-32700 null"),
        ("\u{feff}{}", "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo"}}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo"},"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo"}{"jsonrpc":"2.0"}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo" "params":[]}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ec"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[1,2}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":[}}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"e\x"}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"\u12"}"#, "-32700 null"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\tb\"}", "-32700 null"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\u{0}b\"}", "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[00]}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[1.]}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[.5]}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[-]}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[1e]}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[Infinity]}"#, "-32700 null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[True]}"#, "-32700 null"),
        (" \t\r\n{\"jsonrpc\" : \"2.0\" ,\n\"id\" : 1 , \"method\" : \"echo\" } \n", "ok 1 null"),
    ])
    .await;
}

#[tokio::test]
async fn a_batch_answers_each_entry_on_its_own() {
    check(&[
        ("[]", "-32600 null"),
        (" [ ] ", "-32600 null"),
        ("[1]", "[-32600 null]"),
        ("[1,2,3]", "[-32600 null; -32600 null; -32600 null]"),
        ("[[]]", "[-32600 null]"),
        ("[[[]],{}]", "[-32600 null; -32600 null]"),
        ("[{}]", "[-32600 null]"),
        ("[null]", "[-32600 null]"),
        ("[1,]", "-32700 null"),
        ("[,1]", "-32700 null"),
        ("[1", "-32700 null"),
        ("[1] x", "-32700 null"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"echo"}]"#, "[ok 1 null]"),
        (r#"[{"jsonrpc":"2.0","method":"echo"}]"#, "none"),
        (r#"[{"jsonrpc":"2.0","method":"echo"},{"jsonrpc":"2.0","method":"fail"}]"#, "none"),
        (r#"[{"jsonrpc":"2.0","method":"echo","params":1}]"#, "none"),
        (r#"[{"jsonrpc":"2.0","method":"echo"},5]"#, "[-32600 null]"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"echo"},{"jsonrpc":"2.0","id":1,"method":"echo"}]"#, "[ok 1 null; ok 1 null]"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"echo"},{"jsonrpc":"2.0","method":"echo"},{"jsonrpc":"2.0","id":"b","method":"no"},{"id":3,"method":"echo"},7]"#,
            r#"[ok 1 null; -32601 "b"; -32600 3; -32600 null]"#),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"echo"},{"jsonrpc":"2.0","id":2,"id":3,"method":"echo"}]"#, "[ok 1 null; -32600 null]"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"panic_now"},{"jsonrpc":"2.0","id":2,"method":"echo"}]"#, "[-32603 1; ok 2 null]"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"panic"},{"jsonrpc":"2.0","id":2,"method":"echo"}]"#, "[-32603 1; ok 2 null]"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"later","params":["a"]},{"jsonrpc":"2.0","id":2,"method":"echo"}]"#, r#"[ok 2 null; ok 1 "a"]"#),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"echo"},{"jsonrpc":"2.0","id":2,"method":"echo"]"#, "-32700 null"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"subscribe"}]"#, "[-32600 1]"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"echo","params":3}]"#, "[-32602 1]"),
    ])
    .await;
}

#[tokio::test]
async fn a_batch_of_128_is_answered_and_one_of_129_refused() {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#;
    let of = |count| format!("[{}]", vec![call; count].join(","));
    assert_eq!(ask(of(128)).await.matches("ok 1 null").count(), 128);
    assert_eq!(ask(of(129)).await, "-32600 null");
    assert_eq!(ask(of(129).replace("]", "")).await, "-32700 null");
    assert_eq!(ask(format!("[{}]", vec!["1"; 100_000].join(","))).await, "-32600 null");
}

#[tokio::test]
async fn depth_is_refused_without_recursion() {
    let params = |open: &str, close: &str, depth: usize| {
        let (open, close) = (open.repeat(depth), close.repeat(depth));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{open}1{close}}}"#)
    };
    assert!(ask(params("[", "]", 127)).await.starts_with("ok 1 "));
    assert!(ask(params("{\"a\":", "}", 127)).await.starts_with("ok 1 "));
    for depth in [128, 129, 1000, 100_000] {
        assert_eq!(ask(params("[", "]", depth)).await, "-32600 null", "{depth}");
        assert_eq!(ask(params("{\"a\":", "}", depth)).await, "-32600 null", "{depth}");
        assert_eq!(ask("[".repeat(depth + 1)).await, "-32600 null", "{depth}");
        assert_eq!(ask("{\"a\":".repeat(depth + 1)).await, "-32600 null", "{depth}");
    }
    let id = format!(r#"{{"jsonrpc":"2.0","id":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(ask(id).await, "-32600 null");
}

#[tokio::test]
async fn a_message_cut_anywhere_is_not_json() {
    let whole =
        r#"[{"jsonrpc":"2.0","id":"a","method":"echo","params":{"a":[1.5,true,"\u00e9"]}}]"#;
    assert!(ask(whole).await.starts_with("[ok"));
    for length in 0..whole.len() {
        assert_eq!(ask(&whole[..length]).await, "-32700 null", "{length}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_not_json() {
    for bytes in [&b"\xff"[..], b"{\"a\":\"\xc3\"}", b"\xef\xbb\xbf", b"[\xed\xa0\x80]"] {
        assert_eq!(ask(Bytes::from_static(bytes)).await, "-32700 null", "{bytes:?}");
    }
}

#[tokio::test]
async fn the_answers_of_a_batch_keep_their_bound() {
    let calls: Vec<_> = (0..100)
        .map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"big","params":["a"]}}"#))
        .collect();
    let message = Bytes::from(format!("[{}]", calls.join(",")));
    let body = answer(Fixture::service(), Peer::owner("test"), message).await.body.unwrap();
    assert!(body.len() < 8 * 1024 * 1024 + 100 * 512, "{}", body.len());
    let summary = summary(Some(body));
    assert_eq!(summary.matches("-32011").count() + summary.matches("ok ").count(), 100);
    assert!(summary.contains("-32011"));
}

#[tokio::test]
async fn who_is_not_known_learns_nothing_and_who_may_not_is_told_what_is_missing() {
    let message =
        |method| Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#));
    for method in ["echo", "no.such", "admin"] {
        let answer = answer(Fixture::service(), Peer::new("test"), message(method)).await;
        assert_eq!(summary(answer.body), "-32001 1", "{method}");
    }
    let viewer = Peer::new("test").with_principal(Principal::new("ann", ["agent:read"]));
    let allowed = answer(Fixture::service(), viewer.clone(), message("echo")).await;
    assert_eq!(summary(allowed.body), "ok 1 null");
    let refused = answer(Fixture::service(), viewer, message("admin")).await;
    assert_eq!(summary(refused.body), "-32012 1");
}

#[tokio::test]
async fn a_subscription_needs_a_way_for_its_notifications() {
    let message = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"subscribe"}"#);
    let owner = Peer::owner("test");
    let refused = answer(Fixture::service(), owner.clone(), message.clone()).await;
    assert!(refused.notifications.is_none());
    let body: serde_json::Value = serde_json::from_slice(&refused.body.unwrap()).unwrap();
    assert_eq!(body["error"]["data"]["reason"], "no_stream");
    assert_eq!(body["error"]["data"]["use"], "event.read");
    let opened = answer_streaming(Fixture::service(), owner, message).await;
    assert!(opened.body.is_some() && opened.notifications.is_some());
    assert_eq!(opened.connection.subscription_count(), 1);
    drop(opened.notifications);
    assert_eq!(opened.connection.subscription_count(), 0);
}
