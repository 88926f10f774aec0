//! What a shell and a reader of manuals want to know of the commands: made from their declaration.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::arguments::Arguments;
use super::failure::Failure;
use crate::config::Flags;
use crate::exit::Code;
use crate::output::Output;

/// Prints what makes `shell` complete our commands.
pub(super) fn completions(shell: Shell, output: &Output) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "descartes", &mut script);
    output.bytes(&script)?;
    Ok(Code::Done.into())
}

/// Writes a page for each command and for the daemon into `dir`, which is made.
pub(super) fn manual(dir: &Path) -> Result<ExitCode, Failure> {
    let written = std::fs::create_dir_all(dir).and_then(|()| {
        clap_mangen::generate_to(Arguments::command(), dir)?;
        // Of section 8, beside the page of `descartes daemon` in section 1.
        Man::new(Flags::command()).section("8").generate_to(dir)
    });
    let what = || format!("write manual pages to {}", dir.display());
    written.map_err(|source| Failure::Local { what: what(), source })?;
    Ok(Code::Done.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "descartes", &mut script);
            let script = String::from_utf8(script).expect("text");
            for command in Arguments::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn there_is_a_page_for_every_command_and_for_the_daemon() {
        let dir = tempfile::tempdir().expect("a folder");
        manual(dir.path()).expect("it is ours");
        let names = Arguments::command();
        let names =
            names.get_subcommands().map(|command| format!("descartes-{}.1", command.get_name()));
        for name in names.chain(["descartes.1".to_owned(), "descartes-daemon.8".to_owned()]) {
            let page = std::fs::read_to_string(dir.path().join(&name)).unwrap_or_default();
            assert!(page.contains(".SH NAME"), "{name}");
        }
    }
}
