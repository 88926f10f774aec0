//! HTTP against a peer and against hyper alone.

use std::cell::RefCell;
use std::net::SocketAddr;

use descartes_benches::client::{HttpClient, http_request};
use descartes_benches::process::Server;
use descartes_benches::series::{Series, figure, median};
use descartes_benches::table::{Aim, Figure, Row};

use crate::{Bench, Measured};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#;
const BATCH: usize = 100;
const BATCH_CONNECTIONS: usize = 4;

/// A server and a client of it.
struct Contestant {
    server: Server,
    client: HttpClient,
}

/// What one run of a client told.
#[derive(Clone, Copy)]
struct Told {
    /// Requests a second.
    rate: f64,
    /// Processor time of the server for one request.
    micros: f64,
}

impl Contestant {
    fn start(
        bench: &Bench,
        serve: &[&str],
        call: &str,
        connections: usize,
    ) -> anyhow::Result<Self> {
        let server = Server::start(&bench.load, serve)?;
        let address: SocketAddr = server.address().parse()?;
        let client = HttpClient::open(address, connections, http_request(call))?;
        Ok(Self { server, client })
    }

    fn run(&mut self, connections: usize, each: usize) -> anyhow::Result<Told> {
        let before = self.server.cpu()?;
        let elapsed = self.client.run(each)?;
        let requests = (connections * each) as f64;
        let micros = (self.server.cpu()? - before).as_secs_f64() * 1e6 / requests;
        Ok(Told { rate: requests / elapsed.as_secs_f64(), micros })
    }
}

pub(crate) fn single(bench: &Bench) -> anyhow::Result<Measured> {
    let mut rows = Vec::new();
    for connections in [16, 64] {
        rows.extend(single_at(bench, connections)?);
    }
    Ok(Measured::Rows(rows))
}

fn single_at(bench: &Bench, connections: usize) -> anyhow::Result<Vec<Row>> {
    let each = bench.size.pick(32_000, 320) / connections;
    let mut ours = Contestant::start(bench, &["http"], CALL, connections)?;
    let length = ours.client.sample()?.len().to_string();
    let mut peer = Contestant::start(bench, &["http-jsonrpsee"], CALL, connections)?;
    let constant = ["http-constant", "--body", &length];
    let mut floor = Contestant::start(bench, &constant, CALL, connections)?;
    let rates = RefCell::new([const { Vec::new() }; 3]);
    let measure = |contestant: &mut Contestant, index: usize| {
        figure(contestant.run(connections, each).map(|told| {
            rates.borrow_mut()[index].push(told.rate);
            told.micros
        }))
    };
    let series = Series::interleaved(
        bench.size.rounds(),
        &mut [&mut || measure(&mut ours, 0), &mut || measure(&mut peer, 1), &mut || {
            measure(&mut floor, 2)
        }],
    );
    let row = |whose, index, aim| Row {
        what: format!("HTTP call, {connections} connections: server CPU"),
        ours: Figure(series.figure(0), "us"),
        reference: Figure(series.figure(index), "us"),
        whose,
        ratio: series.ratio(0, index),
        aim,
    };
    let [ours, peer, floor] = rates.into_inner().map(median);
    let rate = |whose, other: f64| Row {
        what: format!("HTTP call, {connections} connections: rate"),
        ours: Figure(ours, "/s"),
        reference: Figure(other, "/s"),
        whose,
        ratio: ours / other,
        aim: Aim::None,
    };
    Ok(vec![
        row("jsonrpsee", 1, Aim::AtMost(0.7)),
        row("hyper, constant", 2, Aim::AtMost(1.8)),
        rate("jsonrpsee", peer),
        rate("hyper, constant", floor),
    ])
}

pub(crate) fn batch(bench: &Bench) -> anyhow::Result<Measured> {
    let call = format!("[{}]", vec![CALL; BATCH].join(","));
    let each = bench.size.pick(400, 4);
    let start = |serve: &str| Contestant::start(bench, &[serve], &call, BATCH_CONNECTIONS);
    let (mut ours, mut peer) = (start("http")?, start("http-jsonrpsee")?);
    for contestant in [&mut ours, &mut peer] {
        let body = String::from_utf8(contestant.client.sample()?)?;
        let healthy = body.matches("\"healthy\"").count();
        anyhow::ensure!(healthy == BATCH, "a batch had {healthy} results");
    }
    let micros = RefCell::new([const { Vec::new() }; 2]);
    let measure = |contestant: &mut Contestant, index: usize| {
        figure(contestant.run(BATCH_CONNECTIONS, each).map(|told| {
            micros.borrow_mut()[index].push(told.micros / BATCH as f64);
            told.rate * BATCH as f64
        }))
    };
    let series = Series::interleaved(
        bench.size.rounds(),
        &mut [&mut || measure(&mut ours, 0), &mut || measure(&mut peer, 1)],
    );
    let [cpu, peers_cpu] = micros.into_inner().map(median);
    let what = |end: &str| format!("HTTP batch of 100: {end}");
    let whose = "jsonrpsee";
    Ok(Measured::Rows(vec![
        Row {
            what: what("calls a second"),
            ours: Figure(series.figure(0), "/s"),
            reference: Figure(series.figure(1), "/s"),
            whose,
            ratio: series.ratio(0, 1),
            aim: Aim::AtLeast(3.0),
        },
        Row {
            what: what("server CPU a call"),
            ours: Figure(cpu, "us"),
            reference: Figure(peers_cpu, "us"),
            whose,
            ratio: cpu / peers_cpu,
            aim: Aim::None,
        },
    ]))
}
