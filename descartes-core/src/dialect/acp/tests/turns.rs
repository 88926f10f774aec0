//! What happens in a turn and how it ends.

use serde_json::{Value, json};

use super::{AcpWire, answers, asked, line, news, ready, refuses, says, updates, writes};
use crate::dialect::transcript::script;
use crate::dialect::{Dialect, Input, Prompt};
use crate::event::StreamName;
use crate::limits;

fn call(kind: &str, id: &str, more: Value) -> Value {
    let mut update = json!({"sessionUpdate": kind, "toolCallId": id});
    let Value::Object(more) = more else { panic!("an object") };
    update.as_object_mut().expect("an object").extend(more);
    update
}

#[test]
fn each_reason_for_an_end_has_its_outcome() {
    let budget = "end 1 failed budget \"the model reached its limit of tokens\"";
    let rounds = "end 1 failed budget \"the agent reached its limit of rounds with the model\"";
    let gave_up = "end 1 failed protocol \
                   \"the agent says that the turn was cancelled, and nobody cancelled it\"";
    let cases = [
        (json!({"stopReason": "end_turn"}), "end 1 completed"),
        (json!(null), "end 1 completed"),
        (json!({"stopReason": "max_tokens"}), budget),
        (json!({"stopReason": "max_turn_requests"}), rounds),
        (
            json!({"stopReason": "refusal"}),
            "end 1 failed model_error \"the model refuses to go on\"",
        ),
        (json!({"stopReason": "cancelled"}), gave_up),
        (
            json!({"stopReason": "x"}),
            "end 1 failed protocol \"the turn ended for an unknown reason: x\"",
        ),
    ];
    for (answer, end) in cases {
        let mut played = asked();
        answers(&mut played, answer);
        assert_eq!(news(&mut played), [end]);
        // Said twice.
        says(
            &mut played,
            &json!({"jsonrpc": "2.0", "id": 3, "result": {"stopReason": "end_turn"}}),
        );
        let again = news(&mut played);
        assert!(again.len() == 1 && again[0].starts_with("1 raw"), "{again:?}");
    }
}

#[test]
fn errors_have_their_kinds() {
    let cases = [
        (
            -32603,
            "Internal error: API Error: 429 slow down",
            "rate_limited \"API Error: 429 slow down\"",
        ),
        (-32603, "prompt is too long: 9", "context_full \"prompt is too long: 9\""),
        (401, "{\"error\":{\"message\":\"no\"}}", "agent_auth \"no\""),
        (-32000, "", "agent_auth \"the agent gives no reason\""),
        (-32602, "Session not found", "protocol \"Session not found\""),
        (500, "terminated", "model_error \"terminated\""),
    ];
    for (code, message, end) in cases {
        let mut played = asked();
        refuses(&mut played, code, message);
        assert_eq!(news(&mut played), [format!("end 1 failed {end}")]);
    }
}

#[test]
fn an_error_that_was_said_as_text_is_taken_back() {
    let mut played = asked();
    writes(&mut played, "Half an ans");
    let content = json!({"type": "text", "text": "API Error: 500 oops"});
    let update = json!({"sessionUpdate": "agent_message_chunk", "content": content,
                        "messageId": "m2"});
    updates(&mut played, update);
    refuses(&mut played, -32603, "Internal error: API Error: 500 oops");
    let expected = [
        "mark",
        "1 text[0] \"Half an ans\"",
        "mark",
        "1 text[0] \"API Error: 500 oops\"",
        "retract",
        "end 1 failed model_error \"API Error: 500 oops\"",
    ];
    assert_eq!(news(&mut played), expected);
}

