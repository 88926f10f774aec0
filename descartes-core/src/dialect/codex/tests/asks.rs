//! What the program asks, and how it is answered.

use serde_json::{Value, json};

use super::talk::{Talk, plain};
use crate::dialect::Decision;

const COMMAND: &str = "item/commandExecution/requestApproval";
const CHANGE: &str = "item/fileChange/requestApproval";

fn deny() -> Decision {
    Decision::Deny { message: Some("no".into()) }
}

#[test]
fn a_command_is_asked_about_with_all_that_it_would_run() {
    let mut talk = Talk::busy(&plain());
    let command = "/bin/bash -lc 'sleep 1; rm -r .'";
    let proposed = json!(["sleep", "1"]);
    let asked = json!({
        "kind": "command", "itemId": "c", "command": command, "cwd": "/proj", "reason": "because",
        "proposedExecpolicyAmendment": proposed,
    });
    talk.asks(0, COMMAND, asked.clone());
    talk.asks(0, COMMAND, asked);
    let arguments = r#"{"command":"/bin/bash -lc 'sleep 1; rm -r .'","cwd":"/proj"}"#;
    assert_eq!(
        talk.did(),
        [format!(
            "ask 1 permission commandexecution execute of c \"{command} (because)\" {arguments} \
         [accept=AllowOnce decline=Deny] rule {arguments:?}"
        )]
    );
}

