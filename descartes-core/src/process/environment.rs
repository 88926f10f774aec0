//! The environment of an agent: what it inherits, what is set, what never gets through.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::marker;

/// What every program needs to feel at home. A trailing `*` stands for any ending.
const INHERITED: [&str; 9] =
    ["PATH", "HOME", "USER", "SHELL", "LANG", "LC_*", "TERM", "TMPDIR", "XDG_*"];

/// Variables by which a program finds out that it runs inside another agent or under a service
/// manager, and behaves differently. Inherited never; an agent's own specification may set them.
const SCRUBBED: [&str; 14] = [
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SSE_PORT",
    "CODEX_SANDBOX*",
    "CODEX_THREAD_ID",
    "GEMINI_CLI",
    "OPENCODE",
    "CURSOR_AGENT",
    "NOTIFY_SOCKET",
    "WATCHDOG_*",
    "LISTEN_*",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    marker::VARIABLE,
];

/// The variables of the host that agents may inherit from, taken once.
#[derive(Clone, Default)]
pub(super) struct HostEnvironment(Vec<(OsString, OsString)>);

/// Shows names, never values.
impl std::fmt::Debug for HostEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl HostEnvironment {
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(variables.into_iter().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
    }

    /// What a child gets: inherited variables, then `set`, then the marker.
    pub(super) fn for_child(
        &self,
        pass: &[&[String]],
        set: &BTreeMap<String, String>,
        marker: &marker::Marker,
    ) -> BTreeMap<OsString, OsString> {
        let passed = |name: &str| {
            let more = pass.iter().flat_map(|list| list.iter().map(String::as_str));
            let mut patterns = INHERITED.into_iter().chain(more);
            patterns.any(|pattern| matches(pattern, name))
        };
        let scrubbed = |name: &str| SCRUBBED.into_iter().any(|pattern| matches(pattern, name));
        let inherited = self.0.iter().filter(|(name, _)| {
            // A name that is no text cannot have been asked for.
            name.to_str().is_some_and(|name| passed(name) && !scrubbed(name))
        });
        let mut all: BTreeMap<OsString, OsString> = inherited.cloned().collect();
        all.extend(set.iter().map(|(name, value)| (name.into(), value.into())));
        let outer = self.get(marker::VARIABLE).and_then(OsStr::to_str);
        all.insert(marker::VARIABLE.into(), marker.value(outer).into());
        all
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or_else(|| pattern == name, |beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentId;

    fn child(host: &[(&str, &str)], pass: &[&str], set: &[(&str, &str)]) -> Vec<String> {
        let host = HostEnvironment::of(host.iter().map(|(a, b)| (a.into(), b.into())));
        let pass: Vec<String> = pass.iter().map(|name| (*name).to_owned()).collect();
        let set = set.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let marker = marker::Marker { instance: 1, agent: AgentId::generate(), run: 1 };
        let all = host.for_child(&[&pass], &set, &marker);
        let text = |(a, b): (&OsString, &OsString)| format!("{}={}", a.display(), b.display());
        all.iter().map(text).filter(|pair| !pair.starts_with(marker::VARIABLE)).collect()
    }

    #[test]
    fn only_what_is_listed_is_inherited() {
        let host = [("PATH", "/bin"), ("LC_ALL", "C"), ("SECRET", "x"), ("PATHS", "y")];
        assert_eq!(child(&host, &[], &[]), ["LC_ALL=C", "PATH=/bin"]);
        assert_eq!(child(&host, &["SEC*"], &[]), ["LC_ALL=C", "PATH=/bin", "SECRET=x"]);
    }

    #[test]
    fn what_changes_a_nested_agent_is_not_inherited_but_can_be_set() {
        let host = [("CLAUDECODE", "1"), ("NOTIFY_SOCKET", "/run/x")];
        assert_eq!(child(&host, &["*"], &[]), Vec::<String>::new());
        assert_eq!(child(&host, &["*"], &[("CLAUDECODE", "1")]), ["CLAUDECODE=1"]);
    }
}
