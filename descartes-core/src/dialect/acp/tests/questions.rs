//! What the agent asks, and how it is answered.

use serde_json::{Value, json};

use super::{AcpWire, Played, answers, asked, last, news, says, updates};
use crate::dialect::acp::Acp;
use crate::dialect::{AskToken, Decision, Input};

fn asks(played: &mut Played<Acp>, id: Value, params: Value) {
    let mut request = json!({"jsonrpc": "2.0", "method": "session/request_permission"});
    (request["id"], request["params"]) = (id, params);
    says(played, &request);
}

fn shell() -> Value {
    let options = json!([
        {"optionId": "ever", "name": "Always allow", "kind": "allow_always"},
        {"optionId": "once", "name": "Allow", "kind": "allow_once"},
        {"optionId": "no", "name": "Reject", "kind": "reject_once"}]);
    json!({"sessionId": "s1", "options": options, "toolCall": {
        "toolCallId": "t1", "title": "rm\n -r x", "kind": "execute", "rawInput": {"command": "rm -r x"}}})
}

fn decide(played: &mut Played<Acp>, ask: u64, decision: &Decision) {
    played.input(&AcpWire, Input::Decide { ask: AskToken(ask), decision });
}

/// What was answered last.
fn answered(played: &Played<Acp>) -> String {
    let answer = &played.sent.last().expect("sent")["result"]["outcome"];
    let chosen = answer["optionId"].as_str().or(answer["outcome"].as_str());
    chosen.unwrap_or("nothing").to_owned()
}

#[test]
fn a_question_before_its_call_begins_the_call() {
    let mut played = asked();
    asks(&mut played, json!("q1"), shell());
    let ask = "ask 1 permission execute execute of t1 \"rm  -r x\" {\"command\":\"rm -r x\"} \
               [ever=AllowSession once=AllowOnce no=Deny] rule \"rm  -r x\"";
    let input = "1 input t1 \"\" {\"command\":\"rm -r x\"}";
    assert_eq!(news(&mut played), ["1 tool execute t1", input, ask]);
    decide(&mut played, 1, &Decision::AllowOnce);
    assert_eq!(played.sent.last().expect("sent")["id"], "q1");
    assert_eq!(answered(&played), "once");
    let end = json!({"sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "completed",
                     "rawOutput": "gone"});
    updates(&mut played, end);
    assert_eq!(news(&mut played), ["1 result t1 \"gone\""]);
    // Decided twice.
    let sent = played.sent.len();
    decide(&mut played, 1, &Decision::AllowOnce);
    assert_eq!(played.sent.len(), sent);
}

#[test]
fn each_decision_has_its_option() {
    let decisions = [
        (Decision::AllowOnce, "once"),
        (Decision::AllowSession, "once"),
        (Decision::Deny { message: Some("no".into()) }, "no"),
        (Decision::Cancel, "no"),
        (Decision::Option { id: "ever".into() }, "ever"),
        (Decision::Option { id: "unheard of".into() }, "no"),
        (Decision::Answer { text: "Reject".into() }, "no"),
        (Decision::Answer { text: "perhaps".into() }, "cancelled"),
    ];
    for (decision, option) in decisions {
        let mut played = asked();
        asks(&mut played, json!(7), shell());
        decide(&mut played, 1, &decision);
        assert_eq!(answered(&played), option, "{decision:?}");
        // A denied question lets the turn go on, to its own end.
        played.actions.clear();
        says(&mut played, &json!({"id": 3, "result": {"stopReason": "end_turn"}}));
        assert_eq!(news(&mut played).last().map(String::as_str), Some("end 1 completed"));
    }
}

