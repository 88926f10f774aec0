//! What waits: prompts for the program, cancels for their effect.

use super::*;
use crate::limits;

#[test]
fn a_prompt_waits_for_the_handshake() {
    let mut played = opened();
    assert_eq!(played.sent[0]["request"], json!({"subtype": "initialize", "hooks": null}));
    played.prompt(&Spoken, "hello");
    assert_eq!(played.sent.len(), 1);
    assert_eq!(after(&mut played, [greeting()]), ["ready turns resume approvals cancel models"]);
    assert_eq!(played.sent[1]["message"]["content"][0]["text"], "hello");
    assert_eq!(after(&mut played, [greeting()]), [""; 0]);
}

#[test]
fn a_handshake_that_is_refused_or_forgotten_fails_every_prompt() {
    let mut played = opened();
    played.prompt(&Spoken, "hello");
    let refusal = json!({"type": "control_response", "response": {
        "subtype": "error", "request_id": "descartes-1", "error": "not today"}});
    let refused = r#"failed protocol "the program refuses the handshake: not today""#;
    assert_eq!(
        after(&mut played, [refusal]),
        [format!("end 1 {refused}"), "close stdin".to_owned()]
    );
    played.prompt(&Spoken, "again");
    assert_eq!(ends(&played)[1], format!("end 2 {refused}"));

    let mut played = opened();
    played.prompt(&Spoken, "hello");
    let forgotten = [
        r#"end 1 failed stalled "the program did not answer the handshake in time""#,
        "close stdin",
    ];
    assert_eq!(waited(&mut played, limits::CLAUDE_HANDSHAKE), forgotten);
    assert_eq!(waited(&mut played, limits::CLAUDE_LEAVES), ["signal terminate"]);
    assert_eq!(played.dialect.deadline(), None);
    // An answer that is too late is none.
    assert_eq!(after(&mut played, [greeting()]), [""; 0]);
    played.prompt(&Spoken, "again");
    assert_eq!((ends(&played).len(), played.sent.len()), (2, 1));
}

#[test]
fn a_prompt_that_was_not_sent_is_cancelled_at_once() {
    let mut played = opened();
    played.prompt(&Spoken, "hello");
    assert_eq!(given(&mut played, Input::Cancel { turn: 1 }), ["end 1 cancelled"]);
    after(&mut played, [greeting()]);
    assert_eq!(played.sent.len(), 1);
}

#[test]
fn a_cancel_without_its_turn_does_nothing() {
    let mut played = ready();
    assert_eq!(given(&mut played, Input::Cancel { turn: 1 }), [""; 0]);
    played.prompt(&Spoken, "one");
    after(&mut played, [init(), result("done")]);
    played.prompt(&Spoken, "two");
    assert_eq!(given(&mut played, Input::Cancel { turn: 1 }), [""; 0]);
    assert_eq!(played.sent.len(), 2);
}

#[test]
fn a_cancel_that_is_not_confirmed_becomes_a_signal_and_the_turn_ends_with_the_process() {
    let mut played = begun();
    given(&mut played, Input::Cancel { turn: 1 });
    assert_eq!(played.sent[0]["request"], json!({"subtype": "interrupt"}));
    assert_eq!(waited(&mut played, limits::CLAUDE_INTERRUPT_AGAIN), [""; 0]);
    assert_eq!(played.sent.len(), 2, "it is asked again, once");
    let rest = limits::CLAUDE_INTERRUPT;
    assert_eq!(waited(&mut played, rest), ["signal interrupt"]);
    assert_eq!(waited(&mut played, 10 * rest), [""; 0]);
    assert_eq!(played.dialect.deadline(), None);
    // It says that the turn is over, and is on its way out: no prompt may be sent to it.
    let closing = json!({"type": "result", "subtype": "error_during_execution", "is_error": true,
        "terminal_reason": "aborted_streaming"});
    assert_eq!(after(&mut played, [closing]), [""; 0]);
    let gone = Input::Ended { code: Some(0), signal: None };
    assert_eq!(given(&mut played, gone), ["end 1 cancelled"]);
}

#[test]
fn an_answer_that_was_quicker_than_the_cancel_is_an_answer() {
    let mut played = begun();
    given(&mut played, Input::Cancel { turn: 1 });
    assert_eq!(after(&mut played, [result("done")]), [r#"1 text[0] "done""#, "end 1 completed"]);
}

#[test]
fn a_prompt_waits_for_what_the_program_began_itself() {
    let mut played = ready();
    let woken = json!({"type": "system", "subtype": "task_notification", "task_id": "t"});
    after(&mut played, [woken.clone(), init(), whole("m-1", "mine")]);
    played.prompt(&Spoken, "one");
    assert!(played.sent.is_empty());
    let told = after(&mut played, [piece("x"), result("mine")]);
    assert_eq!((told.len(), played.sent.len()), (0, 1));
    after(&mut played, [init(), result("done")]);
    assert_eq!(ends(&played), ["end 1 completed"]);

    // It did not begin anything.
    after(&mut played, [woken]);
    played.prompt(&Spoken, "two");
    assert_eq!(played.sent.len(), 1);
    waited(&mut played, limits::CLAUDE_OWN_WORK_BEGINS);
    assert_eq!(played.sent.len(), 2);
    after(&mut played, [init(), result("done")]);

    // It does not end.
    after(&mut played, [init()]);
    played.prompt(&Spoken, "three");
    waited(&mut played, limits::CLAUDE_OWN_WORK);
    assert_eq!(
        ends(&played)[2],
        r#"end 3 failed stalled "the program is busy with work that it began by itself""#
    );
}

#[test]
fn what_the_program_began_before_it_read_the_prompt_is_not_the_prompt_s() {
    let mut played = ready();
    played.prompt(&Spoken, "one");
    let woken = json!({"type": "system", "subtype": "task_notification", "task_id": "t"});
    let own = [woken, init(), message("m-1"), piece("mine"), result("mine")];
    assert_eq!(after(&mut played, own), ["session s-1"]);
    let told = after(&mut played, [init(), message("m-2"), piece("yours"), result("yours")]);
    assert_eq!(told, ["mark", r#"1 text[0] "yours""#, "end 1 completed"]);
}
