//! One small call, bytes to bytes, without a socket.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use descartes_benches::host;
use descartes_benches::series::Series;
use descartes_benches::table::{Aim, Figure, Row};
use descartes_rpc::connection::answer;
use descartes_rpc::peer::Peer;

use crate::{Bench, Measured};

const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"system.health"}"#;

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let descartes = runtime.block_on(host::in_memory())?;
    let rpc = host::rpc(descartes.clone());
    let peer = Peer::owner("memory");
    let calls = bench.size.pick(200_000, 1_000);
    let mut ours = || {
        runtime.block_on(async {
            let began = Instant::now();
            for _ in 0..calls {
                black_box(answer(rpc.clone(), peer.clone(), Bytes::from_static(CALL)).await);
            }
            nanos(began.elapsed(), calls)
        })
    };
    let mut direct = || {
        let began = Instant::now();
        for _ in 0..calls {
            black_box(black_box(&descartes).health());
        }
        nanos(began.elapsed(), calls)
    };
    let series = Series::interleaved(bench.size.rounds(), &mut [&mut ours, &mut direct]);
    Ok(Measured::Rows(vec![Row {
        what: "system.health, bytes to bytes in process".to_owned(),
        ours: Figure(series.figure(0), "ns"),
        reference: Figure(series.figure(1), "ns"),
        whose: "direct typed call",
        ratio: series.ratio(0, 1),
        aim: Aim::NanosBelow(1200.0),
    }]))
}

fn nanos(elapsed: Duration, calls: u32) -> f64 {
    elapsed.as_secs_f64() * 1e9 / f64::from(calls)
}
