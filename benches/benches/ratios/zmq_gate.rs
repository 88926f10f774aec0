//! Through the gate: servers in processes of their own, against ROUTERs that only send back what
//! they get. One client for all, so what differs is the servers'.
//!
//! "frames": accepted and admitted as in the gate, then sent back by our ZMTP; the gate has nothing
//! more to do with a message. "calls": the daemon's transport whole, gate, conversation, JSON-RPC,
//! with a service whose methods give back their parameters. "system.health": the daemon's methods
//! behind it.

use std::cell::RefCell;

use descartes_benches::client::zmq::AskingClient;
use descartes_benches::process::Server;
use descartes_benches::series::{Series, figure, median};
use descartes_benches::table::{Aim, Figure, Row};
use descartes_transport_zmq::zmtp::SocketType;

use crate::{Bench, Measured};

/// Questions that are under way when they are pipelined.
const WINDOW: usize = 256;
const HEALTH: &str = r#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#;

/// Who answers: the arguments of the server, and what it is called.
type Peer = (&'static [&'static str], &'static str);

const FRAMES: Peer = (&["zmq-echo", "frames"], "");
const ECHO: Peer = (&["zmq-echo", "ours"], "");
const DAEMON: Peer = (&["zmq"], "");
const PEERS: &[Peer] = &[
    (&["zmq-echo", "crate"], "zeromq crate, echo"),
    #[cfg(feature = "libzmq")]
    (&["zmq-echo", "libzmq"], "libzmq, echo"),
];

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let calls = [
        (FRAMES, "frames of 64 B", call_of(64), 200_000, Aim::AtLeast(0.6)),
        (FRAMES, "frames of 1 KiB", call_of(1024), 100_000, Aim::AtLeast(0.8)),
        (ECHO, "calls of 64 B", call_of(64), 200_000, Aim::AtLeast(0.6)),
        (ECHO, "calls of 1 KiB", call_of(1024), 100_000, Aim::AtLeast(0.8)),
        (DAEMON, "system.health", HEALTH.to_owned(), 200_000, Aim::None),
    ];
    let mut rows = Vec::new();
    for (ours, what, call, messages, aim) in calls {
        let messages = bench.size.pick(messages, 1000);
        rows.extend(pipelined(bench, ours, &call, (what, messages, aim))?);
    }
    rows.extend(round_trip(bench, ECHO, &call_of(64), "call of 64 B")?);
    rows.extend(round_trip(bench, DAEMON, HEALTH, "system.health")?);
    Ok(Measured::Rows(rows))
}

/// A call of so many bytes.
fn call_of(bytes: usize) -> String {
    let call =
        |text: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"e","params":["{text}"]}}"#);
    call(&"x".repeat(bytes - call("").len()))
}

struct Contestant {
    server: Server,
    client: AskingClient,
}

/// Ours first, then the peers.
fn contestants(
    bench: &Bench,
    ours: Peer,
    kind: SocketType,
    call: &str,
) -> anyhow::Result<Vec<Contestant>> {
    let mut contestants = Vec::new();
    for (serve, _) in std::iter::once(&ours).chain(PEERS) {
        let server = Server::start(&bench.load, serve)?;
        let mut client = AskingClient::open(server.address().parse()?, kind, call)?;
        let answer = String::from_utf8(client.sample()?.to_vec())?;
        let calls = serve == &ECHO.0 || serve == &DAEMON.0;
        let expected = if calls { r#","result":"# } else { call };
        anyhow::ensure!(answer.contains(expected), "{serve:?} answered {answer}");
        contestants.push(Contestant { server, client });
    }
    Ok(contestants)
}

fn pipelined(
    bench: &Bench,
    ours: Peer,
    call: &str,
    (what, messages, aim): (&str, usize, Aim),
) -> anyhow::Result<Vec<Row>> {
    let contestants = contestants(bench, ours, SocketType::Dealer, call)?;
    let micros = RefCell::new(vec![Vec::new(); contestants.len()]);
    let series = interleaved(bench, contestants, |index, Contestant { server, client }| {
        let before = server.cpu()?;
        let elapsed = client.run(messages, WINDOW)?;
        let spent = (server.cpu()? - before).as_secs_f64() * 1e6 / messages as f64;
        micros.borrow_mut()[index].push(spent);
        Ok(messages as f64 / elapsed.as_secs_f64())
    });
    let micros: Vec<f64> = micros.into_inner().into_iter().map(median).collect();
    let rate = |index: usize| Row {
        what: format!("ZMQ {what}, {WINDOW} under way"),
        ours: Figure(series.figure(0), "/s"),
        reference: Figure(series.figure(index), "/s"),
        whose: PEERS[index - 1].1,
        ratio: series.ratio(0, index),
        // The bar is one of the crate's; what libzmq reaches is told beside it.
        aim: if index == 1 { aim } else { Aim::None },
    };
    let cost = |index: usize| Row {
        what: format!("ZMQ {what}: server CPU each"),
        ours: Figure(micros[0], "us"),
        reference: Figure(micros[index], "us"),
        whose: PEERS[index - 1].1,
        ratio: micros[0] / micros[index],
        aim: Aim::None,
    };
    let peers = 1..=PEERS.len();
    Ok(peers.clone().map(rate).chain(peers.map(cost)).collect())
}

fn round_trip(bench: &Bench, ours: Peer, call: &str, what: &str) -> anyhow::Result<Vec<Row>> {
    let contestants = contestants(bench, ours, SocketType::Req, call)?;
    let messages = bench.size.pick(5000, 100);
    let series = interleaved(bench, contestants, |_, contestant| {
        contestant.client.round_trips(messages).map(median)
    });
    let row = |index: usize| Row {
        what: format!("ZMQ {what}, REQ round trip: p50"),
        ours: Figure(series.figure(0), "ns"),
        reference: Figure(series.figure(index), "ns"),
        whose: PEERS[index - 1].1,
        ratio: series.ratio(0, index),
        aim: Aim::None,
    };
    Ok((1..=PEERS.len()).map(row).collect())
}

fn interleaved(
    bench: &Bench,
    mut contestants: Vec<Contestant>,
    measure: impl Fn(usize, &mut Contestant) -> anyhow::Result<f64>,
) -> Series {
    let measure = &measure;
    let each = contestants.iter_mut().enumerate();
    let mut each: Vec<_> =
        each.map(|(index, contestant)| move || figure(measure(index, contestant))).collect();
    let mut measures: Vec<&mut dyn FnMut() -> f64> = Vec::new();
    for measure in &mut each {
        measures.push(measure);
    }
    Series::interleaved(bench.size.rounds(), &mut measures)
}
