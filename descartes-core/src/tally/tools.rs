//! What kind a tool is, by its name: a closed set, whatever names programs make up.

/// The kinds of tools, as they are counted.
pub const TOOL_KINDS: [&str; 9] =
    ["read", "search", "edit", "execute", "fetch", "plan", "delegate", "mcp", OTHER];

const OTHER: &str = "other";

/// Names of tools without case and punctuation, by kind. They are those that the programs of the
/// known backends come with, and the kinds of ACP (<https://agentclientprotocol.com>, tool calls).
const NAMES: [(&str, &[&str]); 7] = [
    (
        "read",
        &[
            "read",
            "readfile",
            "readmanyfiles",
            "notebookread",
            "view",
            "ls",
            "list",
            "listdirectory",
        ],
    ),
    (
        "search",
        &["search", "grep", "glob", "find", "searchfilecontent", "codesearch", "toolsearch"],
    ),
    (
        "edit",
        &[
            "edit",
            "multiedit",
            "write",
            "writefile",
            "notebookedit",
            "replace",
            "applypatch",
            "patch",
            "filechange",
            "delete",
            "move",
        ],
    ),
    (
        "execute",
        &[
            "execute",
            "run",
            "bash",
            "bashoutput",
            "killbash",
            "killshell",
            "shell",
            "runshellcommand",
            "commandexecution",
            "exec",
            "execcommand",
        ],
    ),
    ("fetch", &["fetch", "webfetch", "websearch", "googlewebsearch"]),
    (
        "plan",
        &[
            "think",
            "todowrite",
            "todoread",
            "writetodos",
            "updateplan",
            "exitplanmode",
            "enterplanmode",
            "switchmode",
            "savememory",
        ],
    ),
    ("delegate", &["task", "agent", "skill", "slashcommand", "collabagenttoolcall"]),
];

/// The kind of the tool `name`.
#[must_use]
pub fn tool_kind(name: &str) -> &'static str {
    /// The longest of the names, with room for punctuation.
    const LONGEST: usize = 48;
    if name.starts_with("mcp__") || name.contains('/') {
        return "mcp";
    }
    if name.len() > LONGEST {
        return OTHER;
    }
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    let row = NAMES.iter().find(|(_, names)| names.contains(&plain.as_str()));
    row.map_or(OTHER, |(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_of_the_kind_that_their_name_says_and_unknown_ones_are_other() {
        for (name, kind) in [
            ("Bash", "execute"),
            ("commandExecution", "execute"),
            ("run", "execute"),
            ("run_shell_command", "execute"),
            ("WebFetch", "fetch"),
            ("mcp__server__tool", "mcp"),
            ("server/tool", "mcp"),
            ("TodoWrite", "plan"),
            ("made up by an agent", "other"),
            ("", "other"),
        ] {
            assert_eq!(tool_kind(name), kind, "{name}");
        }
        assert_eq!(tool_kind(&"Bash ".repeat(1000)), "other");
        assert!(NAMES.iter().all(|(kind, _)| TOOL_KINDS.contains(kind)));
    }
}
