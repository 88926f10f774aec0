//! Bursts to a hundred event streams over sockets.

use std::net::SocketAddr;
use std::time::Duration;

use descartes_benches::client::SseClients;
use descartes_benches::process::{Server, pause};
use descartes_benches::series::{Series, figure};
use descartes_benches::table::{Aim, Figure, Row};

use crate::{Bench, Measured};

const CLIENTS: usize = 100;
const BURST: &str = "16";
/// So that reading takes well under one core: 400 000 events a second in all.
const EVERY_MICROS: &str = "4000";
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
    pause(Duration::from_millis(200));
    let (events, bytes) = clients.seen();
    anyhow::ensure!(events > 0, "no event came");
    Ok(bytes / events)
}

fn cpu_per_event(server: &Server, time: Duration) -> anyhow::Result<f64> {
    let clients = SseClients::open(server.address().parse()?, PATH, CLIENTS)?;
    pause(time / 5);
    let (before, (events, _)) = (server.cpu()?, clients.seen());
    pause(time);
    let (after, (more, _)) = (server.cpu()?, clients.seen());
    anyhow::ensure!(more > events, "no event came");
    Ok((after - before).as_secs_f64() * 1e6 / (more - events) as f64)
}
