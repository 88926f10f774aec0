//! Conversations: how soon a piece is with whoever follows it, and what a long turn costs.

use std::path::Path;
use std::time::Duration;

use descartes_benches::client::{ChatClient, Piped};
use descartes_benches::process::{Server, cpu_of_this_thread};
use descartes_benches::series::{Series, figure};
use descartes_benches::table::{Aim, Figure, Row};
use descartes_benches::talker::Stream;

use crate::{Bench, Measured};

/// Chats that stream at once.
const CHATS: usize = 20;
/// As often as a quick model says something.
const EVERY: Duration = Duration::from_millis(20);
/// So often that no two pieces of a turn are taken together: the dearest way to have it.
const APART: Duration = Duration::from_millis(1);

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let server = Server::start(&bench.load, &["chats"])?;
    let path = Path::new(server.address());
    let latency = latency(bench, path)?;
    Ok(Measured::Rows(vec![latency, cost(bench, &server, path)?]))
}

/// From an agent's write to its follower's read, at 20 chats that stream; the worst of a hundred.
fn latency(bench: &Bench, path: &Path) -> anyhow::Result<Row> {
    let stream = Stream { pieces: bench.size.pick(150, 5), every: EVERY };
    let mut chats = open(|| ChatClient::open(path))?;
    let mut pipes = open(|| Piped::open(&bench.load))?;
    let mut ours = || figure(together(&mut chats, |chat| chat.turn(stream)));
    let mut floor = || figure(together(&mut pipes, |pipe| pipe.turn(stream)));
    let series = Series::interleaved(bench.size.rounds(), &mut [&mut ours, &mut floor]);
    Ok(Row {
        what: "20 chats streaming: a chunk's way, p99".to_owned(),
        ours: Figure(series.figure(0), "ns"),
        reference: Figure(series.figure(1), "ns"),
        whose: "the agents' pipes",
        ratio: series.ratio(0, 1),
        aim: Aim::NanosBelow(5e6),
    })
}

fn open<T>(open: impl Fn() -> std::io::Result<T>) -> std::io::Result<Vec<T>> {
    (0..CHATS).map(|_| open()).collect()
}

/// All at once, each in a thread of its own; the 99th percentile of all that took.
fn together<T: Send>(
    all: &mut [T],
    turn: impl Fn(&mut T) -> std::io::Result<Vec<u64>> + Sync,
) -> anyhow::Result<f64> {
    let mut took = std::thread::scope(|scope| {
        let turn = &turn;
        let threads: Vec<_> = all.iter_mut().map(|one| scope.spawn(move || turn(one))).collect();
        let mut took = Vec::new();
        for thread in threads {
            let one = thread.join().map_err(|_panic| std::io::Error::other("a reader panicked"))?;
            took.extend(one?);
        }
        std::io::Result::Ok(took)
    })?;
    took.sort_unstable();
    let worst = took.get(took.len() * 99 / 100);
    Ok(*worst.ok_or_else(|| anyhow::anyhow!("no piece came"))? as f64)
}

/// What a turn of 2,000 pieces costs the daemon; and a reader of the agent's pipe.
fn cost(bench: &Bench, server: &Server, path: &Path) -> anyhow::Result<Row> {
    let stream = Stream { pieces: bench.size.pick(2000, 20), every: APART };
    let mut chat = ChatClient::open(path)?;
    let mut pipe = Piped::open(&bench.load)?;
    let mut ours = || figure(cpu(|| server.cpu(), || chat.turn(stream)));
    let mut floor = || figure(cpu(cpu_of_this_thread, || pipe.turn(stream)));
    let series = Series::interleaved(bench.size.rounds(), &mut [&mut ours, &mut floor]);
    Ok(Row {
        what: "turn of 2,000 chunks 1 ms apart: daemon CPU".to_owned(),
        ours: Figure(series.figure(0), "ns"),
        reference: Figure(series.figure(1), "ns"),
        whose: "a reader of the agent's pipe",
        ratio: series.ratio(0, 1),
        aim: Aim::NanosBelow(150e6),
    })
}

/// Nanoseconds of processor time that `turn` takes of what `spent` tells.
fn cpu(
    spent: impl Fn() -> std::io::Result<Duration>,
    turn: impl FnOnce() -> std::io::Result<Vec<u64>>,
) -> anyhow::Result<f64> {
    let before = spent()?;
    turn()?;
    Ok((spent()? - before).as_nanos() as f64)
}
