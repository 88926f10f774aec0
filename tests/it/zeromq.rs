//! ZeroMQ at the real daemon: who means no good, who is slow, and who asks much.

mod attacks;
mod away;
mod batch;
mod guide;
mod queue;
mod remote;
mod slow;
mod subscribing;
mod trusted;

use crate::rig::daemon::{Daemon, Setup};

/// A daemon with both kinds of sockets on free ports.
fn start() -> Daemon {
    Setup::new().flag("--zmq-port=0").flag("--pub-port=0").start()
}
