//! What the system tells the daemon: to stop, and that a child has ended.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the daemon to stop.
///
/// From its making on they no longer end the process by themselves.
#[derive(Debug)]
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    /// Takes over the signals.
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one and says which it was. Cancel safe.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// The signal that a child has ended.
pub(super) fn child_ended() -> io::Result<Signal> {
    signal(SignalKind::child())
}
