//! How turns end, and what happens when they do not.

use serde_json::json;

use super::talk::{Talk, plain};
use crate::dialect::{Dialect, Input};
use crate::event::StreamName;

const INTERRUPT: &str =
    r#"{"id":4,"method":"turn/interrupt","params":{"threadId":"th","turnId":"tu"}}"#;

#[test]
fn a_turn_that_is_cancelled_is_interrupted_at_once_and_the_next_one_works() {
    let mut talk = Talk::busy(&plain());
    talk.input(Input::Cancel { turn: 1 });
    assert_eq!(talk.did(), [INTERRUPT]);
    talk.says(&json!({"id": 4, "result": {}}));
    assert_eq!(talk.did(), [""; 0]);
    talk.completes("interrupted", &json!(null));
    assert_eq!(talk.did(), ["end 1 cancelled"]);
    assert_eq!(talk.codex.deadline(), None);
    talk.prompt(2);
    talk.says(&json!({"id": 5, "result": {"turn": {"id": "tu"}}}));
    talk.did();
    talk.completes("completed", &json!(null));
    assert_eq!(talk.did(), ["end 2 completed"]);
}

#[test]
fn a_command_that_outlives_the_cancel_of_its_turn_is_ended() {
    let mut talk = Talk::busy(&plain());
    let command = json!({"type": "commandExecution", "id": "c1", "command": "sleep 300",
                         "status": "inProgress"});
    talk.tells("item/started", json!({"item": command}));
    talk.input(Input::Cancel { turn: 1 });
    talk.says(&json!({"id": 4, "result": {}}));
    talk.did();
    talk.completes("interrupted", &json!(null));
    let clean =
        r#"{"id":5,"method":"thread/backgroundTerminals/clean","params":{"threadId":"th"}}"#;
    assert_eq!(talk.did(), [clean, "end 1 cancelled"]);
    // Also one that does not know the method.
    talk.says(&json!({"id": 5, "error": {"code": -32600, "message": "unknown"}}));
    let late = json!({"type": "commandExecution", "id": "c1", "command": "sleep 300",
                      "status": "failed", "exitCode": 137});
    talk.tells("item/completed", json!({"turnId": "tu", "item": late}));
    assert_eq!(talk.did(), [""; 0]);
}

#[test]
fn a_cancel_that_comes_before_the_turn_has_a_name_waits_for_it() {
    let mut talk = Talk::ready(&plain());
    talk.prompt(1);
    talk.did();
    talk.input(Input::Cancel { turn: 1 });
    assert_eq!(talk.did(), [""; 0]);
    talk.says(&json!({"id": 3, "result": {"turn": {"id": "tu"}}}));
    assert_eq!(talk.did(), [INTERRUPT]);
    talk.tells("turn/started", json!({"turn": {"id": "tu"}}));
    assert_eq!(talk.did(), [""; 0]);
}

#[test]
fn the_name_of_a_turn_is_known_from_its_beginning_too() {
    let mut talk = Talk::ready(&plain());
    talk.prompt(1);
    talk.did();
    talk.tells("turn/started", json!({"turn": {"id": "tu"}}));
    talk.input(Input::Cancel { turn: 1 });
    assert_eq!(talk.did(), [INTERRUPT]);
}

#[test]
fn a_program_that_does_not_confirm_gets_one_signal_and_the_turn_stays_cancelled() {
    let mut talk = Talk::busy(&plain());
    talk.input(Input::Cancel { turn: 1 });
    talk.did();
    talk.wait(4);
    assert_eq!(talk.did(), [""; 0]);
    talk.wait(60);
    assert_eq!(talk.did(), ["signal interrupt"]);
    talk.input(Input::Ended { code: None, signal: Some(2) });
    assert_eq!(talk.did(), ["end 1 cancelled"]);
}

