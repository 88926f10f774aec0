use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::dialect::{LaunchWords, Prompt, PromptPart, Thinking};

const TALK: [&str; 11] = [
    "-p",
    "--output-format",
    "stream-json",
    "--input-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-prompt-tool",
    "stdio",
    "--permission-mode",
    "default",
];

fn words(session: &SessionSpec) -> LaunchWords {
    let mut words = LaunchWords::default();
    Claude::new().launch(session, &mut words);
    words
}

#[test]
fn a_new_conversation_has_our_name_and_every_wish() {
    let mut session = SessionSpec::new(Uuid::from_u128(7), "/work");
    let words_of_fresh = words(&session);
    let fresh = ["--session-id", "00000000-0000-0000-0000-000000000007"];
    assert_eq!(words_of_fresh.args, [&TALK[..], &fresh].concat());
    assert_eq!((words_of_fresh.env, words_of_fresh.closes_stdin), (BTreeMap::new(), false));

    session.native = Some("the-other".into());
    session.model = Some("opus".into());
    session.system_prompt = Some("-be brief".into());
    session.max_turns = Some(3);
    session.approvals = crate::dialect::ApprovalMode::AllowAll;
    let wishes = [
        "--model",
        "opus",
        "--resume",
        "the-other",
        "--append-system-prompt",
        "-be brief",
        "--max-turns",
        "3",
    ];
    assert_eq!(words(&session).args, [&TALK[..], &wishes].concat());
}

#[test]
fn thinking_is_a_budget_for_some_models_and_an_effort_for_others() {
    let env = |thinking| {
        let session = SessionSpec { thinking, ..SessionSpec::new(Uuid::nil(), "/work") };
        let env = words(&session).env.into_iter();
        env.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(env(Thinking::Off), "MAX_THINKING_TOKENS=0");
    assert_eq!(env(Thinking::Normal), "");
    assert_eq!(env(Thinking::Hard), "CLAUDE_CODE_EFFORT_LEVEL=high MAX_THINKING_TOKENS=31999");
    assert_eq!(env(Thinking::Harder), "CLAUDE_CODE_EFFORT_LEVEL=xhigh MAX_THINKING_TOKENS=31999");
    assert_eq!(env(Thinking::Ultra), "CLAUDE_CODE_EFFORT_LEVEL=max MAX_THINKING_TOKENS=31999");
}

#[test]
fn a_prompt_has_its_pictures_and_files() {
    let mut played = ready();
    let mut prompt = Prompt::text("look");
    let picture = PromptPart::Image { media_type: "image/png".into(), data: "AAAA".into() };
    prompt.parts.push(picture);
    prompt.parts.push(PromptPart::File { path: "/home/ann/a b.txt".into() });
    given(&mut played, Input::Prompt { turn: 1, prompt: &prompt });
    assert_eq!(
        played.sent[0]["message"]["content"],
        json!([
            {"type": "text", "text": "look"},
            {"type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "text", "text": "@\"/home/ann/a b.txt\""},
        ])
    );
}

#[test]
fn a_program_that_does_not_ask_is_told_to() {
    let mut played = ready();
    let mode = |mode| json!({"type": "system", "subtype": "status", "permissionMode": mode});
    after(&mut played, [mode("plan"), mode("default")]);
    assert!(played.sent.is_empty());
    after(&mut played, [mode("acceptEdits"), mode("acceptEdits")]);
    let wanted = json!({"type": "control_request", "request_id": "descartes-2",
        "request": {"subtype": "set_permission_mode", "mode": "default"}});
    assert_eq!(played.sent, [wanted]);
}
