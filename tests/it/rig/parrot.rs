//! Commands of `parrot`, the agent that does what its arguments say, and of the shell.

use std::path::Path;

use super::program;

/// The ways in which an agent of [`flee`] gets away from its group, session, environment, parent.
pub(crate) const MANNERS: &[&str] =
    &["double-fork", "setsid", "setsid-env", "deaf", "hold-pipe", "all"];

/// The steps of a parrot.
pub(crate) fn parrot(steps: &[&str]) -> Vec<String> {
    let path = program("parrot").into_os_string().into_string().expect("a path of text");
    std::iter::once(path).chain(steps.iter().map(|&step| step.to_owned())).collect()
}

/// A line of shell.
pub(crate) fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// Writes exactly the content of `file` to one stream.
pub(crate) fn say(stream: &str, file: &Path) -> Vec<String> {
    let redirect = if stream == "stderr" { ">&2" } else { "" };
    shell(&format!("cat '{}' {redirect}", file.display()))
}

/// Writes the content of `file`, one write for each byte.
pub(crate) fn byte_by_byte(file: &Path) -> Vec<String> {
    parrot(&["bytewise", file.to_str().expect("a path of text")])
}

/// One line of `bytes` bytes, its newline not counted.
pub(crate) fn long_line(bytes: usize) -> Vec<String> {
    parrot(&["long", &bytes.to_string(), "print", "\\n"])
}

/// Lines, `bytes` bytes in all, as fast as they are taken.
pub(crate) fn flood(bytes: usize) -> Vec<String> {
    parrot(&["blocks", &bytes.to_string()])
}

/// Lines, so many times `bytes` bytes, each of which was taken before the next is written.
pub(crate) fn pieces(count: usize, bytes: usize) -> Vec<String> {
    parrot(&["pieces", &count.to_string(), &bytes.to_string()])
}

/// Prints thirty lines in its own time, then ends.
pub(crate) fn chatter(token: &str) -> Vec<String> {
    parrot(&["count", "30", "20", "--token", token])
}

/// Starts descendants that flee in `manner`, prints `ready`, and listens to nobody.
pub(crate) fn flee(manner: &str, token: &str) -> Vec<String> {
    parrot(&["flee", manner, "--token", token])
}

/// A shell that starts others in sessions of their own, some without an environment, as scripts do.
pub(crate) fn shell_of_sessions(token: &str) -> Vec<String> {
    let deaf = "trap \"\" TERM INT HUP; sleep 100000; sleep 100000";
    let script = format!(
        "setsid sh -c '{deaf}' {token} & setsid env -i PATH=\"$PATH\" sh -c '{deaf}' {token} & \
         (sh -c '{deaf}' {token} &); echo ready; {deaf}"
    );
    ["sh", "-c", &script, token].map(str::to_owned).to_vec()
}

/// Ends at once and leaves a process behind that left its group, session and environment.
pub(crate) fn leave_behind(token: &str) -> Vec<String> {
    parrot(&["leave-behind", "--token", token])
}

/// Ends when it reads a line, while a descendant goes on holding its output.
pub(crate) fn hold_the_pipe() -> Vec<String> {
    parrot(&["hold-pipe"])
}

/// Prints a line a second.
pub(crate) fn ticker() -> Vec<String> {
    parrot(&["count", "1000000", "1000"])
}
