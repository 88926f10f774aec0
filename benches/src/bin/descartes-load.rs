//! The load generator: sends requests at a fixed rate, and is every server that benches need.
//!
//! `descartes-load http 127.0.0.1:8080 --rate 5000 --connections 16` measures a daemon: latencies
//! from when each request was due, and the processor time of the server if its pid is given.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use descartes_benches::client::{HttpClient, OpenLoop, http_request};
use descartes_benches::corpus;
use descartes_benches::process::cpu_of;
use descartes_benches::servers::{self, Serve};
use descartes_benches::talker;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until standard input ends; says where on the first line.
    #[command(subcommand)]
    Serve(Serve),
    /// Writes lines of a log to standard output, as fast as they are taken.
    Flood {
        /// How many bytes.
        bytes: u64,
    },
    /// Converses, as the bundled agent does, in lines that say when they were written.
    Talk {
        /// As the dialect wants it.
        #[arg(long)]
        chat: bool,
        /// The conversation's name, a new one.
        #[arg(long)]
        session: Option<String>,
        /// The conversation's name, that of an earlier one.
        #[arg(long)]
        resume: Option<String>,
    },
    /// Sends small calls at a fixed rate, whether or not they are answered in time.
    Http(Load),
}

#[derive(clap::Args)]
struct Load {
    /// Where.
    address: SocketAddr,
    /// Calls a second in all.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Connections that stay.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// For how long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The call.
    #[arg(long, default_value = r#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#)]
    call: String,
    /// The server's process, to tell its processor time per call.
    #[arg(long)]
    pid: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Serve(server) => servers::serve(&server),
        Command::Flood { bytes } => Ok(corpus::flood(&mut std::io::stdout().lock(), bytes)?),
        Command::Talk { session, resume, .. } => {
            let name = resume.or(session).unwrap_or_default();
            Ok(talker::talk(&name, std::io::stdin().lock(), std::io::stdout().lock())?)
        }
        Command::Http(load) => http(&load),
    }
}

fn http(load: &Load) -> anyhow::Result<()> {
    let mut client = HttpClient::open(load.address, load.connections, http_request(&load.call))?;
    let before = load.pid.map(cpu_of).transpose()?;
    let open = OpenLoop { rate: load.rate, duration: Duration::from_secs(load.seconds) };
    let seen = client.run_open(open)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "calls {}", seen.len())?;
    for percent in [50.0, 90.0, 99.0, 99.9, 100.0] {
        let micros = seen.value_at_percentile(percent) as f64 / 1000.0;
        writeln!(out, "p{percent} {micros:.1} us")?;
    }
    if let (Some(pid), Some(before)) = (load.pid, before) {
        let micros = (cpu_of(pid)? - before).as_secs_f64() * 1e6 / seen.len() as f64;
        writeln!(out, "server CPU {micros:.2} us a call")?;
    }
    Ok(())
}
