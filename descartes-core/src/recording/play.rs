//! The runner whose agents play a recording.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::difference::Difference;
use super::player::{Next, Player};
use super::{Exit, Recording};
use crate::agent::{PauseMode, StdinMode};
use crate::event::StreamName;
use crate::limits::DIALECT_LINE_BYTES;
use crate::runner::{
    AgentDriver, AgentEvents, AgentRunner, Control, ControlOutcome, ControlRequest, Controls,
    Launch, RunExit, SpawnError, SpawnStage, Started,
};

/// How an agent ends that was told something else than was recorded: the `EX_DATAERR` of
/// sysexits(3).
const DIFFERS: i32 = 65;
/// The signal that [`Control::Kill`] begins with.
const TERMINATE: i32 = 15;

/// Starts agents that play a recording: one for all, or the file that each names as its program.
#[derive(Debug)]
pub(crate) struct ReplayRunner {
    recording: Option<Arc<Recording>>,
}

impl ReplayRunner {
    pub(crate) fn new(recording: Option<Arc<Recording>>) -> Self {
        Self { recording }
    }

    async fn recording(&self, program: &str) -> io::Result<Arc<Recording>> {
        if let Some(recording) = &self.recording {
            return Ok(Arc::clone(recording));
        }
        let path = PathBuf::from(program);
        let read = tokio::task::spawn_blocking(|| Recording::read(path));
        read.await.map_err(io::Error::other)?.map(Arc::new).map_err(io::Error::other)
    }
}

#[async_trait]
impl AgentRunner for ReplayRunner {
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        let program = launch.argv.first().cloned().unwrap_or_default();
        let refused = |stage, error| SpawnError::new(&*program, stage, error);
        let recording = self.recording(&program).await;
        let recording = recording.map_err(|error| refused(SpawnStage::Lookup, error))?;
        let Some(player) = Player::new(&recording, launch.run) else {
            let (runs, run) = (recording.runs(), launch.run);
            let what = format!("{} has {runs} runs, and none is the run {run}", recording.name());
            return Err(refused(SpawnStage::Exec, io::Error::other(what)));
        };
        let (controls, events) = driver.split();
        let agent = Played { player, events, written: [0; 2], paused: false };
        tokio::spawn(agent.begin(launch, controls));
        Ok(Started::elsewhere(format!("replay of {}", recording.name())))
    }
}

/// A run of an agent that plays a recording.
struct Played {
    player: Player,
    events: AgentEvents,
    written: [u64; 2],
    paused: bool,
}

/// What is to be done about a control.
enum Told {
    /// Go on.
    Something,
    Killed,
    Differs(Box<Difference>),
}

impl Played {
    async fn begin(mut self, launch: Launch, controls: Controls) {
        let args = launch.argv.get(1..).unwrap_or_default();
        let mut begun = self.player.begun(args);
        begun = begun.and_then(|()| self.player.take(&launch.first_input));
        if launch.stdin == StdinMode::Closed {
            begun = begun.and_then(|()| self.player.close());
        }
        match begun {
            Ok(()) => self.play(controls).await,
            Err(difference) => self.fail(&difference).await,
        }
    }

    async fn play(mut self, mut controls: Controls) {
        loop {
            let told = match self.player.next() {
                Next::Exit(exit) if !exit.killed && !self.paused => return self.exit(exit).await,
                Next::Tick => {
                    self.player.done();
                    continue;
                }
                Next::Write { .. } | Next::Oversize { .. } if !self.paused => {
                    tokio::select! {
                        biased;
                        request = controls.next() => {
                            self.was_written();
                            self.told(request)
                        }
                        () = self.write() => {
                            self.wrote();
                            continue;
                        }
                    }
                }
                _ => {
                    let request = controls.next().await;
                    self.told(request)
                }
            };
            match told {
                Told::Something => {}
                Told::Killed => return self.die().await,
                Told::Differs(difference) => return self.fail(&difference).await,
            }
        }
    }

