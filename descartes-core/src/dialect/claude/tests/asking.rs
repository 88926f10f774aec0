use super::*;
use crate::dialect::AskToken;
use crate::limits;

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn asks(id: &str, tool: &str, input: Value) -> Value {
    json!({"type": "control_request", "request_id": id, "request": {
        "subtype": "can_use_tool", "tool_name": tool, "input": input, "tool_use_id": "call-1"}})
}

/// What the program is answered when `decision` is made about a question of `tool`.
fn answered(tool: &str, input: Value, decision: &Decision) -> Value {
    let mut played = begun();
    after(&mut played, [asks("q-1", tool, input)]);
    given(&mut played, Input::Decide { ask: AskToken(1), decision });
    assert_eq!(played.sent.len(), 1);
    assert_eq!(given(&mut played, Input::Decide { ask: AskToken(1), decision }), [""; 0]);
    assert_eq!(played.sent.len(), 1, "one answer");
    let response = played.sent[0]["response"].clone();
    assert_eq!((&response["subtype"], &response["request_id"]), (&json!("success"), &json!("q-1")));
    response["response"].clone()
}

#[test]
fn every_decision_is_said_in_the_program_s_words() {
    let input = json!({"command": "rm -rf x", "timeout": 1.50});
    let allowed = json!({"behavior": "allow", "updatedInput": input});
    let denied = |message: &str| json!({"behavior": "deny", "message": message});
    let option = |id: &str| Decision::Option { id: id.into() };
    let decisions = [
        (Decision::AllowOnce, allowed.clone()),
        (Decision::AllowSession, allowed.clone()),
        (option("allow_once"), allowed.clone()),
        (option("allow_session"), allowed),
        (option("deny"), denied("This was denied.")),
        (option("what?"), denied("This was denied.")),
        (Decision::Deny { message: None }, denied("This was denied.")),
        (Decision::Deny { message: Some("not that".into()) }, denied("not that")),
        (Decision::Cancel, denied("This was denied.")),
        (Decision::Answer { text: "use mv".into() }, denied("use mv")),
    ];
    for (decision, expected) in decisions {
        assert_eq!(answered("Bash", input.clone(), &decision), expected, "{decision:?}");
    }
}