#[test]
fn a_cancelled_turn_ends_as_cancelled_whatever_the_agent_says() {
    let ends = [
        json!({"result": {"stopReason": "cancelled"}}),
        json!({"result": {"stopReason": "end_turn"}}),
        json!({"error": {"code": -32603, "message": "aborted"}}),
    ];
    for mut end in ends {
        let mut played = asked();
        played.input(&AcpWire, Input::Cancel { turn: 1 });
        assert_eq!(played.sent.last().expect("sent")["method"], "session/cancel");
        played.input(&AcpWire, Input::Cancel { turn: 1 });
        assert_eq!(played.sent.len(), 4, "cancelled once");
        writes(&mut played, "still");
        end["id"] = json!(3);
        says(&mut played, &end);
        assert_eq!(news(&mut played), ["mark", "1 text[0] \"still\"", "end 1 cancelled"]);
        assert_eq!(played.dialect.deadline(), None);
        writes(&mut played, "late");
        played.input(&AcpWire, Input::Cancel { turn: 1 });
        played.prompt(&AcpWire, "next");
        answers(&mut played, json!({"stopReason": "end_turn"}));
        assert_eq!(news(&mut played), ["end 2 completed"]);
    }
}

#[test]
fn an_agent_that_does_not_end_a_cancelled_turn_is_interrupted() {
    let mut played = asked();
    played.input(&AcpWire, Input::Cancel { turn: 1 });
    played.wait(&AcpWire, limits::ACP_CANCEL);
    assert_eq!(news(&mut played), ["signal interrupt"]);
    assert_eq!(played.dialect.deadline(), None);
    played.input(&AcpWire, Input::Ended { code: None, signal: Some(9) });
    assert_eq!(news(&mut played), ["end 1 cancelled"]);
}

#[test]
fn a_turn_that_was_cancelled_before_it_was_asked_for_is_never_asked_for() {
    let mut played = super::open(crate::dialect::acp::Acp::new(), &super::session());
    played.prompt(&AcpWire, "do it");
    played.input(&AcpWire, Input::Cancel { turn: 7 });
    assert_eq!(news(&mut played), Vec::<String>::new());
    played.input(&AcpWire, Input::Cancel { turn: 1 });
    assert_eq!(news(&mut played), ["end 1 cancelled"]);
    answers(&mut played, json!({"protocolVersion": 1}));
    answers(&mut played, json!({"sessionId": "s1"}));
    assert_eq!(played.sent.len(), 2);
}

#[test]
fn what_comes_late_of_a_cancelled_turn_is_no_part_of_the_next() {
    let said = |text: &str, id: &str| {
        let content = json!({"type": "text", "text": text});
        json!({"sessionUpdate": "agent_message_chunk", "content": content, "messageId": id})
    };
    let mut played = asked();
    updates(&mut played, said("one", "m1"));
    updates(&mut played, call("tool_call", "t1", json!({"kind": "execute", "title": "a b"})));
    played.input(&AcpWire, Input::Cancel { turn: 1 });
    answers_prompt(&mut played, 3, "cancelled");
    played.prompt(&AcpWire, "next");
    played.actions.clear();
    updates(&mut played, said(" more", "m1"));
    updates(&mut played, call("tool_call_update", "t1", json!({"status": "failed"})));
    updates(&mut played, said("two", "m2"));
    // A name is used again.
    updates(&mut played, call("tool_call", "t1", json!({"status": "completed", "kind": "read"})));
    let expected = ["mark", "2 text[0] \"two\"", "2 tool read t1", "2 result t1 \"\""];
    assert_eq!(news(&mut played), expected);
}

fn answers_prompt(played: &mut super::Played<super::Acp>, id: u64, reason: &str) {
    says(played, &json!({"jsonrpc": "2.0", "id": id, "result": {"stopReason": reason}}));
}

