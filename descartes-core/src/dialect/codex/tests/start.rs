//! From the start of the process to the first turn.

use serde_json::json;

use super::talk::{Talk, plain};
use crate::dialect::{
    Codex, Dialect, Input, LaunchWords, Prompt, PromptPart, SessionSpec, Thinking,
};

const OPT_OUT: &str = concat!(
    r#"["account/rateLimits/updated","item/commandExecution/outputDelta","#,
    r#""item/fileChange/outputDelta","thread/started","turn/diff/updated","turn/plan/updated"]"#
);

fn greeting() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"{{"id":1,"method":"initialize","params":{{"clientInfo":{{"name":"descartes","title":"Descartes","version":"{version}"}},"capabilities":{{"experimentalApi":true,"optOutNotificationMethods":{OPT_OUT}}}}}}}"#
    )
}

#[test]
fn the_program_is_started_as_an_app_server_without_telemetry() {
    let mut words = LaunchWords::default();
    Codex::new().launch(&plain(), &mut words);
    let args =
        ["app-server", "-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false"];
    assert_eq!(words.args, args);
    assert!(!words.closes_stdin && words.first_input.is_empty());
}

#[test]
fn a_conversation_begins_as_it_was_wanted_and_the_program_is_told_to_ask() {
    let mut spec = plain();
    spec.model = Some("m".into());
    spec.system_prompt = Some("be \"kind\"".into());
    let mut talk = Talk::opened(&spec);
    assert_eq!(talk.did(), [greeting()]);
    talk.says(&json!({"id": 1, "result": {}}));
    assert_eq!(
        talk.did(),
        [
            r#"{"method":"initialized"}"#,
            concat!(
                r#"{"id":2,"method":"thread/start","params":{"cwd":"/proj","model":"m","#,
                r#""developerInstructions":"be \"kind\"","approvalPolicy":"untrusted","#,
                r#""approvalsReviewer":"user","sandbox":"danger-full-access"}}"#
            ),
        ]
    );
    talk.says(&json!({"id": 2, "result": {"thread": {"id": "th"}}}));
    assert_eq!(talk.did(), ["session th", "ready turns resume approvals cancel models"]);
}

#[test]
fn a_conversation_that_has_a_name_goes_on_without_its_history() {
    let mut spec = plain();
    spec.native = Some("old".into());
    let mut talk = Talk::opened(&spec);
    talk.says(&json!({"id": 1, "result": {}}));
    let sent = talk.did();
    assert_eq!(
        sent[2],
        concat!(
            r#"{"id":2,"method":"thread/resume","params":{"threadId":"old","excludeTurns":true,"#,
            r#""cwd":"/proj","approvalPolicy":"untrusted","approvalsReviewer":"user","#,
            r#""sandbox":"danger-full-access"}}"#
        )
    );
}

#[test]
fn a_prompt_that_comes_too_early_waits() {
    let mut talk = Talk::opened(&plain());
    talk.prompt(1);
    talk.says(&json!({"id": 1, "result": {}}));
    talk.did();
    talk.says(&json!({"id": 2, "result": {"thread": {"id": "th"}}}));
    assert_eq!(
        talk.did(),
        [
            "session th",
            "ready turns resume approvals cancel models",
            r#"{"id":3,"method":"turn/start","params":{"threadId":"th","input":[{"type":"text","text":"hello"}]}}"#,
            "activity thinking",
        ]
    );
}

#[test]
fn every_part_of_a_prompt_is_sent_and_how_hard_to_think() {
    let mut spec = plain();
    spec.thinking = Thinking::Off;
    let mut talk = Talk::ready(&spec);
    let mut prompt = Prompt::text("look");
    let (media_type, data) = ("image/png".into(), "AAAA".into());
    prompt.parts.push(PromptPart::Image { media_type, data });
    prompt.parts.push(PromptPart::File { path: "/proj/a.rs".into() });
    talk.input(Input::Prompt { turn: 1, prompt: &prompt });
    assert_eq!(
        talk.did()[0],
        concat!(
            r#"{"id":3,"method":"turn/start","params":{"threadId":"th","input":["#,
            r#"{"type":"text","text":"look"},{"type":"image","url":"data:image/png;base64,AAAA"},"#,
            r#"{"type":"mention","name":"a.rs","path":"/proj/a.rs"}],"effort":"low","summary":"none"}}"#
        )
    );
    let efforts = [Thinking::Hard, Thinking::Harder, Thinking::Ultra].map(|thinking| {
        let mut talk = Talk::ready(&SessionSpec { thinking, ..plain() });
        talk.prompt(1);
        talk.did()[0].split(r#""effort":"#).nth(1).map(ToOwned::to_owned)
    });
    assert_eq!(efforts, [r#""high"}}"#, r#""xhigh"}}"#, r#""xhigh"}}"#].map(|e| Some(e.into())));
}

#[test]
fn a_start_that_fails_ends_the_turn_and_the_process_and_every_later_turn() {
    let refused = |id: u32| json!({"id": id, "error": {"code": -32600, "message": "no"}});
    for (step, why) in [(1, "initialize: no"), (2, "thread/start: no")] {
        let mut talk = Talk::opened(&plain());
        talk.prompt(1);
        for id in 1..step {
            talk.says(&json!({"id": id, "result": {}}));
        }
        talk.did();
        talk.says(&refused(step));
        let end = format!("end 1 failed protocol {why:?}");
        assert_eq!(talk.did(), [&*end, "close stdin"]);
        talk.prompt(2);
        assert_eq!(talk.did(), [format!("end 2 failed protocol {why:?}")]);
        assert_eq!(talk.codex.deadline(), None);
    }
}

#[test]
fn an_answer_without_a_thread_is_a_failure() {
    let mut talk = Talk::opened(&plain());
    talk.says(&json!({"id": 1, "result": {}}));
    talk.did();
    talk.says(&json!({"id": 2, "result": {"thread": null}}));
    assert_eq!(talk.did(), ["close stdin"]);
    talk.prompt(1);
    assert_eq!(
        talk.did(),
        ["end 1 failed protocol \"the answer to thread/start names no thread\""]
    );
}

#[test]
fn a_start_that_never_ends_fails_after_a_minute() {
    for answers in [0, 1] {
        let mut talk = Talk::opened(&plain());
        talk.prompt(1);
        for id in 1..=answers {
            talk.says(&json!({"id": id, "result": {}}));
        }
        talk.did();
        talk.wait(59);
        assert_eq!(talk.did(), [""; 0]);
        talk.wait(2);
        assert_eq!(
            talk.did(),
            ["end 1 failed stalled \"the program was started and does not answer\"", "close stdin",]
        );
    }
}

#[test]
fn a_process_that_ends_before_it_is_ready_fails_the_turn_with_what_it_complained_of() {
    let mut talk = Talk::opened(&plain());
    talk.prompt(1);
    talk.complains("Error: no such option");
    talk.did();
    talk.input(Input::Ended { code: Some(2), signal: None });
    assert_eq!(talk.did(), ["end 1 failed agent_crashed \"Error: no such option\""]);
}

#[test]
fn a_turn_that_is_cancelled_before_the_start_is_never_asked_for() {
    let mut talk = Talk::opened(&plain());
    talk.prompt(1);
    talk.did();
    talk.input(Input::Cancel { turn: 1 });
    assert_eq!(talk.did(), ["end 1 cancelled"]);
    talk.says(&json!({"id": 1, "result": {}}));
    talk.says(&json!({"id": 2, "result": {"thread": {"id": "th"}}}));
    assert!(!talk.did().iter().any(|line| line.contains("turn/start")));
}