#[test]
fn every_decision_has_its_word() {
    let option = |id: &str| Decision::Option { id: id.into() };
    let cases = [
        (Decision::AllowOnce, "accept"),
        (Decision::AllowSession, "accept"),
        (deny(), "decline"),
        (option("accept"), "accept"),
        (option("decline"), "decline"),
        (option("nonsense"), "decline"),
        (Decision::Answer { text: "accept".into() }, "decline"),
    ];
    for (decision, word) in cases {
        let mut talk = Talk::busy(&plain());
        talk.asks(9, COMMAND, json!({"itemId": "c", "command": "ls"}));
        talk.did();
        talk.decide(1, &decision);
        talk.decide(1, &Decision::AllowOnce);
        assert_eq!(talk.did(), [format!(r#"{{"id":9,"result":{{"decision":"{word}"}}}}"#)]);
    }
}

#[test]
fn a_question_that_is_cancelled_is_denied_and_the_turn_is_stopped() {
    let mut talk = Talk::busy(&plain());
    talk.asks(9, COMMAND, json!({"itemId": "c", "command": "ls"}));
    talk.did();
    talk.decide(1, &Decision::Cancel);
    talk.input(crate::dialect::Input::Cancel { turn: 1 });
    talk.completes("interrupted", &json!(null));
    assert_eq!(
        talk.did(),
        [
            r#"{"id":9,"result":{"decision":"cancel"}}"#,
            r#"{"id":4,"method":"turn/interrupt","params":{"threadId":"th","turnId":"tu"}}"#,
            "end 1 cancelled",
        ]
    );
}

fn change(path: &str, asked: Value) -> String {
    let mut talk = Talk::busy(&plain());
    let changes = json!([{"path": path, "kind": {"type": "add"}, "diff": "x"}]);
    let item = json!({"type": "fileChange", "id": "f", "changes": changes, "status": "inProgress"});
    talk.tells("item/started", json!({"item": item}));
    talk.did();
    talk.asks(1, CHANGE, asked);
    talk.did().join("|")
}

#[test]
fn a_change_of_files_is_asked_about_with_the_change_and_is_an_edit_only_inside() {
    let asked = json!({"itemId": "f", "reason": null, "grantRoot": null});
    let changes = |path: &str| {
        format!(r#"{{"changes":[{{"diff":"x","kind":{{"type":"add"}},"path":"{path}"}}]}}"#)
    };
    let inside = "/proj/src/a.rs";
    assert_eq!(
        change(inside, asked.clone()),
        format!(
            "ask 1 permission filechange edit of f \"change {inside}\" {} \
         [accept=AllowOnce decline=Deny] rule {inside:?}",
            changes(inside)
        )
    );
    for outside in ["/etc/passwd", "/proj/../etc/passwd", "/project/a"] {
        assert!(change(outside, asked.clone()).contains(" filechange other of f "));
    }
    let root = json!({"itemId": "f", "grantRoot": "/proj"});
    assert!(change(inside, root).contains(r#" filechange other of f "change /proj/src/a.rs" {"#));
}

#[test]
fn a_change_that_nobody_knows_is_like_no_other() {
    let asked = change("/proj/a", json!({"itemId": "g"}));
    assert!(asked.contains(r#"other of g "change files" {"itemId":"g"}"#), "{asked}");
    assert!(asked.ends_with(r#"rule "{\"itemId\":\"g\"}""#), "{asked}");
}

#[test]
fn permissions_are_granted_as_they_were_asked_for_or_not_at_all() {
    let wanted = json!({"network": {"enabled": true}});
    for (decision, answer) in [
        (Decision::AllowOnce, r#"{"permissions":{"network":{"enabled":true}},"scope":"turn"}"#),
        (deny(), r#"{"permissions":{},"scope":"turn"}"#),
    ] {
        let mut talk = Talk::busy(&plain());
        let asked = json!({"itemId": "p", "cwd": "/proj", "permissions": wanted, "reason": "r"});
        talk.asks(1, "item/permissions/requestApproval", asked);
        let ask = talk.did();
        assert!(ask[0].starts_with("ask 1 permission permissions other of p"), "{ask:?}");
        talk.decide(1, &decision);
        assert_eq!(talk.did(), [format!(r#"{{"id":1,"result":{answer}}}"#)]);
    }
}

#[test]
fn what_a_server_of_tools_asks_is_a_permission_unless_it_wants_a_form_filled_in() {
    let method = "mcpServer/elicitation/request";
    let schema = json!({"type": "object", "properties": {}});
    let asked = json!({"serverName": "fs", "mode": "form", "message": "Run it?", "requestedSchema": schema});
    for (decision, answer) in [
        (Decision::AllowOnce, r#"{"action":"accept","content":{}}"#),
        (deny(), r#"{"action":"decline"}"#),
    ] {
        let mut talk = Talk::busy(&plain());
        talk.asks(1, method, asked.clone());
        assert!(talk.did()[0].starts_with("ask 1 permission fs other \"Run it?\""));
        talk.decide(1, &decision);
        assert_eq!(talk.did(), [format!(r#"{{"id":1,"result":{answer}}}"#)]);
    }
    let mut talk = Talk::busy(&plain());
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    talk.asks(1, method, json!({"serverName": "fs", "mode": "form", "requestedSchema": schema}));
    talk.asks(2, method, json!({"serverName": "fs", "mode": "url", "url": "https://x.example"}));
    assert_eq!(
        talk.did(),
        [r#"{"id":1,"result":{"action":"decline"}}"#, r#"{"id":2,"result":{"action":"decline"}}"#,]
    );
}

#[test]
fn questions_to_a_person_come_one_by_one_and_are_answered_together() {
    let questions = json!([
        {"id": "q1", "header": "H", "question": "Which?", "options": [{"label": "A", "description": ""}]},
        {"id": "q2", "header": "H", "question": "Why?", "options": null},
    ]);
    let mut talk = Talk::busy(&plain());
    talk.asks(1, "item/tool/requestUserInput", json!({"itemId": "i", "questions": questions}));
    talk.decide(1, &Decision::Option { id: "A".into() });
    talk.decide(2, &Decision::Answer { text: "so".into() });
    assert_eq!(
        talk.did(),
        [
            r#"ask 1 question requestuserinput other "Which?" {"question":"Which?"} [A=Answer]"#,
            r#"ask 2 question requestuserinput other "Why?" {"question":"Why?"} []"#,
            r#"{"id":1,"result":{"answers":{"q1":{"answers":["A"]},"q2":{"answers":["so"]}}}}"#,
        ]
    );
    talk.asks(2, "item/tool/requestUserInput", json!({"itemId": "i", "questions": questions}));
    talk.did();
    talk.decide(3, &deny());
    assert_eq!(talk.did(), [r#"{"id":2,"result":{"answers":{"q1":{"answers":[]}}}}"#]);
}

#[test]
fn a_question_that_the_program_takes_back_is_withdrawn() {
    let mut talk = Talk::busy(&plain());
    talk.asks(1, COMMAND, json!({"itemId": "c", "command": "ls"}));
    talk.did();
    talk.tells("serverRequest/resolved", json!({"requestId": 1}));
    assert_eq!(talk.did(), ["withdraw 1"]);
    talk.decide(1, &Decision::AllowOnce);
    talk.tells("serverRequest/resolved", json!({"requestId": 1}));
    assert_eq!(talk.did(), [""; 0]);
}

#[test]
fn questions_end_with_the_turn_and_outside_of_one_they_are_denied() {
    let mut talk = Talk::busy(&plain());
    talk.asks(1, COMMAND, json!({"itemId": "c", "command": "ls"}));
    let helper = json!({"threadId": "helper", "turnId": "x", "itemId": "h", "command": "ls"});
    talk.says(&json!({"id": 2, "method": COMMAND, "params": helper}));
    talk.did();
    talk.completes("completed", &json!(null));
    assert_eq!(talk.did(), [r#"{"id":2,"result":{"decision":"decline"}}"#, "end 1 completed"]);
    talk.decide(1, &Decision::AllowOnce);
    assert_eq!(talk.did(), [""; 0]);
    talk.asks(3, COMMAND, json!({"itemId": "c", "command": "ls"}));
    assert_eq!(talk.did(), [r#"{"id":3,"result":{"decision":"decline"}}"#]);
}

#[test]
fn a_request_that_is_not_served_is_refused_and_shown() {
    let mut talk = Talk::busy(&plain());
    talk.asks(5, "item/tool/call", json!({"tool": "x"}));
    talk.says(&json!({"id": "s", "method": COMMAND}));
    let did = talk.did();
    assert_eq!(did[0], r#"{"id":5,"error":{"code":-32601,"message":"method not found"}}"#);
    assert!(did[1].starts_with("1 raw "));
    assert_eq!(did[2], r#"{"id":"s","error":{"code":-32601,"message":"method not found"}}"#);
    assert!(did[3].starts_with("1 raw ") && did.len() == 4);
}

#[test]
fn more_questions_than_anybody_answers_are_denied() {
    let mut talk = Talk::busy(&plain());
    for id in 0..100 {
        talk.asks(id, COMMAND, json!({"itemId": "c", "command": "ls"}));
    }
    let did = talk.did();
    assert_eq!(did.iter().filter(|line| line.starts_with("ask ")).count(), 64);
    assert_eq!(did.iter().filter(|line| line.contains("decline\"}")).count(), 36);
}
