use super::*;

#[test]
fn three_turns_are_told_with_their_thoughts_and_tools() {
    let played = played("turns");
    assert_eq!(
        told(&played),
        [
            "ready turns resume approvals cancel models",
            "session 475f97bb-70a2-4582-a0b9-f797fca019fb",
            "activity thinking",
            "mark",
            r#"1 text[0] "first answer""#,
            "1 usage in=1851 cached=0 out=1",
            "activity none",
            "end 1 completed in=1851 cached=0 out=1 cost=0.009280",
            "activity thinking",
            "mark",
            r#"2 thinking[0] "thought 1. thought 2. ""#,
            r#"2 text[0] "I have thought about it.""#,
            "2 usage in=1855 cached=0 out=4",
            "activity none",
            "end 2 completed in=1855 cached=0 out=4 cost=0.009375",
            "activity thinking",
            "mark",
            "3 tool Bash toolu_stub_006_0",
            r#"3 input toolu_stub_006_0 "{\"command\": ""#,
            r#"3 input toolu_stub_006_0 "\"echo A\"}""#,
            r#"3 input toolu_stub_006_0 "" {"command":"echo A"}"#,
            "activity tool",
            "3 usage in=1867 cached=0 out=1",
            r#"3 result toolu_stub_006_0 "A""#,
            "activity thinking",
            "mark",
            "3 tool Read toolu_stub_008_0",
            r#"3 input toolu_stub_008_0 "{\"file_path\"""#,
            r#"3 input toolu_stub_008_0 ": \"/opt/lab-""#,
            r#"3 input toolu_stub_008_0 "real/proj/RE""#,
            r#"3 input toolu_stub_008_0 "ADME.md\"}""#,
            r#"3 input toolu_stub_008_0 "" {"file_path":"/opt/lab-real/proj/README.md"}"#,
            "activity tool",
            "3 usage in=3735 cached=0 out=2",
            r#"3 result toolu_stub_008_0 "1\t# demo project\n2\tA file for agents to read.\n3\t""#,
            "activity thinking",
            "mark",
            r#"3 text[0] "end""#,
            "3 usage in=5615 cached=0 out=3",
            "activity none",
            "end 3 completed in=5615 cached=0 out=3 cost=0.028150",
        ]
    );
    assert_eq!(played.sent.len(), 4, "a handshake and three prompts");
    assert_eq!(
        played.sent[1],
        json!({"type": "user", "message": {"role": "user", "content": [
            {"type": "text", "text": "[[stub:text say=\"first answer\"]]"},
        ]}})
    );
}

#[test]
fn tools_are_allowed_and_denied_and_a_cancelled_turn_is_followed_by_another() {
    let played = played("control");
    assert_eq!(played.text(1), "allowed");
    assert_eq!(played.text(2), "The tool answered: not today");
    let ticks: String = (1..=12).map(|n| format!("tick {n} ")).collect();
    assert_eq!(played.text(3), ticks);
    assert_eq!(played.text(4), "after interrupt");
    assert_eq!(
        ends(&played),
        [
            "end 1 completed in=3711 cached=0 out=2 cost=0.018605",
            "end 2 completed in=3726 cached=0 out=3 cost=0.018705",
            "end 3 cancelled in=1871 cached=0",
            "end 4 completed in=1902 cached=0 out=1 cost=0.009535",
        ]
    );
    let asked: Vec<_> = told(&played).into_iter().filter(|line| line.starts_with("ask")).collect();
    assert_eq!(
        asked[0],
        r#"ask 1 permission bash execute of toolu_stub_002_0 "Bash: touch /opt/lab-real/proj/made" {"command":"touch /opt/lab-real/proj/made"} [allow_once=AllowOnce allow_session=AllowSession deny=Deny] rule "Bash(touch /opt/lab-real/proj/made)""#
    );
    let answers = played.sent.iter().filter(|line| line["type"] == "control_response");
    let answers: Vec<_> = answers.map(|line| line["response"].clone()).collect();
    assert_eq!(
        answers,
        [
            json!({"subtype": "success", "request_id": "6e32fab5-fb28-4cee-be1f-9b0529c15258",
                "response": {"behavior": "allow",
                    "updatedInput": {"command": "touch /opt/lab-real/proj/made"}}}),
            json!({"subtype": "success", "request_id": "488d7d89-8fff-41c2-a14d-48815fb36a81",
                "response": {"behavior": "deny", "message": "not today"}}),
        ]
    );
    // The program's mode was changed by who recorded it; `plan` stays.
    assert!(!played.sent.iter().any(|line| line["request"]["subtype"] == "set_permission_mode"));
}

