//! Commands of agents that make trouble.

use std::path::Path;

/// The ways in which an agent of [`flee`] gets away from its group, session, environment, parent.
pub(crate) const MANNERS: &[&str] = &["double-fork", "setsid", "setsid-env", "deaf"];

/// What never ends by itself and does not listen.
const DEAF: &str = "trap \"\" TERM INT HUP; sleep 100000; sleep 100000";

/// A line of shell.
pub(crate) fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// A line of shell whose process can be found by `token`.
fn marked_shell(script: &str, token: &str) -> Vec<String> {
    ["sh", "-c", script, token].map(str::to_owned).to_vec()
}

/// Writes exactly the content of `file` to one stream.
pub(crate) fn say(stream: &str, file: &Path) -> Vec<String> {
    let redirect = if stream == "stderr" { ">&2" } else { "" };
    shell(&format!("cat '{}' {redirect}", file.display()))
}

/// Writes the content of `file`, one write for each byte.
pub(crate) fn byte_by_byte(file: &Path) -> Vec<String> {
    shell(&format!("dd if='{}' bs=1 status=none", file.display()))
}

/// One line of `bytes` bytes, its newline not counted.
pub(crate) fn long_line(bytes: usize) -> Vec<String> {
    shell(&format!("head -c {bytes} /dev/zero | tr '\\0' x; echo"))
}

/// Lines, `bytes` bytes in all, as fast as they are taken.
pub(crate) fn flood(bytes: usize) -> Vec<String> {
    shell(&format!("yes 'the quick brown parrot jumps over the lazy cat' | head -c {bytes}"))
}

/// Prints thirty lines in its own time, then ends.
pub(crate) fn chatter(token: &str) -> Vec<String> {
    marked_shell("for i in $(seq 30); do echo line $i; sleep 0.02; done", token)
}

/// Starts a descendant that flees in `manner`, prints `ready`, and listens to nobody either.
pub(crate) fn flee(manner: &str, token: &str) -> Vec<String> {
    let deaf = format!("sh -c '{DEAF}' {token}");
    let descendant = match manner {
        "double-fork" => format!("({deaf} &)"),
        "setsid" => format!("setsid {deaf} &"),
        "setsid-env" => format!("setsid env -i PATH=\"$PATH\" {deaf} &"),
        "deaf" => format!("{deaf} &"),
        other => panic!("nobody flees like {other}"),
    };
    marked_shell(&format!("{descendant}\necho ready\n{DEAF}"), token)
}

/// Ends at once and leaves a process behind that is in a session of its own.
pub(crate) fn leave_behind(token: &str) -> Vec<String> {
    let script = format!("(setsid sh -c '{DEAF}' {token} <&- >/dev/null 2>&1 &) ; echo left");
    marked_shell(&script, token)
}

/// Ends when it reads a line, while a descendant goes on holding its output.
pub(crate) fn hold_the_pipe() -> Vec<String> {
    shell("sleep 100000 & echo ready; read line; exit 0")
}

/// Prints a line a second.
pub(crate) fn ticker() -> Vec<String> {
    shell("while :; do echo tick; sleep 1; done")
}
