//! What agents can be started with.

use std::io;
use std::sync::Arc;

use descartes_core::Descartes;
use descartes_core::process::ProcessRunner;
use descartes_rpc::client::Client;
use descartes_rpc::service::Rpc;
use descartes_rpc::wire::backend::{Backend, BackendsParams, Login};

use super::finding::{Finding, Grade};
use crate::cli::failure::Failure;
use crate::config::{Chats, Config};

/// Those that the daemon brings itself, of which nothing can be missing.
const BUNDLED: [&str; 2] = ["process", "basic"];

/// Those of a daemon, which are looked at again.
pub(super) async fn of_daemon(client: &Client) -> Result<Vec<Backend>, Failure> {
    Ok(client.backend_list(BackendsParams { refresh: Some(true) }).await?.backends)
}

/// Those that a daemon which is started from here would have, beside those of its remotes.
pub(super) async fn of_this_machine(config: &Config) -> Result<Vec<Backend>, Failure> {
    let failed = |error| Failure::Local {
        what: "look at what is installed".to_owned(),
        source: io::Error::other(error),
    };
    let mut builder = Descartes::builder().runner(Arc::new(ProcessRunner::new()));
    for (name, backend) in config.backends.iter().filter(|(_, it)| it.remote().is_none()) {
        let backend = backend.backend(name, None);
        builder = builder.backend(backend.expect("a backend that cannot be is refused"));
    }
    let descartes = builder.build().await.map_err(failed)?;
    of_daemon(&Client::in_memory(Rpc::builder(descartes).build())).await
}

/// What is to be said of them.
pub(super) fn judge(
    list: Result<Vec<Backend>, Failure>,
    config: Option<&Config>,
    findings: &mut Vec<Finding>,
) {
    match list {
        Ok(list) => {
            let told = list.iter().filter(|backend| !BUNDLED.contains(&&*backend.name));
            findings.extend(told.map(|backend| of(backend, Need::of(&backend.name, config))));
        }
        Err(failure) => {
            let advice = "check whether the daemon lets you in";
            findings.push(Finding::new(Grade::Broken, "backends", failure.to_string(), advice));
        }
    }
}

/// How much a backend is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Somebody configured it.
    Wanted,
    /// It is meant by who says nothing, but nobody chose it.
    Usual,
    /// Not at all.
    No,
}

impl Need {
    fn of(name: &str, config: Option<&Config>) -> Self {
        let Some(config) = config else { return Self::No };
        let usual = Chats::default().default_backend;
        let chosen = config.chats.default_backend == name && name != usual
            || config.agents.default_backend.as_deref() == Some(name);
        match () {
            () if chosen || config.backends.contains_key(name) => Self::Wanted,
            () if config.chats.default_backend == name => Self::Usual,
            () => Self::No,
        }
    }

    /// How bad it is that it cannot be used.
    fn grade(self, otherwise: Grade) -> Grade {
        match self {
            Self::Wanted => Grade::Broken,
            Self::Usual => Grade::Warning,
            Self::No => otherwise,
        }
    }
}

fn of(backend: &Backend, need: Need) -> Finding {
    let check = format!("backend {}", backend.name);
    let program = backend.program.as_deref().unwrap_or_default();
    match backend.reason.as_deref() {
        None if backend.available => usable(backend, check),
        Some("not_found") => {
            let searched = backend.searched.as_deref().unwrap_or_default().join(", ");
            let mut advice = match &backend.install_hint {
                Some(hint) => format!("{hint}, if you want it"),
                None => "install it, or say where it is: [backends.NAME] command".to_owned(),
            };
            if need == Need::Usual {
                advice.push_str("; or choose another: [chats] default_backend");
            }
            let finding = match &*searched {
                "" => format!("`{program}` is not there"),
                searched => format!("`{program}` is not in {searched}"),
            };
            Finding::new(need.grade(Grade::Note), check, finding, advice)
        }
        Some("not_executable") => {
            let advice = "make it a program that may be executed (chmod +x)";
            let finding = format!("`{program}` may not be executed");
            Finding::new(need.grade(Grade::Warning), check, finding, advice)
        }
        Some("probe_failed") => {
            let finding = format!("{program} does not say its version");
            let advice = format!("run `{program} --version` to see why, or install it anew");
            Finding::new(need.grade(Grade::Warning), check, finding, advice)
        }
        reason => {
            let finding = reason.unwrap_or("it cannot be used").to_owned();
            Finding::new(need.grade(Grade::Warning), check, finding, "ask `descartes backends`")
        }
    }
}

