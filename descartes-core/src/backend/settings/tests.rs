use super::*;
use crate::agent::{AgentId, AgentSpec};
use crate::runner::Launch;

fn launch(backend: &Backend) -> Launch {
    backend.launch(1, (AgentId::generate(), 1), &AgentSpec::default())
}

fn known(name: &str) -> Backend {
    Backend::known_as(name).expect("it is known")
}

#[test]
fn a_backend_that_is_known_is_changed_key_by_key() {
    let plain = launch(&known("claude"));
    assert_eq!(plain.argv, ["claude"]);
    let settings = BackendSettings {
        env: [("DISABLE_TELEMETRY", "0"), ("MINE", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        pass_env: vec!["MY_*".into()],
        ..BackendSettings::default()
    };
    let more = launch(&known("claude").with(settings).expect("it can be"));
    assert_eq!((&more.argv, &*more.env["DISABLE_TELEMETRY"]), (&plain.argv, "0"));
    assert_eq!((&*more.env["DISABLE_AUTOUPDATER"], &*more.env["MINE"]), ("1", "1"));
    assert!(more.pass_env.starts_with(&plain.pass_env), "the recipe's stay: {more:?}");
    assert_eq!(more.pass_env.last().map(String::as_str), Some("MY_*"));
    let settings = BackendSettings {
        command: Some(vec!["/opt/claude".into(), "--x".into()]),
        ..BackendSettings::default()
    };
    let moved = known("claude").with(settings).expect("it can be");
    assert_eq!(launch(&moved).argv, ["/opt/claude", "--x"]);
    assert_eq!(launch(&moved).env, plain.env);
    assert_eq!((moved.dialect_name(), &**moved.name()), ("claude", "claude-code"));
}

#[test]
fn every_dialect_can_be_named_and_another_is_answered_with_those_that_there_are() {
    let spoken = |dialect: &str| {
        let settings =
            BackendSettings { dialect: Some(dialect.into()), ..BackendSettings::default() };
        Backend::process().renamed("mine").with(settings)
    };
    for dialect in dialect::names() {
        let backend = spoken(dialect).expect("it is there");
        assert_eq!((backend.dialect_name(), backend.always_converses()), (dialect, true));
    }
    assert!(!spoken("lines").expect("it is there").has_turns());
    let unknown = spoken("klingon").expect_err("there is none");
    let told = "there is no dialect `klingon`; there are acp, claude, codex, codex-exec, gemini, \
                line-talk, opencode, lines";
    assert_eq!(unknown.to_string(), told);
    for backend in Backend::known() {
        let name = backend.dialect_name();
        assert!(dialect::named(name).is_some(), "{name} can be asked for");
    }
}

#[test]
fn a_program_on_another_machine_inherits_nothing_of_this_one() {
    assert!(!launch(&known("codex")).pass_env.is_empty());
    assert!(launch(&known("codex").on("far")).pass_env.is_empty());
}

#[test]
fn what_is_said_of_capabilities_counts_and_what_cannot_be_is_refused() {
    let with = |name: &str, said: CapabilitySettings| {
        let settings = BackendSettings { capabilities: said, ..BackendSettings::default() };
        known(name).with(settings)
    };
    let said = CapabilitySettings::default;
    let off = Some(false);
    let mute = with("codex", CapabilitySettings { turns: off, ..said() }).expect("it can be");
    assert!(!mute.has_turns() && !mute.always_converses() && !mute.capabilities().cancel);
    let silent = CapabilitySettings { approvals: off, resume: off, cancel: off, ..said() };
    let silent = with("codex", silent).expect("it can be");
    let can = silent.capabilities();
    assert_eq!((can.turns, can.approvals, can.resume, can.cancel), (true, false, false, false));
    let modes = crate::dialect::ApprovalMode::ALL
        .map(|mode| silent.check_approvals(mode, super::super::CHAT_APPROVALS).is_ok());
    assert_eq!(modes, [false, false, true, false], "nothing but allow_all is true of it");
    let on = Some(true);
    assert!(with("acp", CapabilitySettings { resume: on, ..said() }).is_ok());
    assert!(with("process", CapabilitySettings { pause: on, ..said() }).is_ok());
    let claims = [
        ("process", "turns", CapabilitySettings { turns: on, ..said() }),
        ("process", "resume", CapabilitySettings { resume: on, ..said() }),
        ("gemini-run", "approvals", CapabilitySettings { approvals: on, ..said() }),
        ("gemini-run", "cancel", CapabilitySettings { cancel: on, ..said() }),
        ("claude-code", "pause", CapabilitySettings { pause: on, ..said() }),
    ];
    for (name, capability, said) in claims {
        let refused = with(name, said).expect_err("it cannot").to_string();
        assert!(refused.ends_with(&format!("has no `{capability}`")), "{refused}");
    }
}

#[test]
fn who_pauses_in_words_is_said_to_or_known_to() {
    let pause = |backend: Backend, said| {
        let capabilities = CapabilitySettings { pause: said, ..CapabilitySettings::default() };
        let settings = BackendSettings { capabilities, ..BackendSettings::default() };
        backend.with(settings).expect("it can be").dialect().is_some()
    };
    assert!(pause(Backend::basic(None), None) && !pause(Backend::basic(None), Some(false)));
    assert!(pause(Backend::process(), Some(true)) && !pause(Backend::process(), None));
}

#[test]
fn what_the_host_itself_brings_cannot_be_replaced() {
    for name in ["basic", "process"] {
        let settings =
            BackendSettings { command: Some(vec!["x".into()]), ..BackendSettings::default() };
        let refused = known(name).with(settings).expect_err("it is fixed").to_string();
        assert_eq!(refused, format!("`command` of `{name}` cannot be changed"));
    }
}
