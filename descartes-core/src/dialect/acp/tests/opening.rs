//! How a conversation is opened, and how that fails.

use serde_json::json;

use super::{AcpWire, answers, last, news, open, ready, refuses, says, session, updates, writes};
use crate::dialect::acp::Acp;
use crate::dialect::{Dialect, Input, LaunchWords, Prompt, PromptPart, SessionSpec, Thinking};
use crate::event::StreamName;
use crate::limits;

#[test]
fn a_prompt_that_comes_early_is_kept_until_the_agent_is_ready() {
    let mut played = open(Acp::new(), &session());
    assert_eq!(played.sent[0]["params"]["protocolVersion"], 1);
    let none = json!({"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false});
    assert_eq!(played.sent[0]["params"]["clientCapabilities"], none);
    played.prompt(&AcpWire, "do it");
    answers(&mut played, json!({"protocolVersion": 1}));
    assert_eq!(played.sent[1]["params"], json!({"cwd": "/home/user/proj", "mcpServers": []}));
    answers(&mut played, json!({"sessionId": "s1"}));
    let prompt = json!({"sessionId": "s1", "prompt": [{"type": "text", "text": "do it"}]});
    assert_eq!(played.sent[2]["params"], prompt);
    assert_eq!(news(&mut played), ["session s1", "ready turns approvals cancel"]);
    answers(&mut played, json!({"stopReason": "end_turn"}));
    assert_eq!(news(&mut played), ["end 1 completed"]);
}

#[test]
fn another_version_of_the_protocol_ends_it() {
    for (version, said) in [(json!(2), "version 2"), (json!("x"), "no version")] {
        let mut played = open(Acp::new(), &session());
        played.prompt(&AcpWire, "do it");
        answers(&mut played, json!({"protocolVersion": version}));
        let text = format!("the agent speaks {said} of ACP, and only 1 is understood");
        assert_eq!(
            news(&mut played),
            [format!("end 1 failed protocol {text:?}"), "close stdin".into()]
        );
        played.prompt(&AcpWire, "again");
        assert_eq!(news(&mut played), [format!("end 2 failed protocol {text:?}")]);
    }
}

#[test]
fn an_agent_that_does_not_answer_is_not_waited_for_for_ever() {
    let mut played = open(Acp::new(), &session());
    played.prompt(&AcpWire, "do it");
    let complaint = Input::Line { stream: StreamName::Stderr, bytes: b"no network" };
    played.input(&AcpWire, complaint);
    played.wait(&AcpWire, limits::ACP_ANSWER);
    let hint = "the agent did not answer `initialize` in 120 s";
    let end = format!("end 1 failed stalled \"no network\" hint {hint:?}");
    assert_eq!(news(&mut played), [end, "close stdin".into()]);
    // Too late.
    answers(&mut played, json!({"protocolVersion": 1}));
    assert_eq!(played.sent.len(), 1);
    // It does not mind the end of its input, either.
    played.wait(&AcpWire, limits::ACP_AFTER_EOF);
    assert_eq!(news(&mut played), ["signal terminate"]);
    assert_eq!(played.dialect.deadline(), None);
}

#[test]
fn the_one_method_that_needs_nobody_is_used_and_no_other() {
    let methods = |methods| json!({"protocolVersion": 1, "authMethods": methods});
    let key = json!({"id": "key", "name": "API key"});
    let web = json!({"id": "web", "name": "Log in with your browser"});
    let shell = json!({"id": "shell", "name": "Setup", "type": "terminal"});

    let mut played = open(Acp::new(), &session());
    answers(&mut played, methods(json!([web, key, shell])));
    assert_eq!(last(&played), Some("session/new"));
    refuses(&mut played, -32000, "Authentication required");
    assert_eq!(played.sent[2]["params"], json!({"methodId": "key"}));
    answers(&mut played, json!(null));
    assert_eq!(last(&played), Some("session/new"));
    refuses(&mut played, -32000, "the key is wrong");
    let hint = "log in with the agent's own program; it offers Log in with your browser (`web`), \
                API key (`key`), Setup (`shell`)";
    played.prompt(&AcpWire, "do it");
    let end = format!("end 1 failed agent_auth \"the key is wrong\" hint {hint:?}");
    assert_eq!(news(&mut played), ["close stdin".into(), end]);

    let other = json!({"id": "other", "name": "Another API key"});
    let mut played = open(Acp::new(), &session());
    played.prompt(&AcpWire, "do it");
    answers(&mut played, methods(json!([key, other])));
    refuses(&mut played, -32000, "Authentication required");
    let hint = "log in with the agent's own program; it offers API key (`key`), \
                Another API key (`other`)";
    let end = format!("end 1 failed agent_auth \"Authentication required\" hint {hint:?}");
    assert_eq!(news(&mut played), [end, "close stdin".into()]);

    let mut played = open(Acp::new().with_auth_method("other"), &session());
    answers(&mut played, methods(json!([key, other])));
    assert_eq!(played.sent[1]["params"], json!({"methodId": "other"}));
    refuses(&mut played, -32603, "no");
    assert_eq!(news(&mut played), ["close stdin"]);
}

#[test]
fn model_mode_and_thinking_are_set_where_they_are_offered() {
    let offered = json!({"sessionId": "s1", "configOptions": [
        {"id": "mode", "category": "mode", "currentValue": "yolo",
         "options": [{"value": "default"}, {"value": "yolo"}]},
        {"id": "model", "currentValue": "m1", "options": [
            {"group": "g", "options": [{"value": "m1"}, {"value": "m2"}]}]},
        {"id": "effort", "category": "thought_level", "currentValue": "low",
         "options": [{"value": "low"}, {"value": "high"}]}]});
    let wanted = SessionSpec {
        model: Some("m2".into()),
        thinking: Thinking::Ultra,
        system_prompt: Some("You are brief.".into()),
        ..session()
    };
    let mut played = open(Acp::new(), &wanted);
    played.prompt(&AcpWire, "do it");
    answers(&mut played, json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": true}}));
    answers(&mut played, offered.clone());
    for (option, value) in [("mode", "default"), ("model", "m2"), ("effort", "high")] {
        let words = json!({"sessionId": "s1", "configId": option, "value": value});
        assert_eq!(played.sent.last().expect("sent")["params"], words);
        answers(&mut played, json!({"configOptions": []}));
    }
    assert_eq!(last(&played), Some("session/prompt"));
    let first = &played.sent.last().expect("sent")["params"]["prompt"][0]["text"];
    assert_eq!(first, "You are brief.");
    assert_eq!(news(&mut played), ["session s1", "ready turns resume approvals cancel models"]);

    let mut played = open(Acp::new(), &wanted);
    answers(&mut played, json!({"protocolVersion": 1}));
    answers(&mut played, offered);
    answers(&mut played, json!({}));
    refuses(&mut played, -32602, "no such model");
    played.prompt(&AcpWire, "do it");
    let text = "the agent does not take the model: no such model";
    let end = format!("end 1 failed protocol {text:?}");
    assert_eq!(news(&mut played), ["session s1".into(), "close stdin".into(), end]);
}

#[test]
fn older_agents_are_given_modes_and_models_in_their_way() {
    let mut played =
        open(Acp::new().with_mode("ask"), &SessionSpec { model: Some("m2".into()), ..session() });
    answers(&mut played, json!({"protocolVersion": 1}));
    answers(
        &mut played,
        json!({"sessionId": "s1",
            "modes": {"currentModeId": "code", "availableModes": [{"id": "ask"}, {"id": "code"}]},
            "models": {"currentModelId": "m1", "availableModels": [{"modelId": "m1"}]}}),
    );
    assert_eq!(played.sent[2]["params"], json!({"sessionId": "s1", "modeId": "ask"}));
    answers(&mut played, json!({}));
    assert_eq!(played.sent[3]["params"], json!({"sessionId": "s1", "modelId": "m2"}));
    answers(&mut played, json!({}));
    assert_eq!(news(&mut played), ["session s1", "ready turns approvals cancel models"]);
}

#[test]
fn a_model_that_cannot_be_chosen_is_an_error_unless_the_command_line_has_it() {
    let wanted = SessionSpec { model: Some("m2".into()), ..session() };
    let mut played = open(Acp::new(), &wanted);
    played.prompt(&AcpWire, "do it");
    answers(&mut played, json!({"protocolVersion": 1}));
    answers(&mut played, json!({"sessionId": "s1"}));
    let end = "end 1 failed model_error \"the agent does not let its model be chosen: m2\"";
    assert_eq!(news(&mut played), ["session s1", end, "close stdin"]);

    let mut acp = Acp::new().with_model_argument("-m");
    let mut words = LaunchWords::default();
    acp.launch(&wanted, &mut words);
    assert_eq!(words.args, ["-m", "m2"]);
    assert!(acp.capabilities().models);
}

#[test]
fn a_conversation_is_brought_back_in_the_way_that_the_agent_has() {
    let wanted = SessionSpec { native: Some("old".into()), ..session() };
    let mut played = open(Acp::new(), &wanted);
    let can = json!({"sessionCapabilities": {"resume": {}}});
    answers(&mut played, json!({"protocolVersion": 1, "agentCapabilities": can}));
    assert_eq!(last(&played), Some("session/resume"));
    assert_eq!(played.sent[1]["params"]["sessionId"], "old");
    answers(&mut played, json!(null));
    assert_eq!(news(&mut played), ["session old", "ready turns resume approvals cancel"]);

    let mut played = open(Acp::new(), &wanted);
    played.prompt(&AcpWire, "go on");
    answers(&mut played, json!({"protocolVersion": 1}));
    let end = "end 1 failed protocol \"the agent cannot bring a conversation back\"";
    assert_eq!(news(&mut played), [end, "close stdin"]);
}

#[test]
fn a_process_that_ends_in_the_opening_fails_the_turn_with_its_last_words() {
    let mut played = open(Acp::new(), &session());
    played.prompt(&AcpWire, "do it");
    let line = Input::Line { stream: StreamName::Stderr, bytes: b"Error: please log in first" };
    played.input(&AcpWire, line);
    played.input(&AcpWire, Input::Ended { code: Some(1), signal: None });
    let end = "end 1 failed agent_auth \"Error: please log in first\" \
               hint \"the agent ended with exit code 1\"";
    assert_eq!(news(&mut played), [end]);
    played.prompt(&AcpWire, "again");
    assert_eq!(news(&mut played), Vec::<String>::new());
}

#[test]
fn files_are_linked_and_pictures_are_sent_to_who_takes_them() {
    let parts = vec![
        PromptPart::Text("look".into()),
        PromptPart::File { path: "/home/user/a b#.txt".into() },
        PromptPart::Image { media_type: "image/png".into(), data: "AAAA".into() },
    ];
    let prompt = Prompt { parts };
    let mut played = ready();
    played.input(&AcpWire, Input::Prompt { turn: 1, prompt: &prompt });
    assert_eq!(news(&mut played), ["end 1 failed protocol \"the agent takes no pictures\""]);

    let mut played = open(Acp::new(), &session());
    let can = json!({"promptCapabilities": {"image": true}});
    answers(&mut played, json!({"protocolVersion": 1, "agentCapabilities": can}));
    answers(&mut played, json!({"sessionId": "s1"}));
    played.input(&AcpWire, Input::Prompt { turn: 1, prompt: &prompt });
    let sent = &played.sent.last().expect("sent")["params"]["prompt"];
    let link = json!({"type": "resource_link", "uri": "file:///home/user/a%20b%23.txt",
                      "name": "a b#.txt"});
    let picture = json!({"type": "image", "mimeType": "image/png", "data": "AAAA"});
    assert_eq!(*sent, json!([{"type": "text", "text": "look"}, link, picture]));
}

#[test]
fn what_is_said_and_asked_while_a_conversation_is_loaded_is_of_no_turn() {
    let mut played = open(Acp::new(), &SessionSpec { native: Some("s1".into()), ..session() });
    played.prompt(&AcpWire, "go on");
    let can = json!({"loadSession": true});
    answers(&mut played, json!({"protocolVersion": 1, "agentCapabilities": can}));
    let content = json!({"type": "text", "text": "old"});
    updates(&mut played, json!({"sessionUpdate": "agent_message_chunk", "content": content}));
    let call = json!({"sessionUpdate": "tool_call", "toolCallId": "t1", "title": "x"});
    updates(&mut played, call);
    let ask = json!({"sessionId": "s1", "toolCall": {"toolCallId": "t1"},
                     "options": [{"optionId": "a", "kind": "allow_once"}]});
    let method = "session/request_permission";
    says(&mut played, &json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": ask}));
    let outcome = json!({"outcome": {"outcome": "cancelled"}});
    assert_eq!(played.sent.last().expect("sent")["result"], outcome);
    says(&mut played, &json!({"jsonrpc": "2.0", "id": "2", "result": null}));
    for _ in 0..3 {
        played.wait(&AcpWire, limits::ACP_HISTORY_QUIET / 2);
        writes(&mut played, "old, and late");
    }
    assert_ne!(last(&played), Some("session/prompt"));
    played.wait(&AcpWire, limits::ACP_HISTORY_QUIET);
    assert_eq!(last(&played), Some("session/prompt"));
    assert_eq!(news(&mut played), ["session s1", "ready turns resume approvals cancel"]);
}