#[test]
fn a_cancel_ends_a_tool_a_question_and_a_denied_one() {
    let played = played("interrupts");
    let outcomes: Vec<_> = played.ends().iter().map(|end| end.outcome.as_str()).collect();
    assert_eq!(
        outcomes,
        ["cancelled", "cancelled", "completed", "cancelled", "completed", "failed", "completed"]
    );
    assert_eq!((&*played.text(3), &*played.text(5)), ("after", "after2"));
    let told = told(&played);
    assert!(told.contains(&"withdraw 2".to_owned()), "{told:#?}");
    let limited = told.iter().position(|line| line == "activity ratelimited").expect("a 429");
    assert!(told[limited..].contains(
        &r#"end 6 failed rate_limited "API Error: Request rejected (429) · stub: scripted HTTP 429" hint "wait, then send the prompt again""#.to_owned()
    ));
    // No end of a tool is made up: what the program says of the ones it stopped is told.
    assert_eq!(told.iter().filter(|line| line.contains("result toolu_stub_002_0")).count(), 1);
}

#[test]
fn a_broken_stream_withdraws_its_text() {
    let played = played("stream-breaks");
    let told = told(&played);
    let second = told.iter().position(|line| line.starts_with("2 ")).expect("a second turn");
    assert_eq!(
        told[second - 2..second + 6],
        [
            "activity thinking",
            "mark",
            r#"2 text[0] "part 1 part 2 part 3 ""#,
            "retract",
            r#"2 text[0] "Recovered after 1 failures.""#,
            "activity none",
            "end 2 completed in=976 cached=0 out=2 cost=0.004930",
            "activity thinking",
        ]
    );
    assert_eq!(played.text(1), "Recovered after 1 failures.");
    assert_eq!(played.text(2), "Recovered after 1 failures.");
    assert_eq!(played.text(3), "");
    assert_eq!(played.text(4), "after");
    assert_eq!(
        ends(&played)[2],
        r#"end 3 failed in=982 cached=0 model_error "API Error: Unable to connect to API (ECONNRESET)""#
    );
}

