//! The daemon's command line.

use std::path::PathBuf;

/// Runs the Descartes daemon.
#[derive(Clone, Default, clap::Parser)]
#[command(
    name = "descartes-daemon",
    version,
    about = "Runs coding agents as supervised, replayable processes behind one JSON-RPC API",
    after_help = "Every key of the configuration can also be set as DESCARTES_<SECTION>__<KEY>; \
                  flags win over the environment, which wins over the file."
)]
pub struct Flags {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where everything is kept
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The address of HTTP (beyond loopback only with authentication)
    #[arg(long, value_name = "ADDRESS")]
    pub http_addr: Option<String>,
    /// The port of HTTP: a number, 0 for any free one, or off
    #[arg(long, value_name = "PORT")]
    pub http_port: Option<String>,
    /// The port of WebSockets alone: a number, 0 for any free one, or off
    #[arg(long, value_name = "PORT")]
    pub ws_port: Option<String>,
    /// The port of ZeroMQ: a number, 0 for any free one, or off
    #[arg(long, value_name = "PORT")]
    pub zmq_port: Option<String>,
    /// The port where events are published: a number, 0 for any free one, or off
    #[arg(long, value_name = "PORT")]
    pub pub_port: Option<String>,
    /// The port of the page of numbers: a number, 0 for any free one, or off
    #[arg(long, value_name = "PORT")]
    pub metrics_port: Option<String>,
    /// The path of the Unix socket
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// Everybody over TCP needs a key or a token
    #[arg(long)]
    pub enable_auth: bool,
    /// What tokens are signed with; others on this machine can see it, so prefer the file
    #[arg(long, value_name = "SECRET")]
    pub jwt_secret: Option<String>,
    /// A file with what tokens are signed with, which only its owner can read
    #[arg(long, value_name = "FILE", conflicts_with = "jwt_secret")]
    pub jwt_secret_file: Option<PathBuf>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// The same as --log-level debug
    #[arg(short, long, conflicts_with = "log_level")]
    pub verbose: bool,
    /// Print the configuration as it would be used, and exit
    #[arg(long)]
    pub print_config: bool,
    /// Check the configuration, and exit
    #[arg(long)]
    pub check_config: bool,
    /// Leave the terminal and its session
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// Without the secret.
impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flags").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Flags {
    /// The flags that set a key: the flag, the key and what was given.
    pub(super) fn settings(&self) -> Vec<(&'static str, (&'static str, &'static str), String)> {
        let path = |path: &PathBuf| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            path.to_string_lossy().into_owned()
        };
        let verbose = self.verbose.then(|| "debug".to_owned());
        let given = [
            ("--http-addr", ("server", "http_addr"), self.http_addr.clone()),
            ("--http-port", ("server", "http_port"), self.http_port.clone()),
            ("--ws-port", ("server", "ws_port"), self.ws_port.clone()),
            ("--zmq-port", ("server", "zmq_port"), self.zmq_port.clone()),
            ("--pub-port", ("server", "pub_port"), self.pub_port.clone()),
            ("--metrics-port", ("server", "metrics_port"), self.metrics_port.clone()),
            ("--unix-socket", ("server", "unix_socket"), self.unix_socket.as_ref().map(path)),
            ("--enable-auth", ("auth", "enabled"), self.enable_auth.then(|| "true".to_owned())),
            ("--jwt-secret", ("auth", "jwt_secret"), self.jwt_secret.clone()),
            (
                "--jwt-secret-file",
                ("auth", "jwt_secret_file"),
                self.jwt_secret_file.as_ref().map(path),
            ),
            ("--log-level", ("logging", "level"), self.log_level.clone()),
            ("--verbose", ("logging", "level"), verbose),
        ];
        given.into_iter().filter_map(|(flag, key, text)| Some((flag, key, text?))).collect()
    }
}
