//! A runner without processes: agents are async functions of the test.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::agent::PauseMode;
use crate::event::StreamName;
use crate::runner::{
    AgentDriver, AgentEvents, AgentRunner, Control, ControlOutcome, Controls, Launch, RunExit,
    Signal, SpawnError, SpawnStage, Started,
};

type Script = dyn Fn(FakeAgent) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// Starts agents that are async functions. No thread, file, process or clock but tokio's.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use descartes_core::agent::AgentSpec;
/// use descartes_core::testing::FakeRunner;
/// use descartes_core::{Descartes, WaitFor};
///
/// let runner = FakeRunner::new(|mut agent| async move {
///     agent.say("hello\n").await;
///     agent.exit(3).await;
/// });
/// let descartes = Descartes::builder().runner(Arc::new(runner)).build().await?;
/// let agent = descartes.spawn(AgentSpec::command(["any"]), "test").await?;
/// let ended = descartes.wait(agent.record.id, WaitFor::Exit).await?;
/// assert_eq!(ended.exit.as_ref().and_then(|exit| exit.code), Some(3));
/// # Ok(()) }
/// ```
pub struct FakeRunner {
    script: Arc<Script>,
    pids: AtomicU32,
}

impl FakeRunner {
    /// Agents that do what `script` does. One that returns without an exit is lost.
    pub fn new<F, Done>(script: F) -> Self
    where
        F: Fn(FakeAgent) -> Done + Send + Sync + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        Self { script: Arc::new(move |agent| Box::pin(script(agent))), pids: AtomicU32::new(1) }
    }

    /// Agents that write what they are written, and end with 0 at end of file.
    #[must_use]
    pub fn echo() -> Self {
        Self::new(|mut agent| async move {
            loop {
                match agent.next().await {
                    FakeInput::Bytes(bytes) => agent.write(StreamName::Stdout, &bytes).await,
                    FakeInput::Signal(_) => {}
                    FakeInput::Eof => return agent.exit(0).await,
                    FakeInput::Killed => return agent.die().await,
                }
            }
        })
    }
}

#[async_trait]
impl AgentRunner for FakeRunner {
    async fn spawn(&self, launch: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        if launch.argv.first().is_some_and(|program| program == "/missing") {
            let missing = std::io::Error::from_raw_os_error(2);
            return Err(SpawnError::new("/missing", SpawnStage::Lookup, missing));
        }
        let (controls, events) = driver.split();
        let first = Bytes::from(launch.first_input.clone());
        let agent = FakeAgent { launch, controls, events, written: [0; 2], first, eof: false };
        tokio::spawn((self.script)(agent));
        Ok(Started::process(self.pids.fetch_add(1, Ordering::Relaxed)))
    }
}

impl std::fmt::Debug for FakeRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeRunner").finish_non_exhaustive()
    }
}

/// Something that reached a fake agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FakeInput {
    /// Bytes of standard input.
    Bytes(Bytes),
    /// The end of standard input.
    Eof,
    /// A signal.
    Signal(Signal),
    /// Somebody ends it: call [`FakeAgent::die`].
    Killed,
}

/// A run of a fake agent, as its script holds it.
#[derive(Debug)]
pub struct FakeAgent {
    /// What was to be started.
    pub launch: Launch,
    controls: Controls,
    events: AgentEvents,
    written: [u64; 2],
    first: Bytes,
    eof: bool,
}

impl FakeAgent {
    /// Writes text to standard output.
    pub async fn say(&mut self, text: &str) {
        self.write(StreamName::Stdout, text.as_bytes()).await;
    }

    /// Writes bytes to a stream.
    pub async fn write(&mut self, stream: StreamName, bytes: &[u8]) {
        let at = &mut self.written[stream as usize];
        self.events.output(stream, *at, bytes).await;
        *at += bytes.len() as u64;
    }

    /// Writes bytes at an offset of a stream, as a runner that lost some in between does.
    pub async fn write_at(&self, stream: StreamName, at: u64, bytes: &[u8]) {
        self.events.output(stream, at, bytes).await;
    }

    /// Waits for what reaches the agent next. Pauses are acknowledged by themselves.
    pub async fn next(&mut self) -> FakeInput {
        if !self.first.is_empty() {
            return FakeInput::Bytes(std::mem::take(&mut self.first));
        }
        loop {
            if std::mem::take(&mut self.eof) {
                return FakeInput::Eof;
            }
            let Some(request) = self.controls.next().await else { return FakeInput::Killed };
            match request.control.clone() {
                Control::Kill { .. } => {
                    request.done(ControlOutcome::Killed { forced: false, swept: 0 });
                    return FakeInput::Killed;
                }
                Control::Pause => request.done(ControlOutcome::Paused(PauseMode::Forced)),
                Control::Resume => request.done(ControlOutcome::Done),
                Control::Signal(signal) => {
                    request.done(ControlOutcome::Done);
                    return FakeInput::Signal(signal);
                }
                Control::WriteStdin { bytes, close } => {
                    self.eof = close;
                    request.done(ControlOutcome::Done);
                    if !bytes.is_empty() {
                        return FakeInput::Bytes(bytes);
                    }
                }
            }
        }
    }

    /// Waits for whole lines; none at end of file or when it is killed.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = BytesMut::new();
        while let FakeInput::Bytes(bytes) = self.next().await {
            line.extend_from_slice(&bytes);
            if line.ends_with(b"\n") {
                return Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            }
        }
        None
    }

    /// Ends by itself.
    pub async fn exit(self, code: i32) {
        self.events.exited(RunExit::code(code)).await;
    }

    /// Ends as one that was told to.
    pub async fn die(self) {
        self.events.exited(RunExit::signal(15)).await;
    }
}
