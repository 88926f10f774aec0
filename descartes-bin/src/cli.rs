//! `descartes`: one file for each kind of command. A command connects, calls the client, prints.

mod approvals;
mod arguments;
mod control;
mod credentials;
mod daemon;
mod doctor;
mod events;
mod failure;
mod logs;
mod reach;
mod shell;
mod show;
mod spawn;
mod status;
mod store;
mod talk;
mod top;
mod wait;
mod which;

use std::process::ExitCode;

use clap::Parser;

use crate::exit::Code;
use crate::output::Output;
use arguments::{Arguments, Command};
use failure::Failure;
use reach::Reach;

/// Runs the command line and says by its exit code how it went.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return said_by_clap(&error),
    };
    let output = Output::new(arguments.json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments, &output)),
        Err(source) => Err(Failure::Local { what: "start".to_owned(), source }),
    };
    result.unwrap_or_else(|failure| failure.report(&output))
}

/// Help and versions are results; everything else that clap says is a wrong command line.
pub(crate) fn said_by_clap(error: &clap::Error) -> ExitCode {
    // Where it cannot be printed, the exit code still tells.
    drop(error.print());
    if error.use_stderr() { Code::Usage.into() } else { Code::Done.into() }
}

async fn run(arguments: Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let shown = reach::Shown {
        token: arguments.token,
        file: arguments.token_file,
        ca_file: arguments.ca_file,
    };
    let mut reach = Reach::new(arguments.url, arguments.data_dir, shown);
    if let Some(name) = &arguments.remote {
        reach = reach.remote(name)?;
    }
    let command = match arguments.command {
        Command::Daemon { command } => return daemon::run(command, &reach, output).await,
        Command::Status => return status::status(&reach, output).await,
        Command::Version => return show::version(&reach, output).await,
        Command::Top(it) => return top::top(&reach, &it, output).await,
        Command::Doctor => return doctor::doctor(&reach, output).await,
        Command::Completions { shell } => return shell::completions(shell, output),
        Command::Man { to } => return shell::manual(&to),
        Command::Store { command } => return store::run(&command, &reach, output),
        Command::Backup { to } => return store::backup(&reach, &to, output),
        other => other,
    };
    let client = reach.connect()?;
    match command {
        Command::Spawn(it) => spawn::spawn(&client, it, reach.is_local(), output).await,
        Command::Ps(it) => show::ps(&client, it, output).await,
        Command::Get { agents } => show::get(&client, agents, output).await,
        Command::Backends { refresh } => show::backends(&client, refresh, output).await,
        Command::Token { command } => credentials::token(&client, command, output).await,
        Command::Key { command } => credentials::key(&client, command, output).await,
        Command::Whoami => credentials::whoami(&client, output).await,
        Command::Health => show::health(&client, output).await,
        Command::Call { method, params } => show::call(&client, &method, params, output).await,
        Command::Logs(it) => logs::logs(&client, it, output).await,
        Command::Events(it) => events::events(&client, it, output).await,
        Command::Send(it) => talk::send(&client, it, output).await,
        Command::Run(it) => talk::run(&client, it, reach.is_local(), output).await,
        Command::Chat(it) => talk::chat(&client, it, reach.is_local(), output).await,
        Command::Record(it) => talk::record(&client, it, reach.is_local(), output).await,
        Command::Approvals { all } => approvals::list(&client, all, output).await,
        Command::Allow { approval, session } => {
            approvals::allow(&client, approval, session, output).await
        }
        Command::Deny { approval, message, cancel } => {
            approvals::deny(&client, approval, (message, cancel), output).await
        }
        Command::Wait(it) => wait::wait(&client, it, output).await,
        Command::Write(it) => control::write(&client, it, output).await,
        Command::Stop(it) => control::stop(&client, it, output).await,
        Command::Kill(it) => control::kill(&client, it, output).await,
        Command::Restart(it) => control::restart(&client, it, output).await,
        Command::Pause(it) => control::pause(&client, it, output).await,
        Command::Resume(it) => control::resume(&client, it, output).await,
        Command::Rm(it) => control::remove(&client, it, output).await,
        Command::Prune(it) => control::prune(&client, it, output).await,
        Command::Daemon { .. }
        | Command::Status
        | Command::Version
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Doctor
        | Command::Top(_)
        | Command::Store { .. }
        | Command::Backup { .. } => {
            unreachable!("ran without a connection")
        }
    }
}
