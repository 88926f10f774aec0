//! What the system tells the daemon: to stop, to read its configuration, and that a child has ended.

use std::io;
use std::panic::resume_unwind;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::failure::Failure;

/// How long a step of the start may still take when a signal has come: what goes as usual is over
/// by then and can be ended in order, and what hangs is not waited for.
const LAST_STEP: Duration = Duration::from_secs(1);

/// Everything that the system tells from the beginning.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) stop: StopSignals,
    /// The configuration is to be read anew.
    pub(super) hangup: Signal,
}

impl Signals {
    /// Takes over the signals, which no longer end the process by themselves.
    ///
    /// This needs no runtime yet: making the real one takes as long as everything before it, and a
    /// signal must not come in that time. What is heard until it runs is told by it.
    pub(super) fn install() -> io::Result<Self> {
        let early = Builder::new_current_thread().enable_io().build()?;
        let _inside = early.enter();
        Ok(Self { stop: StopSignals::install()?, hangup: signal(SignalKind::hangup())? })
    }
}

/// The signals that ask the daemon to stop.
#[derive(Debug)]
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one and says which it was. Cancel safe.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// How far a step of the start came.
pub(super) enum Step<T> {
    /// It is done.
    Done(T),
    /// A signal came, and it was done soon enough.
    Asked(T),
    /// A signal came, and it is not waited for.
    Hangs,
}

impl StopSignals {
    /// What `work` comes to unless a signal comes first.
    ///
    /// # Errors
    ///
    /// Those of `work`.
    pub(super) async fn unless_asked<T>(
        &mut self,
        work: JoinHandle<Result<T, Failure>>,
    ) -> Result<Step<T>, Failure> {
        let mut work = pin!(async {
            work.await.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(error) => Err(Failure::internal("start")(error)),
            })
        });
        let signal = tokio::select! {
            done = &mut work => return done.map(Step::Done),
            signal = self.next() => signal,
        };
        tracing::info!(signal, "stopping while it starts");
        tokio::select! {
            done = work => done.map(Step::Asked),
            signal = self.next() => {
                tracing::warn!(signal, "stopping at once");
                Ok(Step::Hangs)
            }
            () = sleep(LAST_STEP) => {
                tracing::warn!("the start hangs, and is left where it is");
                Ok(Step::Hangs)
            }
        }
    }
}

/// The signal that a child has ended.
pub(super) fn child_ended() -> io::Result<Signal> {
    signal(SignalKind::child())
}
