//! The servers of the load generator: ours, and what ours are measured against.

mod constant;
mod descartes;
mod health;
mod lines;
mod raw_sse;
mod rpsee;
mod zmq;

use std::io::{Read, Write};
use std::time::Duration;

pub use health::Health;
pub use zmq::{Flood, Whose, send_back};

/// Which server.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Serve {
    /// Descartes over HTTP.
    Http,
    /// hyper that reads the body and answers the same bytes, whatever was asked.
    HttpConstant {
        /// How long the answer's body is.
        #[arg(long)]
        body: usize,
    },
    /// jsonrpsee with a `system.health` of the same result.
    HttpJsonrpsee,
    /// Descartes over a Unix socket.
    Unix,
    /// A tight loop over lines: read what is there, answer all of it, write once.
    UnixLines,
    /// Descartes with events that come in bursts.
    Sse(Bursts),
    /// One `write` of a burst's bytes to each client.
    SseRaw {
        /// When and how many.
        #[command(flatten)]
        bursts: Bursts,
        /// How long one event's frame is.
        #[arg(long)]
        frame: usize,
    },
    /// Descartes over a Unix socket, with the embedded store and agents to chat with.
    Chats,
    /// Descartes over ZeroMQ.
    Zmq,
    /// A ROUTER that sends back what it gets.
    ZmqEcho {
        /// Whose.
        whose: Whose,
    },
    /// An XPUB that publishes once, as fast as it can.
    ZmqFlood {
        /// Whose.
        whose: Whose,
        /// What.
        #[command(flatten)]
        flood: Flood,
    },
    /// A PUB whose messages come in bursts; that of Descartes has its journal behind it.
    ZmqBursts {
        /// Whose.
        whose: Whose,
        /// When and how many.
        #[command(flatten)]
        bursts: Bursts,
        /// How long a message is; Descartes' are as long as their events.
        #[arg(long, default_value_t = 0)]
        bytes: usize,
    },
}

/// Events that come in bursts.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Bursts {
    /// Events of one burst.
    #[arg(long)]
    pub burst: usize,
    /// Time between two bursts.
    #[arg(long)]
    pub every_micros: u64,
}

impl Bursts {
    fn every(self) -> Duration {
        Duration::from_micros(self.every_micros)
    }
}

/// Serves until standard input ends.
///
/// # Errors
/// When the server cannot start.
pub fn serve(server: &Serve) -> anyhow::Result<()> {
    if let Serve::SseRaw { bursts, frame } = server {
        return raw_sse::serve(*bursts, *frame);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _entered = runtime.enter();
    match server {
        Serve::Http => runtime.block_on(descartes::http())?,
        Serve::HttpConstant { body } => runtime.block_on(constant::serve(*body))?,
        Serve::HttpJsonrpsee => runtime.block_on(rpsee::serve())?,
        Serve::Unix => runtime.block_on(descartes::unix())?,
        Serve::UnixLines => runtime.block_on(lines::serve())?,
        Serve::Sse(bursts) => runtime.block_on(descartes::sse(*bursts))?,
        Serve::Chats => runtime.block_on(descartes::chats())?,
        Serve::Zmq => runtime.block_on(zmq::daemon())?,
        Serve::ZmqEcho { whose } => runtime.block_on(zmq::echo(*whose))?,
        Serve::ZmqFlood { whose, flood } => runtime.block_on(zmq::flood(*whose, *flood))?,
        Serve::ZmqBursts { whose, bursts, bytes } => {
            runtime.block_on(zmq::bursts(*whose, *bursts, *bytes))?;
        }
        Serve::SseRaw { .. } => {}
    }
    until_input_ends();
    Ok(())
}

/// Says where it listens.
fn listening(address: impl std::fmt::Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}

/// Waits until whoever started this is gone.
fn until_input_ends() {
    let mut nothing = [0; 64];
    while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
}