#[test]
fn a_denied_call_of_which_its_agent_says_nothing_more_ends_when_the_model_goes_on() {
    let denied = |played: &mut Played<Acp>| {
        asks(played, json!("q1"), shell());
        decide(played, 1, &Decision::Deny { message: Some("not that".into()) });
        played.actions.clear();
    };
    // As Gemini 0.61.0 does it.
    let mut played = asked();
    denied(&mut played);
    super::writes(&mut played, "as you like");
    assert_eq!(
        news(&mut played),
        ["1 result t1 failed \"not that\"", "mark", "1 text[0] \"as you like\""]
    );
    let late = json!({"sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "failed"});
    updates(&mut played, late.clone());
    assert_eq!(news(&mut played), Vec::<String>::new());
    // One that tells is believed, and a turn that ends with it has told all.
    let mut played = asked();
    denied(&mut played);
    updates(&mut played, late);
    super::writes(&mut played, "x");
    assert_eq!(news(&mut played)[0], "1 result t1 failed \"\"");
    let mut played = asked();
    denied(&mut played);
    says(&mut played, &json!({"id": 3, "result": {"stopReason": "end_turn"}}));
    assert_eq!(news(&mut played), ["1 result t1 failed \"not that\"", "end 1 completed"]);
}

#[test]
fn options_that_lack_a_kind_are_made_do_with() {
    let only = |kind: &str| {
        let options = json!([{"optionId": "x", "kind": kind}]);
        json!({"options": options, "toolCall": {"toolCallId": "t1", "kind": "fetch"}})
    };
    for (kind, decision, said) in [
        ("allow_always", Decision::AllowOnce, "x"),
        ("allow_always", Decision::Deny { message: None }, "cancelled"),
        ("reject_always", Decision::Deny { message: None }, "x"),
        ("reject_always", Decision::AllowOnce, "cancelled"),
    ] {
        let mut played = asked();
        asks(&mut played, json!(7), only(kind));
        decide(&mut played, 1, &decision);
        assert_eq!(answered(&played), said, "{kind}");
    }
    let mut played = asked();
    asks(&mut played, json!(7), only("choice"));
    let call = r#"{"kind":"fetch","toolCallId":"t1"}"#;
    let ask =
        format!("ask 1 question fetch fetch of t1 \"fetch\" {call} [x=Answer] rule \"fetch\"");
    assert_eq!(news(&mut played), ["1 tool fetch t1".into(), ask]);
    decide(&mut played, 1, &Decision::Answer { text: "x".into() });
    assert_eq!(answered(&played), "x");
}

#[test]
fn an_edit_is_one_only_inside_of_the_working_directory() {
    let effect = |places: Value, path: &str| {
        let content = json!([{"type": "diff", "path": path, "newText": "x"}]);
        let call = json!({"toolCallId": "t1", "kind": "edit", "title": "Write", "locations": places,
                          "content": content});
        let mut played = asked();
        let options = json!([{"optionId": "y", "kind": "allow_once"}]);
        asks(&mut played, json!(1), json!({"toolCall": call, "options": options}));
        let told = news(&mut played).pop().unwrap_or_default();
        told.split(' ').nth(4).unwrap_or_default().to_owned()
    };
    let inside = json!([{"path": "/home/user/proj/a"}]);
    assert_eq!(effect(inside.clone(), "/home/user/proj/b"), "edit");
    assert_eq!(effect(json!([]), "b"), "edit");
    assert_eq!(effect(inside, "/etc/passwd"), "other");
    assert_eq!(effect(json!([{"path": "/home/user/project"}]), "b"), "other");
    assert_eq!(effect(json!([]), "../b"), "other");
}

#[test]
fn a_cancel_answers_what_is_open_and_what_comes_after_it() {
    let mut played = asked();
    asks(&mut played, json!("q1"), shell());
    played.actions.clear();
    played.input(&AcpWire, Input::Cancel { turn: 1 });
    assert_eq!(answered(&played), "cancelled");
    let before = &played.sent[played.sent.len() - 2];
    assert_eq!(before["method"], "session/cancel");
    assert_eq!(news(&mut played), ["withdraw 1"]);
    asks(&mut played, json!("q2"), shell());
    assert_eq!(played.sent.last().expect("sent")["id"], "q2");
    assert_eq!(answered(&played), "cancelled");
    decide(&mut played, 1, &Decision::AllowOnce);
    assert_eq!(answered(&played), "cancelled");
    assert_eq!(news(&mut played), Vec::<String>::new());
}

#[test]
fn a_question_that_nobody_waits_for_is_withdrawn() {
    let mut played = asked();
    asks(&mut played, json!("q1"), shell());
    played.actions.clear();
    says(&mut played, &json!({"method": "$/cancel_request", "params": {"requestId": "q1"}}));
    assert_eq!(played.sent.last().expect("sent")["error"]["code"], -32800);
    assert_eq!(news(&mut played), ["withdraw 1"]);

    asks(&mut played, json!("q2"), shell());
    played.actions.clear();
    let end = json!({"sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "failed"});
    updates(&mut played, end);
    assert_eq!(news(&mut played), ["withdraw 2", "1 result t1 failed \"\""]);

    let mut played = asked();
    asks(&mut played, json!("q1"), shell());
    says(&mut played, &json!({"id": 3, "result": {"stopReason": "end_turn"}}));
    assert_eq!(answered(&played), "cancelled");
    played.actions.clear();
    decide(&mut played, 1, &Decision::AllowOnce);
    assert_eq!(news(&mut played), Vec::<String>::new());
}

#[test]
fn a_question_that_cannot_be_asked_is_answered_all_the_same() {
    let mut played = asked();
    asks(&mut played, json!(1), json!({"options": []}));
    assert_eq!(played.sent.last().expect("sent")["error"]["code"], -32602);
    asks(&mut played, json!(2), json!({"toolCall": {"toolCallId": "t1"}, "options": []}));
    assert_eq!(answered(&played), "cancelled");
    assert_eq!(last(&played), None);
    says(&mut played, &json!({"id": 3, "result": {"stopReason": "end_turn"}}));
    asks(&mut played, json!(4), shell());
    assert_eq!(answered(&played), "cancelled");
    played.prompt(&AcpWire, "next");
    answers(&mut played, json!({"stopReason": "end_turn"}));
    assert_eq!(news(&mut played), ["end 1 completed", "end 2 completed"]);
}