#[test]
fn calls_begin_once_are_told_their_arguments_and_end_once() {
    let mut played = asked();
    writes(&mut played, "a");
    // Only its end is told.
    let end = json!({"status": "failed", "kind": "other", "title": "Look it up",
                     "rawInput": {"q": 1}, "rawOutput": {"error": "no"}});
    updates(&mut played, call("tool_call_update", "t1", end.clone()));
    updates(&mut played, call("tool_call_update", "t1", end));
    writes(&mut played, "b");
    // Its arguments grow.
    let begin = json!({"status": "pending", "title": "read", "kind": "read", "rawInput": {}});
    updates(&mut played, call("tool_call", "t2", begin));
    let more = json!({"status": "in_progress", "rawInput": {"path": "x"}});
    updates(&mut played, call("tool_call_update", "t2", more.clone()));
    updates(&mut played, call("tool_call_update", "t2", more));
    let text = json!([{"type": "content", "content": {"type": "text", "text": "line"}},
                      {"type": "diff", "path": "/a/b", "newText": "x"}]);
    updates(&mut played, call("tool_call_update", "t2", json!({"content": text})));
    updates(&mut played, call("tool_call_update", "t2", json!({"status": "completed"})));
    // One never ends.
    updates(&mut played, call("tool_call", "t3", json!({"title": "Some thing to do"})));
    writes(&mut played, "c");
    answers(&mut played, json!({"stopReason": "end_turn"}));
    let expected = [
        "mark",
        "1 text[0] \"a\"",
        "1 tool Look it up t1",
        "1 input t1 \"\" {\"q\":1}",
        "1 result t1 failed \"no\"",
        "mark",
        "1 text[1] \"b\"",
        "1 tool read t2",
        "1 input t2 \"\" {\"path\":\"x\"}",
        "1 result t2 \"line\\n/a/b\"",
        "1 tool Some thing to do t3",
        "mark",
        "1 text[2] \"c\"",
        "end 1 completed",
    ];
    assert_eq!(news(&mut played), expected);
}

#[test]
fn what_a_sub_agent_does_is_told_under_its_call() {
    let mut played = asked();
    writes(&mut played, "a");
    let under = json!({"claudeCode": {"toolName": "Bash", "parentToolUseId": "p"}});
    let content = json!({"type": "text", "text": "inner"});
    let said = json!({"sessionUpdate": "agent_message_chunk", "content": content, "_meta": under});
    updates(&mut played, said);
    updates(&mut played, call("tool_call", "t1", json!({"_meta": under, "title": "Terminal"})));
    updates(&mut played, call("tool_call_update", "t1", json!({"status": "completed"})));
    writes(&mut played, "b");
    let expected = [
        "mark",
        "1 text[0] \"a\"",
        "1<p> text[0] \"inner\"",
        "1<p> tool Bash t1",
        "1<p> result t1 \"\"",
        "1 text[0] \"b\"",
    ];
    assert_eq!(news(&mut played), expected);
}

#[test]
fn usage_is_of_the_turn_and_all_zero_is_unknown() {
    let usage = |cost: f64| {
        let cost = json!({"amount": cost, "currency": "USD"});
        json!({"sessionUpdate": "usage_update", "used": 9, "cost": cost})
    };
    let mut played = asked();
    updates(&mut played, usage(0.5));
    updates(&mut played, usage(0.5));
    let tokens = json!({"inputTokens": 10, "outputTokens": 3, "cachedReadTokens": 100,
                        "cachedWriteTokens": 20, "thoughtTokens": 2, "totalTokens": 135});
    answers(&mut played, json!({"stopReason": "end_turn", "usage": tokens}));
    let end = "end 1 completed in=130 cached=100 out=5 cost=0.500000";
    assert_eq!(news(&mut played), ["1 usage cost=0.500000", end]);

    played.prompt(&AcpWire, "more");
    updates(&mut played, usage(0.75));
    let tokens = json!({"inputTokens": 110, "outputTokens": 3, "cachedReadTokens": 100,
                        "totalTokens": 113});
    answers(&mut played, json!({"stopReason": "end_turn", "usage": tokens}));
    let end = "end 2 completed in=110 cached=100 out=3 cost=0.250000";
    assert_eq!(news(&mut played), ["2 usage cost=0.250000", end]);

    played.prompt(&AcpWire, "more");
    let tokens = json!({"inputTokens": 0, "outputTokens": 0, "totalTokens": 0});
    answers(&mut played, json!({"stopReason": "end_turn", "usage": tokens}));
    assert_eq!(news(&mut played), ["end 3 completed"]);
}