fn usable(backend: &Backend, check: String) -> Finding {
    let words = [&backend.version, &backend.program].into_iter().flatten();
    let what = words.map(String::as_str).collect::<Vec<_>>().join(", ");
    match (backend.login, &backend.program) {
        (_, None) => Finding::ok(check, "each agent brings its own program"),
        (Login::Missing, Some(program)) => {
            let advice = format!("run `{program}` in a terminal and log in, or give it a key");
            let finding = format!("{what}, not logged in");
            Finding::new(Grade::Warning, check, finding, advice)
        }
        (Login::Ok, Some(_)) => Finding::ok(check, format!("{what}, logged in")),
        (_, Some(_)) => Finding::ok(check, format!("{what}, its login cannot be told")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn backend(more: &Value) -> Backend {
        let mut all = json!({
            "name": "codex", "dialect": "codex", "runner": "process", "available": true,
            "login": "ok", "capabilities": {
                "turns": true, "resume": true, "approvals": true, "cancel": true, "pause": false,
                "models": [],
            },
        });
        for (name, value) in more.as_object().expect("members") {
            all[name] = value.clone();
        }
        serde_json::from_value(all).expect("a backend")
    }

    #[test]
    fn every_trouble_has_its_grade_and_something_to_do() {
        let not = |reason: &str| json!({"available": false, "reason": reason, "program": "codex"});
        let found =
            |login: &str| json!({"login": login, "version": "1.0", "program": "/bin/codex"});
        let (ok, note, warning, broken) = (Grade::Ok, Grade::Note, Grade::Warning, Grade::Broken);
        // Where nobody needs it, where it is the usual one, where somebody wants it.
        let table = [
            (not("not_found"), [note, warning, broken]),
            (not("not_executable"), [warning, warning, broken]),
            (not("probe_failed"), [warning, warning, broken]),
            (not("something_new"), [warning, warning, broken]),
            (found("missing"), [warning; 3]),
            (found("ok"), [ok; 3]),
            (found("unknown"), [ok; 3]),
            (json!({}), [ok; 3]),
        ];
        for (more, grades) in table {
            for (need, grade) in [Need::No, Need::Usual, Need::Wanted].into_iter().zip(grades) {
                let finding = of(&backend(&more), need);
                assert_eq!(finding.status, grade, "{need:?} {finding:?}");
                assert_eq!(finding.advice.is_none(), grade == ok, "{finding:?}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_told_with_where_it_was_looked_for_and_how_to_get_it() {
        let missing = json!({
            "available": false, "reason": "not_found", "program": "codex",
            "searched": ["/usr/bin", "/bin"], "install_hint": "npm install -g @openai/codex",
        });
        let finding = of(&backend(&missing), Need::No);
        assert_eq!(finding.finding, "`codex` is not in /usr/bin, /bin");
        assert_eq!(finding.advice.as_deref(), Some("npm install -g @openai/codex, if you want it"));
    }

    #[test]
    fn what_somebody_configured_is_needed() {
        let mut config = Config::default();
        assert_eq!(Need::of("claude-code", Some(&config)), Need::Usual);
        assert_eq!(Need::of("codex", Some(&config)), Need::No);
        config.chats.default_backend = "codex".to_owned();
        assert_eq!(Need::of("codex", Some(&config)), Need::Wanted);
        assert_eq!(Need::of("claude-code", Some(&config)), Need::No);
        config.backends.insert("claude-code".to_owned(), Default::default());
        assert_eq!(Need::of("claude-code", Some(&config)), Need::Wanted);
    }
}
