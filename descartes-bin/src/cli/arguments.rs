//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use descartes_rpc::auth::Secret;

use super::credentials::{KeyCommand, TokenCommand};
use super::daemon::DaemonCommand;
use super::store::StoreCommand;
use super::top::Order;

/// Starts, follows and controls agents through the Descartes daemon
#[derive(Debug, Parser)]
#[command(
    name = "descartes",
    version,
    after_help = "Agents are named by their name, their id, or its last 8 characters.\n\
                  Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 not allowed, \
                  69 no daemon, 75 try again, 124 timed out, 130 cancelled."
)]
pub(super) struct Arguments {
    /// Reach the daemon at this URL instead of its socket: http(s), ws(s), tcp or ipc (ZeroMQ)
    #[arg(long, global = true, value_name = "URL")]
    pub(super) url: Option<String>,
    /// Reach the remote that is called so in the configuration ([remotes.NAME])
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "url")]
    pub(super) remote: Option<String>,
    /// A file with the key or token to show over http, ws and tcp; DESCARTES_TOKEN has it otherwise
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// The key or token itself; others on this machine can see it, so prefer the file
    #[arg(long, global = true, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(super) token: Option<Hidden>,
    /// Certificates to believe over https and wss (PEM); DESCARTES_CA_FILE names it otherwise
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// The data directory of the daemon, when it is not the usual one
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Print results as JSON, one a line
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// A secret of the command line, which no error prints.
#[derive(Clone, Debug)]
pub(super) struct Hidden(pub(super) Secret);