#[test]
fn a_failure_that_is_called_a_success_is_a_failure() {
    let failed = |name| ends(&played(name)).join("\n");
    assert_eq!(
        failed("error400"),
        r#"end 1 failed model_error "API Error: 400 stub: scripted HTTP 400""#
    );
    assert_eq!(
        failed("error401"),
        r#"end 1 failed agent_auth "Failed to authenticate. API Error: 401 stub: scripted HTTP 401" hint "run `claude` in a terminal and log in, or give the backend ANTHROPIC_API_KEY""#
    );
    assert_eq!(
        failed("no-login"),
        r#"end 1 failed agent_auth "Not logged in · Please run /login" hint "run `claude` in a terminal and log in, or give the backend ANTHROPIC_API_KEY""#
    );
    assert!(failed("error529").starts_with(r#"end 1 failed model_error "API Error: 529 stub"#));
    for name in ["error400", "error401", "error529", "no-login"] {
        assert_eq!(played(name).chunks().count(), 0, "an error is no answer: {name}");
    }
}

#[test]
fn two_failures_and_then_an_answer_are_a_success() {
    let played = played("error500");
    assert_eq!(played.text(1), "Recovered after 2 failures.");
    assert_eq!(ends(&played), ["end 1 completed in=1851 cached=0 out=2 cost=0.009305"]);
}

#[test]
fn too_many_rounds_are_a_budget_and_the_next_turn_works() {
    let played = played("max-turns");
    let ends = ends(&played);
    assert!(
        ends[0].starts_with("end 1 failed in=972 cached=0 out=1 cost=0.004885 budget "),
        "{ends:?}"
    );
    assert_eq!(played.text(2), "after");
    assert!(ends[1].starts_with("end 2 completed "));
}

#[test]
fn a_question_of_the_model_is_answered() {
    let played = played("question");
    let told = told(&played);
    let asked = told.iter().find(|line| line.starts_with("ask")).expect("a question");
    assert!(
        asked.starts_with(
            r#"ask 1 question askuserquestion other of toolu_stub_002_0 "Which?" {"questions":"#
        ) && asked.ends_with("[A=Answer B=Answer]"),
        "{asked}"
    );
    let answer = &played.sent[2]["response"]["response"];
    assert_eq!(answer["behavior"], "allow");
    assert_eq!(answer["updatedInput"]["answers"], json!({"Which?": "B"}));
    assert_eq!(answer["updatedInput"]["questions"][0]["question"], "Which?");
    assert!(played.text(1).contains("\"Which?\"=\"B\""));
}

#[test]
fn a_turn_that_the_program_began_itself_is_no_prompt_s() {
    let played = played("own-turn");
    assert_eq!((&*played.text(1), &*played.text(2)), ("started", "mine"));
    let outcomes: Vec<_> = played.ends().iter().map(|end| end.outcome.as_str()).collect();
    assert_eq!(outcomes, ["completed", "completed"]);
    let raw: Vec<_> = told(&played).into_iter().filter(|line| line.contains(" raw ")).collect();
    assert_eq!(raw.len(), 1, "{raw:#?}");
    assert!(raw[0].starts_with("2 raw") && raw[0].contains("Hello from the stub model."));
    // What its own work cost is in the next turn: 0.020370 in all.
    let cost: f64 = played.ends().iter().filter_map(|end| end.usage?.cost_usd).sum();
    assert!((cost - 0.02037).abs() < 1e-9, "{cost}");
}

#[test]
fn a_sub_agent_s_work_is_a_tool_s() {
    let played = played("sub-agent");
    assert_eq!(played.text(1), "done");
    let told = told(&played);
    assert!(told.contains(&"1 tool Agent toolu_stub_002_0".to_owned()));
    let result = told.iter().find(|line| line.starts_with("1 result")).expect("a result");
    assert!(result.contains("Hello from the stub model.\\nagentId"), "{result}");
    assert!(!told.iter().any(|line| line.contains(" raw ")), "{told:#?}");
}

#[test]
fn conversations_that_the_program_does_not_know_or_holds_already_fail() {
    for name in ["resume-unknown", "resume-unknown-handshake"] {
        let played = played(name);
        let told = told(&played);
        assert_eq!((told.len(), &*told[1]), (2, "close stdin"), "{told:#?}");
        assert!(
            told[0].starts_with(
                r#"end 1 failed agent_crashed "No conversation found with session ID: "#
            ) && told[0].ends_with("begin a new chat\""),
            "{told:#?}"
        );
    }
    let told = told(&played("sid-reuse"));
    assert_eq!(
        told,
        [
            r#"end 1 failed agent_crashed "Error: Session ID 475f97bb-70a2-4582-a0b9-f797fca019fb is already in use.""#
        ]
    );
}

#[test]
fn every_character_arrives_and_the_end_of_input_ends_nothing() {
    let unicode = played("unicode");
    assert_eq!(
        unicode.text(1),
        "naive café 你好 🦀\u{200d}🚀 \"quoted\" back\\slash\nsecond line\r\nthird\ttab \u{2028} separator </script> [[not a marker]] e\u{301} end"
    );
    let slow = played("eof-mid");
    assert_eq!(slow.text(1), (1..=10).map(|n| format!("tick {n} ")).collect::<String>());
    assert_eq!(slow.ends()[0].outcome.as_str(), "completed");
}

#[test]
fn long_and_mixed_answers_are_whole_and_their_blocks_numbered() {
    let long = played("long");
    let told_text = (1..=100).map(|n| format!("{n:04} {} ", "x".repeat(34)));
    assert_eq!(long.text(1), told_text.collect::<String>());
    assert_eq!(
        told(&played("mixed"))[3..],
        [
            "mark",
            r#"1 thinking[0] "I should run a command. Yes.""#,
            r#"1 text[0] "Let me run that.""#,
            "1 tool Bash toolu_stub_002_0",
            r#"1 input toolu_stub_002_0 "{\"command\": ""#,
            r#"1 input toolu_stub_002_0 "\"echo hi-fro""#,
            r#"1 input toolu_stub_002_0 "m-tool; ls\"}""#,
            r#"1 input toolu_stub_002_0 "" {"command":"echo hi-from-tool; ls"}"#,
            "activity tool",
            "1 usage in=1852 cached=0 out=5",
            r#"1 result toolu_stub_002_0 "hi-from-tool\nREADME.md""#,
            "activity thinking",
            "mark",
            r#"1 text[1] "The tool answered: hi-from-tool\nREADME.md""#,
            "1 usage in=3710 cached=0 out=8",
            "activity none",
            "end 1 completed in=3710 cached=0 out=8 cost=0.018750",
        ]
    );
}

#[test]
fn tools_that_nobody_was_asked_about_are_told_with_their_failure() {
    let played = played("noprompt");
    let told = told(&played);
    let result = told.iter().find(|line| line.starts_with("1 result")).expect("a result");
    assert!(result.starts_with(r#"1 result toolu_stub_002_0 failed "touch in "#), "{result}");
    assert!(played.text(1).starts_with("The tool answered: touch in "));
    assert_eq!(played.ends()[0].outcome.as_str(), "completed");
}

#[test]
fn a_resumed_conversation_keeps_its_name_and_its_cost_begins_anew() {
    let played = played("resume");
    let told = told(&played);
    assert_eq!(told[1], "session 475f97bb-70a2-4582-a0b9-f797fca019fb");
    assert_eq!(
        told.last().expect("an end"),
        "end 1 completed in=1884 cached=0 out=1 cost=0.009445"
    );
}

#[test]
fn a_program_that_ends_before_it_takes_the_prompt_has_failed() {
    assert_eq!(
        told(&played("badline")),
        [
            r#"end 1 failed agent_crashed "Error parsing streaming input line: this is not json: SyntaxError: JSON Parse error: Unexpected identifier \"this\"""#
        ]
    );
    assert_eq!(told(&played("eof-empty")), [""; 0]);
}