#[test]
fn a_cancel_of_no_turn_or_of_one_that_is_over_does_nothing() {
    let mut talk = Talk::busy(&plain());
    talk.input(Input::Cancel { turn: 7 });
    talk.completes("completed", &json!(null));
    talk.input(Input::Cancel { turn: 1 });
    assert_eq!(talk.did(), ["end 1 completed"]);
}

#[test]
fn what_the_program_says_of_a_cancelled_turn_is_believed() {
    let mut talk = Talk::busy(&plain());
    talk.input(Input::Cancel { turn: 1 });
    talk.did();
    talk.completes("completed", &json!(null));
    assert_eq!(talk.did(), ["end 1 completed"]);
}

#[test]
fn a_turn_that_nobody_cancelled_is_not_cancelled() {
    let mut talk = Talk::busy(&plain());
    talk.completes("interrupted", &json!(null));
    let end = "end 1 interrupted model_error \"the program interrupted the turn\"";
    assert_eq!(talk.did(), [end]);
}

#[test]
fn a_turn_ends_once() {
    let mut talk = Talk::busy(&plain());
    talk.completes("completed", &json!(null));
    talk.completes("completed", &json!(null));
    talk.completes("failed", &json!({"message": "late"}));
    talk.tells("item/agentMessage/delta", json!({"itemId": "i", "delta": "late"}));
    talk.tells("error", json!({"error": {"message": "late"}, "willRetry": true}));
    talk.input(Input::Ended { code: Some(0), signal: None });
    assert_eq!(talk.did(), ["end 1 completed"]);
}

#[test]
fn errors_are_told_apart_and_say_what_to_do() {
    let sign_in = "hint \"sign in with `codex login`, or set the variable that its model provider \
                   takes the key from\"";
    let unauthorized = format!("agent_auth \"m\" {sign_in}");
    let cases = [
        (json!("unauthorized"), &*unauthorized),
        (json!({"httpConnectionFailed": {"httpStatusCode": 401}}), &*unauthorized),
        (json!({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}), "rate_limited \"m\""),
        (json!("usageLimitExceeded"), "rate_limited \"m\""),
        (json!("serverOverloaded"), "rate_limited \"m\""),
        (json!("contextWindowExceeded"), "context_full \"m\" hint \"begin a new conversation\""),
        (json!("sessionBudgetExceeded"), "budget \"m\""),
        (json!("other"), "model_error \"m\""),
        (json!({"activeTurnNotSteerable": {"turnKind": "review"}}), "model_error \"m\""),
        (json!(null), "model_error \"m\""),
        (json!([1, {"x": 2}]), "model_error \"m\""),
    ];
    for (info, words) in cases {
        let mut talk = Talk::busy(&plain());
        talk.completes("failed", &json!({"message": "m", "codexErrorInfo": info}));
        assert_eq!(talk.did(), [format!("end 1 failed {words}")]);
    }
}

#[test]
fn a_failure_that_is_not_described_is_the_last_error() {
    let mut talk = Talk::busy(&plain());
    let error = json!({"message": "lost", "additionalDetails": "it broke"});
    talk.tells("error", json!({"error": error, "willRetry": false}));
    talk.completes("failed", &json!(null));
    assert_eq!(talk.did(), ["end 1 failed model_error \"lost: it broke\""]);
}

#[test]
fn a_long_error_is_cut() {
    let mut talk = Talk::busy(&plain());
    talk.completes("failed", &json!({"message": "é".repeat(5000)}));
    let did = talk.did();
    assert!(did[0].starts_with("end 1 failed model_error \"éé"));
    assert!((2000..2200).contains(&did[0].len()), "{}", did[0].len());
}

#[test]
fn a_turn_that_is_over_without_a_word_ends_all_the_same() {
    let mut talk = Talk::busy(&plain());
    talk.tells("thread/status/changed", json!({"status": {"type": "idle"}}));
    talk.wait(9);
    assert_eq!(talk.did(), [""; 0]);
    talk.wait(2);
    let end = "end 1 interrupted protocol \"the program stopped the turn and did not say how it \
               ended\"";
    assert_eq!(talk.did(), [end]);
    let mut talk = Talk::busy(&plain());
    talk.tells("error", json!({"error": {"message": "all is lost"}, "willRetry": false}));
    talk.wait(11);
    assert_eq!(talk.did(), ["end 1 failed model_error \"all is lost\""]);
}