impl std::str::FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Secret::new(text)))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start, stop or look at the daemon, or read its log
    Daemon {
        #[command(subcommand)]
        command: DaemonCommand,
    },
    /// Show the daemon on one screen: how it is and where, its agents, what waits for approval
    Status,
    /// Start an agent
    Spawn(Spawn),
    /// List agents
    Ps(Ps),
    /// Show everything that is known of agents
    Get {
        /// Which agents
        #[arg(required = true, value_name = "AGENT")]
        agents: Vec<String>,
    },
    /// Print what an agent wrote, exactly
    Logs(Logs),
    /// Write to an agent's standard input
    Write(Write),
    /// Wait until agents have ended
    Wait(Wait),
    /// End agents, with grace
    Stop(Stop),
    /// Kill agents, or send them a signal
    Kill(Kill),
    /// End agents' runs and start the next
    Restart(Stop),
    /// Pause agents
    Pause(Pause),
    /// Let paused agents go on
    Resume(Resume),
    /// Forget agents that have ended
    Rm(Rm),
    /// Forget agents that ended long ago
    Prune(Prune),
    /// Show agents as they are now, each second anew, in a terminal; else print one table
    Top(Top),
    /// Print what has happened
    Events(Events),
    /// Say how the daemon is
    Health,
    /// Ask an agent something and print its answer
    Send(Send),
    /// Start an agent, ask it one thing, print what it answers, and end it
    Run(Run),
    /// Talk with an agent in this terminal
    Chat(Chat),
    /// Record a conversation in a file, which the backend `replay` plays
    Record(Record),
    /// List what agents ask before they do something
    Approvals {
        /// Also those that were decided
        #[arg(short, long)]
        all: bool,
    },
    /// Allow what an agent asks
    Allow {
        /// Which approval
        #[arg(value_name = "APPROVAL")]
        approval: String,
        /// And its like, until the session ends
        #[arg(long)]
        session: bool,
    },
    /// Deny what an agent asks
    Deny {
        /// Which approval
        #[arg(value_name = "APPROVAL")]
        approval: String,
        /// What the agent is told
        message: Option<String>,
        /// End the turn as well
        #[arg(long)]
        cancel: bool,
    },
    /// List what agents can be started with
    Backends {
        /// Look again at what is installed
        #[arg(long)]
        refresh: bool,
    },
    /// Make and revoke tokens, which expire by themselves
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Make, list and revoke keys, which last until they are revoked
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Say who the daemon takes me for, and what I may do
    Whoami,
    /// Look for what could be wrong here, and say what to do; exits with 1 if something is broken
    Doctor,
    /// Call a method of the API and print its result
    Call {
        /// The method, as `system.info`
        method: String,
        /// Its parameters: a JSON object or array
        params: Option<String>,
    },
    /// Check the store of a daemon that does not run, or repair it
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Copy all history to a new data directory, also while the daemon runs; no secrets
    Backup {
        /// The data directory to make
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Print what makes a shell complete these commands
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of these commands and of the daemon
    Man {
        /// The directory for them
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Print the versions of this program and of the daemon
    Version,
}

#[derive(Debug, Args)]
pub(super) struct Spawn {
    /// A name; made up when absent
    #[arg(short, long)]
    pub(super) name: Option<String>,
    /// The backend; `process` when a command is given
    #[arg(short = 't', long = "type", value_name = "BACKEND")]
    pub(super) backend: Option<String>,
    /// The first prompt
    #[arg(long, value_name = "TEXT")]
    pub(super) task: Option<String>,
    /// A variable for the agent: NAME takes the value from here, NAME=VALUE sets it
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,
    /// Its working directory; this one when absent
    #[arg(short = 'C', long, value_name = "DIR")]
    pub(super) cwd: Option<PathBuf>,
    /// A label to select agents by
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(super) labels: Vec<(String, String)>,
    /// Give it no standard input beyond the first prompt
    #[arg(long)]
    pub(super) no_stdin: bool,
    /// Start it again when it ends
    #[arg(long, value_name = "WHEN")]
    pub(super) restart: Option<RestartWhen>,
    /// How many restarts within the window are too many
    #[arg(long, value_name = "COUNT", requires = "restart")]
    pub(super) max_restarts: Option<u32>,
    /// The window of --max-restarts
    #[arg(long, value_name = "SECS", requires = "restart")]
    pub(super) window: Option<u64>,
    /// End it when a run takes longer
    #[arg(long, value_name = "SECS")]
    pub(super) wall_limit: Option<u32>,
    /// End it when it writes more
    #[arg(long, value_name = "BYTES")]
    pub(super) output_limit: Option<u64>,
    /// The agent that it belongs to
    #[arg(long, value_name = "AGENT")]
    pub(super) parent: Option<String>,
    /// Refuse when a live agent has the same name
    #[arg(long)]
    pub(super) unique: bool,
    /// Print its id and nothing else
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// A program and its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RestartWhen {
    /// When it failed
    #[value(name = "on-failure", alias = "on_failure")]
    OnFailure,
    /// However it ended
    Always,
}

#[derive(Debug, Args)]
pub(super) struct Ps {
    /// Also those that have ended
    #[arg(short, long, conflicts_with = "status")]
    pub(super) all: bool,
    /// Only those with this status (or live, stopped, any); may be given several times
    #[arg(long, value_delimiter = ',')]
    pub(super) status: Vec<String>,
    /// Only those with this label
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(super) labels: Vec<(String, String)>,
    /// Only those of this backend
    #[arg(short = 't', long = "type", value_name = "BACKEND")]
    pub(super) backend: Option<String>,
    /// Print their ids and nothing else
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct Top {
    /// Print one table and exit
    #[arg(long)]
    pub(super) once: bool,
    /// What to sort by; a key of the same letter does it, too
    #[arg(short, long, value_name = "WHAT", value_enum, default_value_t)]
    pub(super) sort: Order,
}

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Which agent
    #[arg(value_name = "AGENT")]
    pub(super) agent: String,
    /// Go on until the agent has ended
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Begin with the last so many lines
    #[arg(long, value_name = "LINES")]
    pub(super) tail: Option<u64>,
    /// Only standard error
    #[arg(long, conflicts_with = "stdout")]
    pub(super) stderr: bool,
    /// Only standard output
    #[arg(long)]
    pub(super) stdout: bool,
}

#[derive(Debug, Args)]
pub(super) struct Write {
    /// Which agent
    #[arg(value_name = "AGENT")]
    pub(super) agent: String,
    /// What to write, as a line
    #[arg(required_unless_present = "eof", allow_hyphen_values = true)]
    pub(super) text: Option<String>,
    /// Write exactly this, without a newline after it
    #[arg(long)]
    pub(super) raw: bool,
    /// Close its standard input then
    #[arg(long)]
    pub(super) eof: bool,
}

#[derive(Debug, Args)]
pub(super) struct Send {
    /// Which agent
    #[arg(value_name = "AGENT")]
    pub(super) agent: String,
    /// What it is asked
    #[arg(value_name = "PROMPT", allow_hyphen_values = true)]
    pub(super) prompt: String,
    /// Give up waiting after so many seconds; the turn goes on
    #[arg(long, value_name = "SECS", default_value_t = 3600)]
    pub(super) timeout: u32,
}

/// What a conversation is to be.
#[derive(Debug, Args)]
pub(super) struct Conversation {
    /// What to talk with; the daemon's choice when absent
    #[arg(short = 't', long, alias = "type", value_name = "BACKEND")]
    pub(super) backend: Option<String>,
    /// Where it works; this directory when absent
    #[arg(short = 'C', long, value_name = "DIR")]
    pub(super) cwd: Option<PathBuf>,
    /// Which model
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// What the model is told first
    #[arg(long, value_name = "TEXT")]
    pub(super) system_prompt: Option<String>,
    /// What happens when it asks: ask, allow_edits, allow_all or deny
    #[arg(long, value_name = "MODE", value_parser = ["ask", "allow_edits", "allow_all", "deny"])]
    pub(super) approvals: Option<String>,
    /// A variable for the agent: NAME takes the value from here, NAME=VALUE sets it
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,
    /// A program and its arguments, for backends that take them
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// What it is asked
    #[arg(value_name = "PROMPT", allow_hyphen_values = true)]
    pub(super) prompt: String,
    #[command(flatten)]
    pub(super) conversation: Conversation,
    /// End the turn after so many seconds
    #[arg(long, value_name = "SECS")]
    pub(super) timeout: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Chat {
    #[command(flatten)]
    pub(super) conversation: Conversation,
    /// Go on with this chat instead of making one
    #[arg(long, value_name = "SESSION", conflicts_with_all = ["backend", "command"])]
    pub(super) session: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Record {
    /// The file to make; one that is there is left alone
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// What is asked, a turn each; the lines of the input when absent
    #[arg(value_name = "PROMPT")]
    pub(super) prompts: Vec<String>,
    #[command(flatten)]
    pub(super) conversation: Conversation,
}

#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Which agents
    #[arg(required = true, value_name = "AGENT")]
    pub(super) agents: Vec<String>,
    /// For what: the end of the agent, of its present run only, of the turn that is under way or
    /// about to begin, or of everything that it was asked
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Await::Exit)]
    pub(super) r#for: Await,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECS")]
    pub(super) timeout: Option<u32>,
    /// Exit as the agent did
    #[arg(long)]
    pub(super) exit_code: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Await {
    Exit,
    Run,
    Turn,
    Idle,
}

#[derive(Debug, Args)]
pub(super) struct Stop {
    /// Which agents
    #[arg(required = true, value_name = "AGENT")]
    pub(super) agents: Vec<String>,
    /// How many seconds they may take to end before they are killed
    #[arg(long, value_name = "SECS")]
    pub(super) grace: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Kill {
    /// Which agents
    #[arg(required = true, value_name = "AGENT")]
    pub(super) agents: Vec<String>,
    /// Give no grace
    #[arg(short, long, conflicts_with = "signal")]
    pub(super) force: bool,
    /// Send this signal instead of ending them
    #[arg(short, long, value_name = "SIGNAL", value_parser = signal)]
    pub(super) signal: Option<&'static str>,
}

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// Which agents
    #[arg(required = true, value_name = "AGENT")]
    pub(super) agents: Vec<String>,
    /// By signal, without asking them
    #[arg(short, long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Resume {
    /// Which agents
    #[arg(required = true, value_name = "AGENT")]
    pub(super) agents: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Which agents
    #[arg(required = true, value_name = "AGENT")]
    pub(super) agents: Vec<String>,
    /// Kill those that have not ended
    #[arg(short, long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Only those that ended at least so many seconds ago
    #[arg(long, value_name = "SECS", default_value_t = 0)]
    pub(super) older_than: u32,
    /// Only those with this label
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub(super) labels: Vec<(String, String)>,
    /// Only say which
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct Events {
    /// Agents, or topics (exact, or a prefix that ends in / or *); agent/ and system when absent
    #[arg(value_name = "AGENT|TOPIC")]
    pub(super) topics: Vec<String>,
    /// Go on with what happens
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Begin after this cursor, at `start`, or `now`
    #[arg(long, value_name = "CURSOR", conflicts_with = "tail")]
    pub(super) after: Option<String>,
    /// Begin with the last so many of each topic (with --follow)
    #[arg(long, value_name = "COUNT", requires = "follow")]
    pub(super) tail: Option<u64>,
    /// Only events of this type: exact, or ending in .*
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(super) types: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("should be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The signals that can be sent: what is typed (without `SIG`, in any case), and the API's word.
const SIGNALS: &[(&str, &str)] = &[
    ("INT", "interrupt"),
    ("TERM", "terminate"),
    ("KILL", "kill"),
    ("STOP", "stop"),
    ("CONT", "continue"),
    ("HUP", "hangup"),
    ("USR1", "usr1"),
    ("USR2", "usr2"),
];

fn signal(text: &str) -> Result<&'static str, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let found =
        SIGNALS.iter().find(|(short, word)| *short == name || word.eq_ignore_ascii_case(text));
    found.map(|(_, word)| *word).ok_or_else(|| {
        let names: Vec<_> = SIGNALS.iter().map(|(short, _)| *short).collect();
        format!("should be one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Command, DaemonCommand, signal};
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_declaration_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_command_keeps_its_own_flags() {
        let line = ["descartes", "spawn", "--name", "x", "--", "ls", "-l", "--json"];
        let arguments = Arguments::try_parse_from(line).unwrap();
        let Command::Spawn(spawn) = arguments.command else { panic!() };
        assert_eq!(spawn.command, ["ls", "-l", "--json"]);
        assert!(!arguments.json);
    }

    #[test]
    fn flags_of_the_daemon_are_passed_on() {
        let line = ["descartes", "daemon", "start", "--data-dir", "/d", "--http-port", "0", "-v"];
        let arguments = Arguments::try_parse_from(line).unwrap();
        let Command::Daemon { command: DaemonCommand::Start { flags } } = arguments.command else {
            panic!()
        };
        assert_eq!(arguments.data_dir.unwrap().to_str(), Some("/d"));
        assert_eq!(flags, ["--http-port", "0", "-v"]);
    }

    #[test]
    fn signals_are_known_by_all_their_names() {
        for text in ["int", "SIGINT", "Interrupt", "INT"] {
            assert_eq!(signal(text), Ok("interrupt"), "{text}");
        }
        assert!(signal("WINCH").is_err());
    }
}