#[test]
fn a_process_that_ends_in_the_middle_interrupts_its_turn() {
    let mut played = asked();
    writes(&mut played, "half");
    let eof = Input::Eof { stream: StreamName::Stdout };
    played.input(&AcpWire, eof.clone());
    played.input(&AcpWire, Input::Ended { code: None, signal: Some(9) });
    let end = "end 1 interrupted agent_crashed \"the agent was ended by signal 9\"";
    assert_eq!(news(&mut played), ["mark", "1 text[0] \"half\"", end]);
    writes(&mut played, "late");
    assert_eq!(news(&mut played), Vec::<String>::new());

    let mut played = asked();
    played.input(&AcpWire, eof);
    played.wait(&AcpWire, limits::ACP_AFTER_EOF);
    let end = "end 1 interrupted agent_crashed \"the agent closed its output\"";
    assert_eq!(news(&mut played), [end, "close stdin"]);
    played.prompt(&AcpWire, "next");
    let end = "end 2 failed agent_crashed \"the agent closed its output\"";
    assert_eq!(news(&mut played), [end]);
}

#[test]
fn what_is_not_understood_is_shown_and_requests_that_are_not_served_are_refused() {
    let mut played = asked();
    for bytes in
        [&b"hello"[..], b"[1, 2]", b"{\"jsonrpc\":\"2.0\"}", b"\xff{", b"{\"method\":\"x\"}"]
    {
        line(&mut played, bytes);
    }
    line(&mut played, b"   ");
    line(&mut played, br#"{"method":"_vendor/news","params":{}}"#);
    updates(&mut played, json!({"sessionUpdate": "plan", "entries": []}));
    updates(&mut played, json!({"sessionUpdate": "something_new"}));
    says(&mut played, &json!({"id": 99, "result": {}}));
    played.input(&AcpWire, Input::Oversize { stream: StreamName::Stdout, bytes: 5_000_000 });
    let shown = news(&mut played);
    let raw = shown.iter().filter(|line| line.starts_with("1 raw")).count();
    assert_eq!((shown.len(), raw), (8, 7), "{shown:?}");
    assert_eq!(shown[7], "1 oversize 5000000");

    says(&mut played, &json!({"id": "f", "method": "fs/read_text_file", "params": {"path": "x"}}));
    let refusal = &played.sent.last().expect("sent");
    assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&json!("f"), &json!(-32601)));
    answers_prompt(&mut played, 3, "end_turn");
    assert_eq!(news(&mut played), ["end 1 completed"]);
}

#[test]
fn updates_of_other_conversations_are_not_ours() {
    let mut played = asked();
    let content = json!({"type": "text", "text": "x"});
    let update = json!({"sessionUpdate": "agent_message_chunk", "content": content});
    let params = json!({"sessionId": "other", "update": update});
    says(&mut played, &json!({"method": "session/update", "params": params}));
    assert_eq!(news(&mut played), Vec::<String>::new());
}

#[test]
fn a_second_prompt_is_refused_while_the_first_is_under_way() {
    let mut played = asked();
    let prompt = Prompt::text("too");
    played.input(&AcpWire, Input::Prompt { turn: 2, prompt: &prompt });
    assert_eq!(news(&mut played), ["end 2 failed protocol \"another turn is under way\""]);
    answers_prompt(&mut played, 3, "end_turn");
    assert_eq!(news(&mut played), ["end 1 completed"]);
}

#[test]
fn it_is_told_what_the_agent_is_busy_with() {
    let mut played = ready();
    played.prompt(&AcpWire, "do it");
    writes(&mut played, "a");
    updates(&mut played, call("tool_call", "t1", json!({})));
    let ask = json!({"toolCall": {"toolCallId": "t1"},
                     "options": [{"optionId": "y", "kind": "allow_once"}]});
    let method = "session/request_permission";
    says(&mut played, &json!({"id": 0, "method": method, "params": ask}));
    updates(&mut played, call("tool_call_update", "t1", json!({"status": "completed"})));
    answers_prompt(&mut played, 3, "end_turn");
    let busy = script(&played.actions).into_iter();
    let busy = busy.filter_map(|line| Some(line.strip_prefix("activity ")?.to_owned()));
    let expected = ["thinking", "tool", "waitingapproval", "thinking", "idle"];
    assert_eq!(busy.collect::<Vec<_>>(), expected);
}
