//! A real daemon on a directory of its own, ended with everything it started.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;
use tempfile::TempDir;

use super::given::{self, Given};
use super::http::Http;
use super::socket::Socket;
use super::{PATIENCE, program};

/// How often the endpoints file is looked at while the daemon starts.
const LOOK: Duration = Duration::from_millis(2);

/// The flags of ports, each with its transport and what a daemon of a test gets unless it is chosen.
const PORTS: [(&str, &str, &str); 5] = [
    ("--http-port", "http", "0"),
    ("--ws-port", "http", "off"),
    ("--zmq-port", "zmq", "off"),
    ("--pub-port", "zmq", "off"),
    ("--metrics-port", "metrics", "off"),
];

/// The directory that daemons of one test share, one after the other.
#[derive(Clone)]
pub(crate) struct Home {
    folder: Arc<TempDir>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("descartes-it-").tempdir();
        Self { folder: Arc::new(folder.expect("a temporary folder")) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.path().join("run")
    }

    /// A file of this home with this content.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("the home is writable");
        path
    }

    /// Runs `name` (one of our programs) in the environment of this home, and nothing else.
    pub(crate) fn command(&self, name: &str) -> Command {
        self.surround(Command::new(program(name)))
    }

    /// The same with at most so many descriptors.
    fn limited_command(&self, name: &str, descriptors: u32) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""));
        command.arg(program(name));
        self.surround(command)
    }

    fn surround(&self, mut command: Command) -> Command {
        command.env_clear().current_dir(self.path()).stdin(Stdio::null());
        for inherited in ["PATH", "USER", "LANG"] {
            if let Some(value) = std::env::var_os(inherited) {
                command.env(inherited, value);
            }
        }
        command.env("HOME", self.path()).env("DESCARTES_RUNTIME_DIR", self.runtime());
        command.env("XDG_DATA_HOME", self.path().join("share"));
        // How full the disks of this machine are is not what tests are about.
        command.env("DESCARTES_STORE__MIN_FREE_BYTES", "0");
        command
    }
}

/// How a daemon is to be started.
pub(crate) struct Setup {
    home: Home,
    config: String,
    flags: Vec<String>,
    env: Vec<(&'static str, &'static str)>,
    data: Option<PathBuf>,
    descriptors: Option<u32>,
    usual_ports: Vec<&'static str>,
    given: Option<Given>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self::at(&Home::new())
    }

    pub(crate) fn at(home: &Home) -> Self {
        let config = "[agents]\nstop_grace_secs = 2\n".to_owned();
        Self {
            home: home.clone(),
            config,
            flags: Vec::new(),
            env: Vec::new(),
            data: None,
            descriptors: None,
            usual_ports: Vec::new(),
            given: None,
        }
    }

    /// Where it will live.
    pub(crate) fn home(&self) -> Home {
        self.home.clone()
    }

    /// More of `daemon.toml`.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self
    }

    /// All of `daemon.toml`.
    pub(crate) fn only_config(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.config);
        self
    }

    /// Leaves the port of this flag to the daemon, which does without when it is taken.
    pub(crate) fn usual_port(mut self, flag: &'static str) -> Self {
        self.usual_ports.push(flag);
        self
    }

    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// A variable in the daemon's environment.
    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    /// Another place for the data than the home.
    pub(crate) fn data(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    /// Sockets that are open already.
    pub(crate) fn given(mut self, given: Given) -> Self {
        self.given = Some(given);
        self
    }

    /// No more descriptors than these.
    pub(crate) fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// The command as it would be started; free ports unless a flag says otherwise.
    pub(crate) fn command(&self) -> Command {
        let config = self.home.path().join("daemon.toml");
        fs::write(&config, &self.config).expect("the configuration is written");
        let mut command = match self.descriptors {
            Some(most) => self.home.limited_command("descartes-daemon", most),
            None => self.home.command("descartes-daemon"),
        };
        command.arg("--config").arg(config);
        command.arg("--data-dir").arg(self.data.clone().unwrap_or_else(|| self.home.data()));
        for (flag, transport, port) in PORTS {
            let chosen = self.flags.iter().any(|given| given.starts_with(flag));
            if !chosen && !self.usual_ports.contains(&flag) && has_transport(transport) {
                command.arg(format!("{flag}={port}"));
            }
        }
        command.args(&self.flags).envs(self.env.iter().copied());
        command
    }

    /// Starts it and returns when it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Daemon {
        match self.try_start() {
            Ok(daemon) => daemon,
            Err(ended) => panic!("the daemon ended at start: {}\n{}", ended.status, ended.log),
        }
    }

    /// Starts it and returns when it listens, or has given up.
    pub(crate) fn try_start(self) -> Result<Daemon, Ended> {
        let mut command = self.command();
        match self.given {
            Some(given) => command = given::with(&command, given),
            None => {
                command.stdout(Stdio::piped());
            }
        }
        command.stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().expect("the daemon's program starts");
        let log = Arc::new(Log::default());
        if let Some(stdout) = child.stdout.take() {
            log.follow(stdout);
        }
        log.follow(child.stderr.take().expect("stderr is piped"));
        let mut daemon = Daemon { child, home: self.home, endpoints: Value::Null, log, started };
        match daemon.await_endpoints() {
            Some(endpoints) => {
                daemon.endpoints = endpoints;
                Ok(daemon)
            }
            None => Err(daemon.ended()),
        }
    }
}

