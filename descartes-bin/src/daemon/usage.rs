//! The daemon's own use of the machine.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use descartes_rpc::meter::Meter;
use descartes_rpc::router::UsageProbe;
use descartes_rpc::wire::system::SystemUse;
use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Semaphore;

const MIB: f64 = 1024.0 * 1024.0;

/// Measures this process. Its connections are the permits that are missing of `most`.
pub(super) fn probe(
    began: Instant,
    (connections, most): (Arc<Semaphore>, usize),
    meter: Meter,
) -> UsageProbe {
    Arc::new(move || {
        let mut usage = SystemUse::default();
        usage.uptime_secs = began.elapsed().as_secs();
        usage.memory_usage_mb = resident_bytes().map(|bytes| bytes / MIB);
        usage.cpu_usage_percent = Some(cpu_secs() / began.elapsed().as_secs_f64() * 100.0);
        usage.active_connections =
            u64::try_from(most.saturating_sub(connections.available_permits())).unwrap_or(0);
        usage.calls = Some(meter.calls());
        usage
    })
}

fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u32 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(f64::from(pages) * f64::from(u32::try_from(page_size()).ok()?))
}

fn cpu_secs() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    std::time::Duration::try_from(time).map_or(0.0, |time| time.as_secs_f64())
}