#[test]
fn arguments_are_kept_to_the_letter() {
    let mut played = begun();
    let line = r#"{"type":"control_request","request_id":"q","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{ "b": 1.0, "a" : "\u0041" }}}"#;
    let stream = crate::event::StreamName::Stdout;
    given(&mut played, Input::Line { stream, bytes: line.as_bytes() });
    let Some(Action::Ask { request, .. }) = played.actions.last() else { panic!("a question") };
    assert_eq!(request.arguments.as_str(), r#"{ "b": 1.0, "a" : "\u0041" }"#);
    let mut out = Vec::new();
    let decision = &Decision::AllowOnce;
    let decide = Input::Decide { ask: AskToken(1), decision };
    played.dialect.handle(std::time::Instant::now(), decide, &mut out);
    let [Action::Send(answer)] = &out[..] else { panic!("an answer") };
    let answer = String::from_utf8_lossy(answer);
    assert!(answer.contains(r#""updatedInput":{ "b": 1.0, "a" : "\u0041" }"#), "{answer}");
}

#[test]
fn effects_are_told_by_the_tool_and_where_it_writes() {
    let effect = |tool: &str, input: Value| {
        let mut played = begun();
        after(&mut played, [asks("q", tool, input)]);
        let Some(Action::Ask { request, .. }) = played.actions.last() else { panic!("a question") };
        format!("{:?}", request.effect)
    };
    let file = |path: &str| json!({"file_path": path, "content": ""});
    assert_eq!(effect("Bash", json!({})), "Execute");
    assert_eq!(effect("Read", file("/etc/passwd")), "Read");
    assert_eq!(effect("WebFetch", json!({})), "Fetch");
    assert_eq!(effect("mcp__x__y", json!({})), "Other");
    assert_eq!(effect("Write", file("/opt/lab-real/proj/a/b")), "Edit");
    assert_eq!(effect("Edit", file("a/b")), "Edit");
    assert_eq!(effect("NotebookEdit", json!({"notebook_path": "a.ipynb"})), "Edit");
    // What lies elsewhere is no change of the working directory.
    assert_eq!(effect("Write", file("/opt/lab-real/project")), "Other");
    assert_eq!(effect("Write", file("/opt/lab-real/proj/../x")), "Other");
    assert_eq!(effect("Write", json!({"file_path": "a", "notebook_path": "/etc/x"})), "Other");
    assert_eq!(effect("Write", json!({})), "Other");
}

#[test]
fn questions_of_the_model_take_a_choice_a_text_or_an_answer_each() {
    let question = |text: &str, several: bool| {
        json!({"question": text, "header": "h", "multiSelect": several,
            "options": [{"label": "Yes", "description": "d"}, {"label": "No"}]})
    };
    let one = json!({"questions": [question("Really?", false)]});
    let two = json!({"questions": [question("Really?", false), question("Which?", true)]});
    let answer = |text: &str| Decision::Answer { text: text.into() };
    let answers = |input: &Value, decision: &Decision| {
        let answered = answered("AskUserQuestion", input.clone(), decision);
        assert_eq!(answered["updatedInput"]["questions"], input["questions"]);
        answered["updatedInput"]["answers"].clone()
    };
    assert_eq!(answers(&one, &Decision::Option { id: "No".into() }), json!({"Really?": "No"}));
    assert_eq!(answers(&one, &answer("perhaps")), json!({"Really?": "perhaps"}));
    assert_eq!(answers(&two, &answer("Yes")), json!({"Really?": "Yes", "Which?": "Yes"}));
    let each = r#"{"Really?": "No", "Which?": "Yes, No"}"#;
    assert_eq!(answers(&two, &answer(each)), json!({"Really?": "No", "Which?": "Yes, No"}));
    let other = r#"{"Who?": "I"}"#;
    assert_eq!(answers(&one, &answer(other)), json!({"Really?": other}));
    for decision in [Decision::AllowOnce, Decision::Cancel, Decision::Deny { message: None }] {
        assert_eq!(answered("AskUserQuestion", one.clone(), &decision)["behavior"], "deny");
    }
}

#[test]
fn questions_end_with_their_turn_or_when_the_program_withdraws_them() {
    let mut played = begun();
    after(&mut played, [asks("q-1", "Bash", json!({})), asks("q-2", "Bash", json!({}))]);
    let withdrawn = json!({"type": "control_cancel_request", "request_id": "q-1"});
    assert_eq!(after(&mut played, [withdrawn.clone()]), ["withdraw 1"]);
    assert_eq!(after(&mut played, [withdrawn]), [""; 0]);
    after(&mut played, [result("")]);
    for ask in [AskToken(1), AskToken(2), AskToken(9)] {
        given(&mut played, Input::Decide { ask, decision: &Decision::AllowOnce });
    }
    assert!(played.sent.is_empty());
}

#[test]
fn a_question_outside_of_a_turn_is_denied_and_so_is_one_too_many() {
    let mut played = ready();
    assert_eq!(after(&mut played, [asks("q", "Bash", json!({}))]), [""; 0]);
    assert_eq!(played.sent[0]["response"]["response"]["behavior"], "deny");

    let mut played = begun();
    for number in 0..=limits::CLAUDE_OPEN_QUESTIONS {
        let id = format!("q-{number}");
        after(&mut played, [asks(&id, "Bash", json!({})), asks(&id, "Bash", json!({}))]);
    }
    let asked = played.actions.iter().filter(|action| matches!(action, Action::Ask { .. }));
    assert_eq!(asked.count(), limits::CLAUDE_OPEN_QUESTIONS);
    assert_eq!(played.sent[0]["response"]["response"]["behavior"], "deny");
}

#[test]
fn requests_that_are_not_served_are_refused() {
    let mut played = begun();
    let hook = json!({"type": "control_request", "request_id": "h", "request": {
        "subtype": "hook_callback", "callback_id": "x"}});
    let told = after(&mut played, [hook]);
    assert!(told.len() == 1 && told[0].starts_with("1 raw "), "{told:?}");
    assert_eq!(
        played.sent,
        [json!({"type": "control_response", "response": {"subtype": "error", "request_id": "h",
            "error": "Unsupported control request subtype: hook_callback"}})]
    );
    let nothing = json!({"type": "control_request", "request_id": "n", "request": {
        "subtype": "can_use_tool", "tool_name": "Bash"}});
    after(&mut played, [nothing]);
    assert_eq!(played.sent[1]["response"]["subtype"], "error");
}
