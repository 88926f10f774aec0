//! A Unix socket with 64 calls in flight, against a loop that does nothing else.

use std::cell::RefCell;
use std::path::Path;

use descartes_benches::client::LinesClient;
use descartes_benches::process::Server;
use descartes_benches::series::{Series, figure, median};
use descartes_benches::table::{Aim, Figure, Row};

use crate::{Bench, Measured};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#;
const WINDOW: usize = 64;

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let windows = bench.size.pick(3000, 10);
    let calls = (windows * WINDOW) as f64;
    let servers =
        [Server::start(&bench.load, &["unix"])?, Server::start(&bench.load, &["unix-lines"])?];
    let mut clients = Vec::new();
    for server in &servers {
        clients.push(LinesClient::open(Path::new(server.address()), WINDOW, CALL)?);
    }
    let micros = RefCell::new([const { Vec::new() }; 2]);
    let clients = RefCell::new(clients);
    let measure = |index: usize| -> anyhow::Result<f64> {
        let before = servers[index].cpu()?;
        let elapsed = clients.borrow_mut()[index].run(windows)?;
        let spent = (servers[index].cpu()? - before).as_secs_f64() * 1e6 / calls;
        micros.borrow_mut()[index].push(spent);
        Ok(calls / elapsed.as_secs_f64())
    };
    let series = Series::interleaved(
        bench.size.rounds(),
        &mut [&mut || figure(measure(0)), &mut || figure(measure(1))],
    );
    let [ours, theirs] = micros.into_inner().map(median);
    let whose = "tight line loop";
    Ok(Measured::Rows(vec![
        Row {
            what: "Unix socket, 64 pipelined: rate".to_owned(),
            ours: Figure(series.figure(0), "/s"),
            reference: Figure(series.figure(1), "/s"),
            whose,
            ratio: series.ratio(0, 1),
            aim: Aim::AtLeast(0.5),
        },
        Row {
            what: "Unix socket, 64 pipelined: server CPU".to_owned(),
            ours: Figure(ours, "us"),
            reference: Figure(theirs, "us"),
            whose,
            ratio: ours / theirs,
            aim: Aim::None,
        },
    ]))
}
