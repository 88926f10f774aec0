//! Publishing: a server in a process of its own, the same subscribers for all.
//!
//! Nobody loses a message, so that all do the same: XPUB of the crate waits for its subscribers,
//! libzmq's keeps without a bound what they have not taken, ours reads for each of them.

use std::cell::RefCell;

use descartes_benches::client::zmq::{Delivered, Subscribers};
use descartes_benches::process::Server;
use descartes_benches::series::{Series, figure, median};
use descartes_benches::table::{Aim, Figure, Row};

use crate::{Bench, Measured};

/// Who publishes, and what it is called.
const PUBLISHERS: &[(&str, &str)] = &[
    ("ours", ""),
    ("crate", "zeromq crate"),
    #[cfg(feature = "libzmq")]
    ("libzmq", "libzmq"),
];

/// So many messages of so many bytes to each of so many subscribers.
#[derive(Clone, Copy)]
struct Load {
    subscribers: usize,
    bytes: usize,
    messages: usize,
    aim: Aim,
}

const FLOODS: &[Load] = &[
    Load { subscribers: 1, bytes: 64, messages: 300_000, aim: Aim::AtLeast(0.6) },
    Load { subscribers: 1, bytes: 1024, messages: 150_000, aim: Aim::AtLeast(0.8) },
    Load { subscribers: 1, bytes: 4096, messages: 50_000, aim: Aim::None },
    Load { subscribers: 20, bytes: 64, messages: 15_000, aim: Aim::AtLeast(0.6) },
    Load { subscribers: 20, bytes: 1024, messages: 10_000, aim: Aim::AtLeast(0.8) },
    Load { subscribers: 20, bytes: 4096, messages: 5000, aim: Aim::None },
];

/// Subscribers of the bursts, messages of one, and the time between two: 4000 a second.
const BURSTS: (usize, &str, &str) = (20, "16", "4000");

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let mut rows = Vec::new();
    for load in FLOODS {
        rows.extend(flood(bench, *load));
    }
    rows.extend(bursts(bench)?);
    Ok(Measured::Rows(rows))
}

/// What one publisher reached.
struct Reached {
    delivered: Delivered,
    /// Processor time of the server, in microseconds.
    micros: f64,
}

fn reached(server: &Server, subscribers: usize, messages: usize) -> anyhow::Result<Reached> {
    let subscribers = Subscribers::open(server.address().parse()?, subscribers)?;
    let before = server.cpu()?;
    let delivered = subscribers.receive(messages)?;
    Ok(Reached { delivered, micros: (server.cpu()? - before).as_secs_f64() * 1e6 })
}

fn flood(bench: &Bench, load: Load) -> Vec<Row> {
    let messages = bench.size.pick(load.messages, 100);
    let deliveries = messages * load.subscribers;
    let costs = RefCell::new(vec![Vec::new(); PUBLISHERS.len()]);
    let measure = |index: usize| -> anyhow::Result<f64> {
        let (bytes, count) = (load.bytes.to_string(), load.subscribers.to_string());
        let (whose, count) = (PUBLISHERS[index].0, ["--subscribers", &count]);
        let (length, what) = (["--bytes", &bytes], ["--messages", &messages.to_string()]);
        let serve = [&["zmq-flood", whose][..], &count, &length, &what].concat();
        let server = Server::start(&bench.load, &serve)?;
        let Reached { delivered, micros } = reached(&server, load.subscribers, messages)?;
        anyhow::ensure!(delivered.bytes == deliveries * load.bytes, "{whose}: {delivered:?}");
        costs.borrow_mut()[index].push(micros / deliveries as f64);
        Ok(deliveries as f64 / delivered.elapsed.as_secs_f64())
    };
    let series = interleaved(bench, &measure);
    let costs: Vec<f64> = costs.into_inner().into_iter().map(median).collect();
    let name = format!("ZMQ XPUB to {}, {}", load.subscribers, told(load.bytes));
    let rate = |index: usize| Row {
        what: format!("{name}: deliveries"),
        ours: Figure(series.figure(0), "/s"),
        reference: Figure(series.figure(index), "/s"),
        whose: PUBLISHERS[index].1,
        ratio: series.ratio(0, index),
        // The bar is one of the crate's; what libzmq reaches is told beside it.
        aim: if index == 1 { load.aim } else { Aim::None },
    };
    let cost = |index: usize| Row {
        what: format!("{name}: CPU each"),
        ours: Figure(costs[0], "us"),
        reference: Figure(costs[index], "us"),
        whose: PUBLISHERS[index].1,
        ratio: costs[0] / costs[index],
        aim: Aim::None,
    };
    let peers = 1..PUBLISHERS.len();
    peers.clone().map(rate).chain(peers.map(cost)).collect()
}

fn told(bytes: usize) -> String {
    if bytes < 1024 { format!("{bytes} B") } else { format!("{} KiB", bytes / 1024) }
}

/// Ours has the journal behind it, and each event is committed before it is told.
fn bursts(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let (subscribers, burst, every) = BURSTS;
    let messages = bench.size.pick(4000, 100);
    let deliveries = (messages * subscribers) as f64;
    let rhythm = ["--burst", burst, "--every-micros", every];
    let ours = Server::start(&bench.load, &[&["zmq-bursts", "ours"], &rhythm[..]].concat())?;
    let bytes = reached(&ours, 1, 100)?.delivered.bytes / 100;
    let (length, mut servers) = (bytes.to_string(), vec![ours]);
    for (whose, _) in &PUBLISHERS[1..] {
        let serve = [&["zmq-bursts", whose, "--bytes", &length], &rhythm[..]].concat();
        servers.push(Server::start(&bench.load, &serve)?);
    }
    let series = interleaved(bench, &|index| {
        Ok(reached(&servers[index], subscribers, messages)?.micros / deliveries)
    });
    let row = |index: usize| Row {
        what: format!("ZMQ PUB to {subscribers}, journal, {bytes} B: CPU each"),
        ours: Figure(series.figure(0), "us"),
        reference: Figure(series.figure(index), "us"),
        whose: PUBLISHERS[index].1,
        ratio: series.ratio(0, index),
        aim: Aim::None,
    };
    Ok((1..PUBLISHERS.len()).map(row).collect())
}

fn interleaved(bench: &Bench, measure: &dyn Fn(usize) -> anyhow::Result<f64>) -> Series {
    let mut each: Vec<_> =
        (0..PUBLISHERS.len()).map(|index| move || figure(measure(index))).collect();
    let mut measures: Vec<&mut dyn FnMut() -> f64> = Vec::new();
    for measure in &mut each {
        measures.push(measure);
    }
    Series::interleaved(bench.size.rounds(), &mut measures)
}
