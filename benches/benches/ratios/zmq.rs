//! ZMTP of our own against the bare `zeromq` crate and libzmq: both ends in one process, over TCP
//! on loopback. What stands above ZMTP in a daemon is in `zmq_gate` and `zmq_publish`.

#[path = "zmq/bare.rs"]
mod bare;
#[cfg(feature = "libzmq")]
#[path = "zmq/libzmq.rs"]
mod libzmq;
#[path = "zmq/ours.rs"]
mod ours;

use std::time::{Duration, Instant};

use descartes_benches::series::{Series, figure};
use descartes_benches::table::{Aim, Figure, Row};
use tokio::runtime::Runtime;

use crate::{Bench, Measured};

/// Requests that are under way when they are pipelined.
const WINDOW: usize = 256;

/// What is sent: so many messages of so many bytes.
#[derive(Clone, Copy, Debug)]
struct Load {
    bytes: usize,
    messages: usize,
}

/// How long one way of talking takes for a load.
type Talk = fn(&Runtime, Load) -> anyhow::Result<Duration>;

/// A way of talking, and those who do it.
struct Way {
    what: &'static str,
    load: Load,
    aim: Aim,
    /// Whether nanoseconds are told, and not messages a second.
    latency: bool,
    ours: Talk,
    others: &'static [(Talk, &'static str)],
}

const PIPELINED: &[(Talk, &str)] = &[
    (bare::pipelined, "zeromq crate"),
    #[cfg(feature = "libzmq")]
    (libzmq::pipelined, "libzmq"),
];
const ONE_WAY: &[(Talk, &str)] = &[
    (bare::one_way, "zeromq crate, PUSH"),
    (bare::published, "zeromq crate, XPUB"),
    (bare::published_by_the_window, "zeromq crate, PUB by 512"),
    #[cfg(feature = "libzmq")]
    (libzmq::published, "libzmq, XPUB"),
];
const ROUND_TRIP: &[(Talk, &str)] = &[
    (bare::round_trip, "zeromq crate, REP"),
    #[cfg(feature = "libzmq")]
    (libzmq::round_trip, "libzmq, REP"),
];

const WAYS: &[Way] = &[
    Way {
        what: "ZMQ DEALER, 256 under way, 64 B",
        load: Load { bytes: 64, messages: 200_000 },
        aim: Aim::AtLeast(0.6),
        latency: false,
        ours: ours::pipelined,
        others: PIPELINED,
    },
    Way {
        what: "ZMQ DEALER, 256 under way, 1 KiB",
        load: Load { bytes: 1024, messages: 100_000 },
        aim: Aim::AtLeast(0.8),
        latency: false,
        ours: ours::pipelined,
        others: PIPELINED,
    },
    Way {
        what: "ZMQ XPUB to one SUB, 64 B",
        load: Load { bytes: 64, messages: 500_000 },
        aim: Aim::AtLeast(0.6),
        latency: false,
        ours: ours::one_way,
        others: ONE_WAY,
    },
    Way {
        what: "ZMQ XPUB to one SUB, 1 KiB",
        load: Load { bytes: 1024, messages: 300_000 },
        aim: Aim::AtLeast(0.8),
        latency: false,
        ours: ours::one_way,
        others: ONE_WAY,
    },
    Way {
        what: "ZMQ REQ round trip, 64 B",
        load: Load { bytes: 64, messages: 5000 },
        aim: Aim::AtMost(1.25),
        latency: true,
        ours: ours::round_trip,
        others: ROUND_TRIP,
    },
];

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let runtime = Bench::runtime()?;
    let mut rows = Vec::new();
    for way in WAYS {
        rows.extend(way.measure(bench, &runtime));
    }
    Ok(Measured::Rows(rows))
}

impl Way {
    fn measure(&self, bench: &Bench, runtime: &Runtime) -> Vec<Row> {
        let messages = bench.size.pick(self.load.messages, 1000);
        let load = Load { messages, ..self.load };
        let run = |talk: Talk| {
            let taken = talk(runtime, load).map(|taken| taken.as_secs_f64() / messages as f64);
            let each = figure(taken);
            if self.latency { each * 1e9 } else { 1.0 / each }
        };
        let talks = std::iter::once(self.ours).chain(self.others.iter().map(|(talk, _)| *talk));
        let mut measures: Vec<_> = talks.map(|talk| move || run(talk)).collect();
        let mut contestants: Vec<&mut dyn FnMut() -> f64> = Vec::new();
        for measure in &mut measures {
            contestants.push(measure);
        }
        let series = Series::interleaved(bench.size.rounds(), &mut contestants);
        let unit = if self.latency { "ns" } else { "/s" };
        let row = |index: usize, whose: &'static str| Row {
            what: self.what.to_owned(),
            ours: Figure(series.figure(0), unit),
            reference: Figure(series.figure(index), unit),
            whose,
            ratio: series.ratio(0, index),
            // The bar is one of the crate's; what libzmq reaches is told beside it.
            aim: if whose.starts_with("libzmq") { Aim::None } else { self.aim },
        };
        self.others.iter().enumerate().map(|(at, (_, whose))| row(at + 1, whose)).collect()
    }
}

/// The time since then, when everything has come.
fn taken(began: Instant, come: usize, load: Load) -> anyhow::Result<Duration> {
    anyhow::ensure!(come == load.messages, "{come} of {} came", load.messages);
    Ok(began.elapsed())
}
