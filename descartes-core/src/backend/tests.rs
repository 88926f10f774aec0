use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::dialect::{CodexExec, LaunchWords, SessionSpec};
use crate::testing::FakeChat;

/// Everything that can be conversed with.
fn conversing() -> Vec<Backend> {
    let codex_exec = Backend::conversing("codex-exec", vec!["codex".into()], "codex-exec", || {
        Box::new(CodexExec::new())
    });
    Backend::known().into_iter().chain([codex_exec, FakeChat::backend()]).collect()
}

fn words(backend: &Backend, mode: ApprovalMode) -> LaunchWords {
    let Recipe::Conversing(conversing) = &backend.recipe else { panic!("{backend:?}") };
    let mut session = SessionSpec::new(Uuid::nil(), "/home/user/proj");
    session.approvals = mode;
    let mut words = LaunchWords::default();
    (conversing.make)().launch(&session, &mut words);
    words
}

#[test]
fn every_mode_of_every_backend_is_kept_or_refused() {
    use ApprovalMode::{AllowAll, AllowEdits, Ask, Deny};

    /// What a program is told of a mode, as an argument or in a variable; it is not told the others.
    type Told = &'static [(ApprovalMode, &'static [&'static str])];
    const ASKS: Option<Told> = None;
    const OPENCODE: Told = &[
        (AllowEdits, &[r#""*":"deny""#, r#""bash":"deny""#, r#""edit":"allow""#]),
        (AllowAll, &["--auto"]),
        (Deny, &[r#""*":"deny""#, r#""bash":"deny""#, r#""edit":"deny""#]),
    ];
    const GEMINI: Told =
        &[(AllowEdits, &["auto_edit"]), (AllowAll, &["yolo"]), (Deny, &["default"])];
    const CODEX: Told = &[
        (AllowEdits, &[r#"sandbox_mode="workspace-write""#]),
        (AllowAll, &[r#"sandbox_mode="danger-full-access""#]),
        (Deny, &[r#"sandbox_mode="read-only""#]),
    ];
    let table = BTreeMap::from([
        ("claude-code", ASKS),
        ("codex", ASKS),
        ("opencode", ASKS),
        ("gemini", ASKS),
        ("acp", ASKS),
        ("fake", ASKS),
        ("opencode-run", Some(OPENCODE)),
        ("gemini-run", Some(GEMINI)),
        ("codex-exec", Some(CODEX)),
        ("line-talk", Some(&[(AllowAll, &[])])),
    ]);
    for backend in conversing() {
        let name = &*backend.name;
        let told = table.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        for mode in ApprovalMode::ALL {
            let refused = backend.check_approvals(mode, CHAT_APPROVALS).is_err();
            let LaunchWords { args, env, .. } = words(&backend, mode);
            let said: Vec<_> = args.iter().chain(env.values()).collect();
            let Some(told) = told else {
                // Core answers its questions: the program is started the same for every mode.
                assert!(!refused, "{name} {mode:?}");
                assert_eq!((args, env), (words(&backend, Ask).args, words(&backend, Ask).env));
                continue;
            };
            let expected = told.iter().find(|(of, _)| *of == mode);
            assert_eq!(refused, expected.is_none(), "{name} {mode:?}");
            let has = |word: &&str| said.iter().any(|said| said.contains(*word));
            for word in expected.map(|(_, words)| *words).unwrap_or_default() {
                assert!(has(word), "{name} {mode:?}: {word} in {said:?}");
            }
        }
    }
}

#[test]
fn what_would_be_asked_by_nobody_is_fenced_in_also_if_it_slipped_through() {
    for backend in conversing() {
        if backend.check_approvals(ApprovalMode::Ask, CHAT_APPROVALS).is_err() {
            assert_eq!(words(&backend, ApprovalMode::Ask), words(&backend, ApprovalMode::Deny));
        }
    }
}

#[test]
fn a_program_that_asks_only_if_it_is_told_to_is_told_to() {
    let opencode = Backend::known().into_iter().find(|backend| &*backend.name == "opencode");
    let opencode = opencode.expect("a recipe").program;
    let rules: serde_json::Value =
        serde_json::from_str(&opencode.env["OPENCODE_PERMISSION"]).expect("JSON");
    for tool in ["*", "bash", "edit", "webfetch", "external_directory"] {
        assert_eq!(rules[tool], "ask", "{tool}");
    }
    // What its sub-agents ask is heard by nobody (seen in 1.18.33).
    assert_eq!(rules["task"], "deny");
    let claude = words(&Backend::known()[0], ApprovalMode::AllowAll).args.join(" ");
    assert!(claude.contains("--permission-mode default"), "{claude}");
    assert!(claude.contains("--permission-prompt-tool stdio"), "{claude}");
}

#[test]
fn what_converses_with_nobody_keeps_to_no_mode() {
    let basic = Backend::basic(None);
    for (backend, path) in [(Backend::process(), CHAT_APPROVALS), (basic, AGENT_APPROVALS)] {
        for mode in ApprovalMode::ALL {
            let kept = backend.check_approvals(mode, path).is_ok();
            assert_eq!(kept, mode == ApprovalMode::AllowAll, "{backend:?} {mode:?}");
        }
    }
    assert!(Backend::basic(None).check_approvals(ApprovalMode::Ask, CHAT_APPROVALS).is_ok());
}
