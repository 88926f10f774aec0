//! How parrot's processes leave each other.
//!
//! Nothing here forks: a child is parrot again with a role in front of its arguments. Each gets a
//! pipe as its standard input, into which it says that it stands.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::{forever, output};

/// What a started process is to do, in this order: start the rest and end (`fork`), lead a
/// session (`setsid`), let go of stdout and stderr (`quiet`), live on (`live`).
const ESCAPEE: &str = "fork,setsid,live";

/// Set by parrot for itself when it has become deaf.
const DEAF: &str = "PARROT_IS_DEAF";

/// Whether this process ignores the signals that ask to end.
pub(crate) fn is_deaf() -> bool {
    std::env::var_os(DEAF).is_some()
}

/// Ignores the signals that ask to end, and goes on with the rest of the steps.
///
/// What a program ignores is handed on when it executes another: a shell sets it up, because std
/// cannot. Returns only when that failed.
pub(crate) fn become_deaf(rest: &mut dyn Iterator<Item = String>) -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let script = "trap '' TERM HUP INT; exec \"$0\" \"$@\"";
    let tokens = std::env::args().skip_while(|word| word != "--token");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(program).args(rest).args(tokens).env(DEAF, "1").exec()
}

/// Closes a stream, as far as whoever is at its other end can tell.
pub(crate) fn close(stream: &str) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    match stream {
        "stdin" => rustix::stdio::dup2_stdin(null)?,
        "stdout" => rustix::stdio::dup2_stdout(null)?,
        "stderr" => rustix::stdio::dup2_stderr(null)?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(())
}

/// Starts the tree of `manner` and says `ready` when it stands.
pub(crate) fn flee(manner: &str) -> io::Result<()> {
    let (mut ready, stands) = io::pipe()?;
    let one = |role: &str, bare: bool| start(role, bare, &stands).map(|()| 1);
    let expected = match manner {
        "double-fork" => one("fork,live", false)?,
        "setsid" => one("setsid,live", false)?,
        "setsid-env" => one("fork,setsid,quiet,live", true)?,
        "deaf" | "hold-pipe" => one("live", false)?,
        "all" => {
            one("fork,live", false)?
                + one(ESCAPEE, false)?
                + one("fork,setsid,quiet,live", true)?
                + one("live", false)?
        }
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    wait(&mut ready, stands, expected)
}

/// Starts a process that cannot be told from a stranger, and says `ready` when it stands.
pub(crate) fn leave_behind() -> io::Result<()> {
    let (mut ready, stands) = io::pipe()?;
    start("fork,setsid,quiet,live", true, &stands)?;
    wait(&mut ready, stands, 1)
}

/// Starts a grandchild that holds stdout and stderr, and says `ready` when it stands.
pub(crate) fn hold_pipe() -> io::Result<()> {
    let (mut ready, stands) = io::pipe()?;
    start(ESCAPEE, false, &stands)?;
    wait(&mut ready, stands, 1)
}

/// Starts `count` children and says `ready` when they stand.
pub(crate) fn brood(count: usize) -> io::Result<()> {
    let (mut ready, stands) = io::pipe()?;
    for _ in 0..count {
        start("live", false, &stands)?;
    }
    wait(&mut ready, stands, count)
}

/// What a process that was started with `role` does.
pub(crate) fn play(role: &str, arguments: &[String]) -> io::Result<()> {
    let mut parts = role.split(',');
    while let Some(part) = parts.next() {
        match part {
            "fork" => {
                let rest: Vec<&str> = parts.collect();
                let stands = io::stdin().as_fd().try_clone_to_owned()?;
                return child(&rest.join(","), &arguments[1..], stands.into());
            }
            "setsid" => drop(rustix::process::setsid()?),
            "quiet" => {
                close("stdout")?;
                close("stderr")?;
            }
            "live" => {
                let stands = io::stdin().as_fd().try_clone_to_owned()?;
                File::from(stands).write_all(b".")?;
                close("stdin")?;
                forever();
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(())
}

fn start(role: &str, bare: bool, stands: &PipeWriter) -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut command = command(role, &arguments, stands.try_clone()?.into())?;
    if bare {
        command.env_clear();
    }
    let mut started = command.spawn()?;
    if role.starts_with("fork") {
        started.wait()?;
    }
    Ok(())
}

fn child(role: &str, arguments: &[String], stands: Stdio) -> io::Result<()> {
    drop(command(role, arguments, stands)?.spawn()?);
    Ok(())
}

fn command(role: &str, arguments: &[String], stands: Stdio) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(format!("--role={role}")).args(arguments).stdin(stands);
    Ok(command)
}

fn wait(ready: &mut PipeReader, stands: PipeWriter, expected: usize) -> io::Result<()> {
    drop(stands);
    ready.read_exact(&mut vec![0; expected])?;
    output::stdout(b"ready\n")
}
