//! A small activator: starts a program with sockets that are open already (sd_listen_fds(3)).

use std::os::fd::OwnedFd;
use std::process::Command;

/// Two sockets with their names.
pub(crate) type Given = [(&'static str, OwnedFd); 2];

/// The command that starts `inner` with `given`. They travel as its input and output, because those
/// are all that a command is given here; what it prints goes where its errors go.
pub(crate) fn with(inner: &Command, given: Given) -> Command {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 4<&1 0</dev/null 1>&2; export LISTEN_PID=$$; exec \"$0\" \"$@\"";
    command.arg("-c").arg(script).arg(inner.get_program()).args(inner.get_args()).env_clear();
    for (name, value) in inner.get_envs() {
        command.env(name, value.expect("nothing is left out by its name"));
    }
    if let Some(folder) = inner.get_current_dir() {
        command.current_dir(folder);
    }
    let [(first, input), (second, output)] = given;
    command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", format!("{first}:{second}"));
    command.stdin(input).stdout(output);
    command
}
