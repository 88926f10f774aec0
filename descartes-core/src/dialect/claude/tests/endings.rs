//! How turns end, and what stands of their text.

use super::*;
use crate::limits;

#[test]
fn a_process_that_ends_in_the_middle_interrupts_its_turn() {
    let mut played = begun();
    let complaint = b"fatal: out of memory";
    let stream = crate::event::StreamName::Stderr;
    given(&mut played, Input::Line { stream, bytes: complaint });
    after(&mut played, [message("m-1"), piece("half an ans")]);
    assert_eq!(
        given(&mut played, Input::Ended { code: Some(0), signal: None }),
        [r#"end 1 interrupted agent_crashed "fatal: out of memory""#]
    );
    assert_eq!(played.text(1), "half an ans");

    let mut played = begun();
    assert_eq!(
        given(&mut played, Input::Ended { code: None, signal: Some(9) }),
        [r#"end 1 interrupted agent_crashed "the program was ended by signal 9""#]
    );
}

#[test]
fn an_interruption_that_nobody_asked_for_is_no_cancellation() {
    let mut played = begun();
    let closing = json!({"type": "result", "subtype": "error_during_execution", "is_error": true,
        "terminal_reason": "aborted_tools"});
    assert_eq!(
        after(&mut played, [closing]),
        [r#"end 1 interrupted agent_crashed "somebody else interrupted the program""#]
    );
}

#[test]
fn errors_have_their_kind() {
    let failed = |word: &str, text: &str| {
        let mut played = begun();
        let told = json!({"type": "assistant", "error": word, "message": {"id": "x",
            "model": "<synthetic>", "content": [{"type": "text", "text": text}]}});
        // Even when the program then calls it a success.
        let end = after(&mut played, [told, result(text)]).pop().expect("an end");
        end.split(' ').nth(3).expect("a kind").to_owned()
    };
    assert_eq!(failed("authentication_failed", "x"), "agent_auth");
    assert_eq!(failed("billing_error", "Credit balance is too low"), "budget");
    assert_eq!(failed("rate_limit", "You've hit your limit"), "rate_limited");
    assert_eq!(failed("invalid_request", "Prompt is too long"), "context_full");
    assert_eq!(failed("server_error", "API Error: 500"), "model_error");
}

#[test]
fn a_turn_is_closed_once() {
    let mut played = begun();
    let mut closing = result("done");
    closing["uuid"] = "u-1".into();
    let again = closing.clone();
    assert_eq!(after(&mut played, [closing]), [r#"1 text[0] "done""#, "end 1 completed"]);
    played.prompt(&Spoken, "next");
    assert_eq!(after(&mut played, [again]), [""; 0]);
    after(&mut played, [init(), result("done")]);
    assert_eq!(ends(&played).len(), 2);
    assert_eq!(after(&mut played, [result("done"), whole("m", "late")]).len(), 1);
}

#[test]
fn a_final_text_that_was_not_streamed_is_said() {
    let streamed = || [message("m-1"), piece("Hello, "), piece("world")];
    let stop = event(json!({"type": "message_stop"}));
    let mut played = begun();
    after(&mut played, streamed());
    assert_eq!(after(&mut played, [stop.clone(), result("Hello, world")]), ["end 1 completed"]);

    let mut played = begun();
    after(&mut played, streamed());
    assert_eq!(
        after(&mut played, [stop.clone(), result("Hello, world!")]),
        [r#"1 text[0] "!""#, "end 1 completed"]
    );

    let mut played = begun();
    after(&mut played, streamed());
    assert_eq!(
        after(&mut played, [stop, result("Something else")]),
        [r#"1 text[1] "Something else""#, "end 1 completed"]
    );
}

#[test]
fn a_repetition_that_says_more_says_the_rest() {
    let mut played = begun();
    after(&mut played, [message("m-1"), piece("Hello, ")]);
    assert_eq!(after(&mut played, [whole("m-1", "Hello, world")]), [r#"1 text[0] "world""#]);
    assert_eq!(after(&mut played, [whole("m-1", "Bye")]), [r#"1 text[0] "Bye""#]);
}

#[test]
fn an_attempt_that_died_is_withdrawn_however_the_next_one_comes() {
    let dead = || [message("m-1"), piece("dead ")];
    // As a message of its own in pieces.
    let mut played = begun();
    after(&mut played, dead());
    assert_eq!(
        after(&mut played, [message("m-2"), piece("alive"), whole("m-2", "alive")]),
        ["retract", "mark", r#"1 text[0] "alive""#]
    );
    // As a message of its own that is not streamed.
    let mut played = begun();
    after(&mut played, dead());
    assert_eq!(
        after(&mut played, [whole("m-2", "alive"), whole("m-2", " and well")]),
        ["retract", "mark", r#"1 text[0] "alive and well""#]
    );
    assert_eq!(played.text(1), "alive and well");
    // Under its own name.
    let mut played = begun();
    after(&mut played, dead());
    assert_eq!(after(&mut played, [whole("m-1", "alive")]), ["retract", r#"1 text[0] "alive""#]);
    // Announced.
    let mut played = begun();
    after(&mut played, dead());
    let retry = json!({"type": "system", "subtype": "api_retry", "error_status": 529});
    assert_eq!(after(&mut played, [retry]), ["retract"]);
    assert_eq!(
        after(&mut played, [message("m-2"), piece("alive"), whole("m-2", "alive")]),
        ["mark", r#"1 text[0] "alive""#]
    );
}

#[test]
fn a_thought_that_was_confirmed_comes_again_with_the_attempt_that_lives() {
    let thought = |stop: Value, text: &str| {
        json!({"type": "assistant", "message": {"id": "m-1", "stop_reason": stop,
            "content": [{"type": "thinking", "thinking": text}]}})
    };
    let thinking = event(json!({"type": "content_block_delta", "index": 1,
        "delta": {"type": "thinking_delta", "thinking": "hm"}}));
    let mut played = begun();
    after(&mut played, [message("m-1"), thinking, thought(Value::Null, "hm"), piece("dead ")]);
    let mut answer = whole("m-1", "alive");
    answer["message"]["stop_reason"] = "end_turn".into();
    assert_eq!(
        after(&mut played, [thought("end_turn".into(), "hm"), answer, result("alive")]),
        ["retract", r#"1 thinking[0] "hm""#, r#"1 text[0] "alive""#, "end 1 completed"]
    );
}

#[test]
fn a_closing_line_that_is_too_long_closes_the_turn_all_the_same() {
    let stops = |reason: &str| {
        event(json!({"type": "message_delta", "usage": {"output_tokens": 5},
        "delta": {"stop_reason": reason}}))
    };
    let stop = event(json!({"type": "message_stop"}));
    let oversize =
        || Input::Oversize { stream: crate::event::StreamName::Stdout, bytes: 2_000_000 };
    let mut played = begun();
    after(&mut played, [message("m-1"), piece("long"), stops("end_turn"), stop.clone()]);
    assert_eq!(given(&mut played, oversize()), ["1 oversize 2000000"]);
    assert_eq!(waited(&mut played, limits::CLAUDE_LOST_END), ["end 1 completed out=5"]);

    // What is too long may be what a tool gave.
    let mut played = begun();
    after(&mut played, [message("m-1"), piece("long"), stops("tool_use"), stop]);
    given(&mut played, oversize());
    assert_eq!(waited(&mut played, 2 * limits::CLAUDE_LOST_END), [""; 0]);
    assert_eq!(after(&mut played, [result("long")]), ["end 1 completed out=5"]);
}

#[test]
fn sub_agents_speak_for_themselves() {
    let under = |mut line: Value| {
        line["parent_tool_use_id"] = "call-1".into();
        line
    };
    let call = json!({"type": "assistant", "message": {"id": "m-1", "content": [
        {"type": "tool_use", "id": "call-1", "name": "Agent", "input": {}}]}});
    let inner = json!({"type": "assistant", "message": {"id": "s-1", "content": [
        {"type": "tool_use", "id": "call-2", "name": "Read", "input": {"file_path": "x"}}]}});
    let gave = |id: &str| {
        json!({"type": "user", "message": {"content": [
        {"type": "tool_result", "tool_use_id": id, "content": [{"type": "image"}]}]}})
    };
    let mut played = begun();
    let told = after(
        &mut played,
        [
            call,
            under(whole("s-0", "I look.")),
            under(inner),
            under(gave("call-2")),
            under(whole("s-2", "Seen.")),
            gave("call-1"),
            gave("call-1"),
            gave("call-3"),
            result("Seen by another."),
        ],
    );
    assert_eq!(
        told[..9],
        [
            "mark",
            "1 tool Agent call-1",
            "1 input call-1 \"\" {}",
            "activity tool",
            r#"1<call-1> text[0] "I look.""#,
            "1<call-1> tool Read call-2",
            r#"1<call-1> input call-2 "" {"file_path":"x"}"#,
            r#"1<call-1> result call-2 "[image]""#,
            r#"1<call-1> text[1] "Seen.""#,
        ]
    );
    assert_eq!(told[9], r#"1 result call-1 "[image]""#);
    assert!(told[10].starts_with("1 raw "), "a result of no call: {told:#?}");
    assert_eq!(played.text(1), "Seen by another.");
}

#[test]
fn arguments_that_nobody_said_whole_are_put_together() {
    let begins = event(json!({"type": "content_block_start", "index": 0,
        "content_block": {"type": "tool_use", "id": "call-1", "name": "Bash", "input": {}}}));
    let piece = |json: &str| {
        event(json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": json}}))
    };
    let stop = event(json!({"type": "message_stop"}));
    let mut played = begun();
    let lines = [message("m-1"), begins, piece(r#"{"comm"#), piece(r#"and":"ls"}"#), stop];
    assert_eq!(
        after(&mut played, lines).last().expect("the whole"),
        r#"1 input call-1 "" {"command":"ls"}"#
    );
}
