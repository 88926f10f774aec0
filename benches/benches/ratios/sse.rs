//! Bursts to a hundred event streams over sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use descartes_benches::client::SseClients;
use descartes_benches::process::{Server, pause};
use descartes_benches::series::{Series, figure};
use descartes_benches::table::{Aim, Figure, Row};

use crate::{Bench, Measured};

const CLIENTS: usize = 100;
const BURST: &str = "16";
/// So that reading takes well under one core: 400 000 events a second in all.
const EVERY_MICROS: &str = "4000";
/// How long an event may take on a machine that has other work.
const PATIENCE: Duration = Duration::from_secs(30);
const PATH: &str = "/events?topic=agent/&after=now";

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let bursts = ["--burst", BURST, "--every-micros", EVERY_MICROS];
    let ours = Server::start(&bench.load, &[&["sse"], &bursts[..]].concat())?;
    let frame = frame_bytes(&ours)?.to_string();
    let raw =
        Server::start(&bench.load, &[&["sse-raw"], &bursts[..], &["--frame", &frame]].concat())?;
    let time = Duration::from_millis(bench.size.pick(1000, 100));
    let measure = |server: &Server| figure(cpu_per_event(server, time));
    let series = Series::interleaved(
        bench.size.rounds(),
        &mut [&mut || measure(&ours), &mut || measure(&raw)],
    );
    Ok(Measured::Rows(vec![Row {
        what: "SSE to 100, bursts of 16: server CPU each".to_owned(),
        ours: Figure(series.figure(0), "us"),
        reference: Figure(series.figure(1), "us"),
        whose: "one write a client",
        ratio: series.ratio(0, 1),
        aim: Aim::AtMost(2.0),
    }]))
}

/// How long one event is on the wire.
fn frame_bytes(server: &Server) -> anyhow::Result<u64> {
    let address: SocketAddr = server.address().parse()?;
    let clients = SseClients::open(address, PATH, 1)?;
    let (events, bytes) = seen_after(&clients, Duration::from_millis(200), 0)?;
    Ok(bytes / events)
}

fn cpu_per_event(server: &Server, time: Duration) -> anyhow::Result<f64> {
    let clients = SseClients::open(server.address().parse()?, PATH, CLIENTS)?;
    let (events, _) = seen_after(&clients, time / 5, 0)?;
    let before = server.cpu()?;
    let (more, _) = seen_after(&clients, time, events)?;
    let after = server.cpu()?;
    Ok((after - before).as_secs_f64() * 1e6 / (more - events) as f64)
}

/// The events and bytes that were seen when `time` is over, or as soon as there are more than so many
/// events.
fn seen_after(clients: &SseClients, time: Duration, than: u64) -> anyhow::Result<(u64, u64)> {
    pause(time);
    let began = Instant::now();
    loop {
        let (events, bytes) = clients.seen();
        if events > than {
            return Ok((events, bytes));
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "no event came");
        pause(Duration::from_millis(5));
    }
}
