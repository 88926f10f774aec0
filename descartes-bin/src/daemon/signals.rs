//! What the system tells the daemon: to stop, to read its configuration, and that a child has ended.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the daemon to stop.
///
/// From its making on they no longer end the process by themselves.
#[derive(Debug)]
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Takes over the signals.
    pub(super) fn install() -> io::Result<Self> {
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

/// The signal that the configuration is to be read anew.
pub(super) fn reload_asked() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// The signal that a child has ended.
pub(super) fn child_ended() -> io::Result<Signal> {
    signal(SignalKind::child())
}