    /// Writes what is next. Cancel-safe: what was taken is not taken twice.
    async fn write(&self) {
        match self.player.next() {
            Next::Write { stream, bytes } => {
                let mut line = bytes.to_vec();
                line.push(b'\n');
                self.events.output(stream, self.written[stream as usize], &line).await;
            }
            Next::Oversize { stream, bytes } => {
                // What was in it was not kept: it is as long as it was.
                let (mut at, filler) = (self.written[stream as usize], vec![b' '; FILLER]);
                let end = at + bytes;
                while at < end {
                    let piece = usize::try_from(end - at).unwrap_or(FILLER).min(FILLER);
                    self.events.output(stream, at, &filler[..piece]).await;
                    at += piece as u64;
                }
                self.events.output(stream, at, b"\n").await;
            }
            _ => {}
        }
    }

    fn wrote(&mut self) {
        if let Some((stream, bytes)) = self.writes() {
            self.written[stream as usize] += bytes;
            self.player.done();
        }
    }

    /// What is next may have been taken, and answered, before the write of it was over.
    fn was_written(&mut self) {
        let taken = |(stream, bytes)| {
            self.events.journalled(stream) >= self.written[stream as usize] + bytes
        };
        if self.writes().is_some_and(taken) {
            self.wrote();
        }
    }

    /// How much is written next, and where.
    fn writes(&self) -> Option<(StreamName, u64)> {
        match self.player.next() {
            Next::Write { stream, bytes } => Some((stream, bytes.len() as u64 + 1)),
            Next::Oversize { stream, bytes } => Some((stream, bytes + 1)),
            _ => None,
        }
    }

    /// Obeys, as far as that is its own to do.
    fn told(&mut self, request: Option<ControlRequest>) -> Told {
        let Some(request) = request else { return Told::Killed };
        let outcome = match request.control {
            Control::Kill { .. } => ControlOutcome::Killed { forced: false, swept: 0 },
            Control::Pause => ControlOutcome::Paused(PauseMode::Forced),
            _ => ControlOutcome::Done,
        };
        let told = match &request.control {
            Control::Kill { .. } => Ok(Told::Killed),
            Control::Pause | Control::Resume => {
                self.paused = request.control == Control::Pause;
                Ok(Told::Something)
            }
            Control::Signal(signal) => self.player.signal(*signal).map(|()| Told::Something),
            Control::WriteStdin { bytes, close } => self.sent(bytes, *close),
        };
        request.done(outcome);
        told.unwrap_or_else(Told::Differs)
    }

    fn sent(&mut self, bytes: &[u8], close: bool) -> Result<Told, Box<Difference>> {
        self.player.take(bytes)?;
        // An agent that makes room for the next run is told so, whatever it was told then.
        let makes_room = matches!(self.player.next(), Next::Exit(Exit { killed: true, .. }));
        if close && !makes_room && !matches!(self.player.next(), Next::Over) {
            self.player.close()?;
        }
        Ok(Told::Something)
    }

    async fn exit(self, exit: Exit) {
        let run = match (exit.code, exit.signal) {
            (Some(code), _) => RunExit::code(code),
            (None, Some(signal)) => RunExit::signal(signal),
            (None, None) => RunExit::lost(),
        };
        self.events.exited(run).await;
    }

    /// Somebody ends it: it ends as it did then, when it was ended then.
    async fn die(self) {
        match self.player.next() {
            Next::Exit(exit) if exit.killed => self.exit(exit).await,
            _ => self.events.exited(RunExit::signal(TERMINATE)).await,
        }
    }

    /// Says what was sent that was not recorded, and ends.
    async fn fail(self, difference: &Difference) {
        let said = format!("{difference}\n");
        let at = self.written[StreamName::Stderr as usize];
        self.events.output(StreamName::Stderr, at, said.as_bytes()).await;
        self.events.exited(RunExit::code(DIFFERS)).await;
    }
}

/// Bytes that a line too long to have been kept is written in.
const FILLER: usize = DIALECT_LINE_BYTES / 16;