/// Whether the programs under test have this transport; all, unless `.ci/run` says which.
pub(crate) fn has_transport(name: &str) -> bool {
    std::env::var("DESCARTES_TEST_TRANSPORT").map_or(true, |only| only == name)
}

/// What a daemon that has ended leaves to look at.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

/// A running daemon. Dropped, it is asked to end, and then made to.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) home: Home,
    /// The content of `endpoints.json`.
    pub(crate) endpoints: Value,
    log: Arc<Log>,
    pub(crate) started: Instant,
}

impl Daemon {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its process, as `/proc` has it.
    pub(crate) fn number(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn http_address(&self) -> SocketAddr {
        let text = self.endpoints["http"].as_str().expect("the daemon listens on HTTP");
        let address = text.trim_start_matches("http://").trim_end_matches('/');
        address.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// Where ZeroMQ is served: by TCP when it has a port, else in the runtime directory.
    pub(crate) fn zmq(&self) -> &str {
        self.endpoints["zmq"].as_str().expect("the daemon speaks ZeroMQ")
    }

    /// Where events are published, likewise.
    pub(crate) fn publisher(&self) -> &str {
        self.endpoints["pub"].as_str().expect("the daemon publishes")
    }

    pub(crate) fn socket_path(&self) -> PathBuf {
        let text = self.endpoints["unix"].as_str().expect("the daemon listens on a Unix socket");
        PathBuf::from(text.trim_start_matches("unix://").trim_start_matches("unix:"))
    }

    /// A connection to the page of numbers.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Http {
        let text = self.endpoints["metrics"].as_str().expect("the daemon shows its numbers");
        let address = text.trim_start_matches("http://").trim_end_matches("/metrics");
        Http::connect(address.parse().unwrap_or_else(|e| panic!("{text}: {e}")))
    }

    #[track_caller]
    pub(crate) fn http(&self) -> Http {
        Http::connect(self.http_address())
    }

    #[track_caller]
    pub(crate) fn socket(&self) -> Socket {
        Socket::connect(&self.socket_path())
    }

    /// What it has printed so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the daemon is ours to signal");
    }

    /// Ends it as a power cut would end it, and gives back its home.
    pub(crate) fn kill9(mut self) -> Home {
        self.signal(Signal::KILL);
        let status = self.child.wait().expect("the daemon is our child");
        assert_eq!(status.signal(), Some(9), "the daemon had ended before: {}", self.log());
        self.home.clone()
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(mut self) -> (Ended, Home) {
        self.signal(Signal::TERM);
        let home = self.home.clone();
        (self.ended(), home)
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> Ended {
        assert!(self.ends_within(PATIENCE), "the daemon does not end:\n{}", self.log());
        let status = self.child.wait().expect("the daemon is our child");
        self.log.closed();
        Ended { status, log: self.log() }
    }

    fn ends_within(&self, limit: Duration) -> bool {
        let Ok(pidfd) = pidfd_open(self.pid(), PidfdFlags::empty()) else { return true };
        readable_within(&pidfd, limit)
    }

    /// The endpoints once they are this daemon's; `None` if it ended first.
    fn await_endpoints(&self) -> Option<Value> {
        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty()).expect("a child has a pidfd");
        let file = self.home.runtime().join("endpoints.json");
        while self.started.elapsed() < PATIENCE {
            let text = fs::read(&file).unwrap_or_default();
            let endpoints: Value = serde_json::from_slice(&text).unwrap_or_default();
            if endpoints["pid"] == self.child.id() {
                return Some(endpoints);
            }
            if readable_within(&pidfd, LOOK) {
                return None;
            }
        }
        panic!("the daemon does not listen after {PATIENCE:?}:\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        self.signal(Signal::TERM);
        if !self.ends_within(Duration::from_secs(10)) {
            self.signal(Signal::KILL);
        }
        let status = self.child.wait();
        if thread::panicking() {
            show(&format!("the daemon ended with {status:?}, its log:\n{}", self.log()));
        }
    }
}

#[expect(clippy::print_stderr, reason = "the daemon's log belongs to the failed test's output")]
fn show(text: &str) {
    eprintln!("{text}");
}

fn readable_within(descriptor: &OwnedFd, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).expect("a limit of this test");
    let mut interest = [PollFd::new(descriptor, PollFlags::IN)];
    matches!(poll(&mut interest, Some(&limit)), Ok(1..))
}

/// What a program prints, kept while it runs, because a full pipe would stop it.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    text: String,
    open: usize,
}

impl Log {
    fn follow(self: &Arc<Self>, pipe: impl Read + Send + 'static) {
        self.state.lock().expect("no reader panics").open += 1;
        let log = Arc::clone(self);
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                log.state.lock().expect("no reader panics").text += &String::from_utf8_lossy(&line);
                line.clear();
            }
            log.state.lock().expect("no reader panics").open -= 1;
            log.changed.notify_all();
        });
    }

    fn text(&self) -> String {
        self.state.lock().expect("no reader panics").text.clone()
    }

    /// Waits until all was read, or a child that holds the pipe has had its chance.
    fn closed(&self) {
        let state = self.state.lock().expect("no reader panics");
        let limit = Duration::from_secs(1);
        drop(self.changed.wait_timeout_while(state, limit, |state| state.open > 0));
    }
}