#[test]
fn a_turn_that_goes_on_after_all_is_not_ended() {
    let mut talk = Talk::busy(&plain());
    talk.tells("thread/status/changed", json!({"status": {"type": "idle"}}));
    talk.tells("thread/status/changed", json!({"status": {"type": "active"}}));
    talk.wait(600);
    assert_eq!(talk.did(), [""; 0]);
}

#[test]
fn a_prompt_that_is_refused_fails_and_one_that_is_not_taken_fails_after_a_minute() {
    let mut talk = Talk::ready(&plain());
    talk.prompt(1);
    talk.did();
    talk.says(&json!({"id": 3, "error": {"message": "thread is closing"}}));
    let end = "end 1 failed protocol \"turn/start: thread is closing\"";
    assert_eq!(talk.did(), [end]);
    talk.prompt(2);
    talk.did();
    talk.wait(61);
    let end = "end 2 failed stalled \"the program does not take the prompt\"";
    assert_eq!(talk.did(), [end, "close stdin"]);
}

#[test]
fn a_process_that_ends_in_the_middle_interrupts_the_turn() {
    let mut talk = Talk::busy(&plain());
    talk.complains("panicked at src/x.rs");
    talk.input(Input::Ended { code: Some(101), signal: None });
    let end = "end 1 interrupted agent_crashed \"panicked at src/x.rs\"";
    assert_eq!(talk.did(), [end]);
    let mut talk = Talk::busy(&plain());
    talk.input(Input::Ended { code: None, signal: Some(9) });
    let end = "end 1 interrupted agent_crashed \"the program was ended by signal 9\"";
    assert_eq!(talk.did(), [end]);
    let mut talk = Talk::busy(&plain());
    talk.input(Input::Ended { code: Some(0), signal: None });
    let end = "end 1 interrupted agent_crashed \"the program ended with exit code 0\"";
    assert_eq!(talk.did(), [end]);
}

#[test]
fn a_program_that_closes_its_output_is_told_to_end() {
    let mut talk = Talk::busy(&plain());
    talk.input(Input::Eof { stream: StreamName::Stdout });
    assert_eq!(talk.did(), ["close stdin"]);
    talk.wait(11);
    assert_eq!(talk.did().len(), 1);
    let mut talk = Talk::busy(&plain());
    talk.input(Input::Eof { stream: StreamName::Stderr });
    assert_eq!(talk.did(), [""; 0]);
}

#[test]
fn a_turn_has_no_more_rounds_with_the_model_than_it_may() {
    let mut spec = plain();
    spec.max_turns = Some(2);
    let mut talk = Talk::busy(&spec);
    let used = |talk: &mut Talk, total: u32| {
        let tokens = json!({"inputTokens": total, "cachedInputTokens": 0, "outputTokens": total});
        talk.tells("thread/tokenUsage/updated", json!({"tokenUsage": {"total": tokens}}));
    };
    let tool = |talk: &mut Talk, id: &str| {
        let item = json!({"type": "commandExecution", "id": id, "status": "completed"});
        talk.tells("item/completed", json!({"item": item}));
    };
    tool(&mut talk, "a");
    used(&mut talk, 5);
    used(&mut talk, 5);
    tool(&mut talk, "b");
    talk.did();
    used(&mut talk, 9);
    assert_eq!(talk.did(), ["1 usage in=9 cached=0 out=9", INTERRUPT]);
    talk.completes("interrupted", &json!(null));
    let end = "end 1 failed in=9 cached=0 out=9 budget \"the turn took 2 rounds with the model, as \
               many as it may\"";
    assert_eq!(talk.did(), [end]);
}
