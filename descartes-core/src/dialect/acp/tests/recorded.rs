//! Sessions of claude-agent-acp, OpenCode and Gemini, as they were.

use std::sync::Arc;

use crate::dialect::SessionSpec;
use crate::dialect::acp::Acp;
use crate::dialect::acp::tests::{AcpWire, open, session};
use crate::dialect::transcript::{Entry, Played, expect, read, told};
use crate::event::TurnOutcome;
use crate::limits;

fn play(name: &str, acp: Acp, session: &SessionSpec) -> Played<Acp> {
    let entries = read(&format!("{name}.session.jsonl"));
    let mut played = open(acp, session);
    played.play(&AcpWire, &entries);
    expect(name, &told(&played.actions));
    played
}

/// The recorded conversation `native` goes on.
fn resumed(native: &str) -> SessionSpec {
    SessionSpec { native: Some(Arc::from(native)), ..session() }
}

#[test]
fn claude_agent_acp_answers_asks_is_denied_and_cancelled() {
    let played = play("acp-claude", Acp::new(), &session());
    assert_eq!(played.text(2), "Let me run that.The tool answered: ok");
    assert_eq!(
        played.text(4),
        "tick 1 tick 2 tick 3 tick 4 tick 5 tick 6 tick 7 tick 8 tick 9 tick 10 "
    );
    assert_eq!(played.text(5), "after cancel");
    let outcomes = played.ends().into_iter().map(|end| end.outcome).collect::<Vec<_>>();
    let (done, cancelled) = (TurnOutcome::Completed, TurnOutcome::Cancelled);
    assert_eq!(outcomes, [done, done, done, cancelled, done]);
}

#[test]
fn opencode_answers_asks_is_denied_and_cancelled() {
    let played = play("acp-opencode", Acp::new(), &session());
    assert_eq!(played.text(2), "Let me run that.The tool answered: ok");
    assert_eq!(played.text(5), "after cancel");
}

#[test]
fn opencode_reads_and_writes_files_by_itself_though_it_asks_us_to() {
    let played = play("acp-opencode-tools", Acp::new(), &session());
    let refused = played.sent.iter().filter(|line| line.pointer("/error/code").is_some());
    assert!(refused.count() > 0, "it asks for `fs/write_text_file`");
}

#[test]
fn gemini_is_logged_in_asks_and_tells_no_arguments() {
    let acp = Acp::new().with_auth_method("gemini-api-key").with_model_argument("-m");
    let played = play("acp-gemini", acp, &session());
    assert_eq!(played.sent[1]["method"], "authenticate");
    assert_eq!(played.ends().len(), 8);
}

#[test]
fn errors_of_claude_agent_acp_are_no_text_of_the_model() {
    let played = play("acp-claude-errors", Acp::new(), &session());
    for turn in [5, 6, 9, 10] {
        assert_eq!(played.text(turn), "", "turn {turn}");
    }
    assert_eq!(played.text(11), "part 1 part 2 part 3 ");
}

#[test]
fn errors_of_opencode_have_their_kinds_and_its_false_end_of_a_cancelled_turn_is_seen() {
    let played = play("acp-opencode-errors", Acp::new(), &session());
    let last = played.ends().pop().map(|end| end.outcome);
    assert_eq!(last, Some(TurnOutcome::Cancelled));
}

/// A recording of a load, `late` lines of history after the first prompt, which we would not have
/// sent before the history was over.
fn loaded(name: &str, acp: Acp, native: &str, late: usize) -> Played<Acp> {
    let mut entries = read(&format!("{name}.session.jsonl"));
    let is_prompt = |entry: &Entry| entry.dir == "in" && entry.data["method"] == "session/prompt";
    let prompt = entries.iter().position(is_prompt).expect("it was asked something");
    entries[prompt..=prompt + late].rotate_left(1);
    let mut played = open(acp, &resumed(native));
    played.play(&AcpWire, &entries[..prompt + late]);
    played.wait(&AcpWire, limits::ACP_HISTORY_QUIET);
    played.play(&AcpWire, &entries[prompt + late..]);
    expect(name, &told(&played.actions));
    assert!(played.sent.iter().any(|line| line["method"] == "session/load"));
    played
}

#[test]
fn history_that_is_replayed_by_a_load_is_of_no_turn() {
    let claude = "70389672-aa60-45ec-9c53-969981a7c3f7";
    assert_eq!(loaded("acp-claude-load", Acp::new(), claude, 0).text(1), "second");
    let opencode = "ses_e02365b83ffedeOwX2VJi9Fh6K";
    assert_eq!(loaded("acp-opencode-load", Acp::new(), opencode, 0).text(1), "second");
}

#[test]
fn history_that_gemini_replays_behind_its_answer_is_of_no_turn_either() {
    let acp = Acp::new().with_auth_method("gemini-api-key").with_model_argument("-m");
    let native = "b11a39a1-b7fc-45ff-90f0-7e5fd587eaba";
    assert_eq!(loaded("acp-gemini-load", acp, native, 4).text(1), "second");
}

#[test]
fn a_conversation_that_the_agent_does_not_know_fails_the_turn_that_waits() {
    for name in ["acp-claude-load-unknown", "acp-opencode-load-unknown"] {
        let entries = read(&format!("{name}.session.jsonl"));
        let mut played = open(Acp::new(), &resumed("00000000-0000-4000-8000-000000000000"));
        played.prompt(&AcpWire, "go on");
        played.play(&AcpWire, &entries);
        expect(name, &told(&played.actions));
        assert_eq!(played.ends()[0].outcome, TurnOutcome::Failed);
    }
}
