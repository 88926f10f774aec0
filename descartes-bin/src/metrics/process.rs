//! The daemon's own process, under the names that every client library of Prometheus uses.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::text::{Kind, Text};

/// Where `/proc/self/stat` has the size of the address space, counted behind the name (proc(5): 23
/// of the whole, and the first two are the process and its name).
const VSIZE: usize = 20;

pub(super) fn write(text: &mut Text) {
    let cpu = std::time::Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
    let cpu = cpu.map_or(0.0, |time| time.as_secs_f64());
    let help = "Processor time of the daemon, without its agents.";
    text.single("process_cpu_seconds_total", Kind::Counter, help, cpu);
    if let Some(pages) = number("/proc/self/statm", 1) {
        let bytes = pages.saturating_mul(u64::try_from(page_size()).unwrap_or(0));
        let help = "Resident memory of the daemon.";
        text.single("process_resident_memory_bytes", Kind::Gauge, help, bytes);
    }
    if let Some(bytes) = of_stat(VSIZE) {
        let help = "Address space of the daemon.";
        text.single("process_virtual_memory_bytes", Kind::Gauge, help, bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let help = "Descriptors that the daemon has open.";
        text.single("process_open_fds", Kind::Gauge, help, open.count());
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        text.single("process_max_fds", Kind::Gauge, "Descriptors that it may have open.", most);
    }
    if let Some(start) = started() {
        let help = "When the process began, in seconds since 1970.";
        text.single("process_start_time_seconds", Kind::Gauge, help, start);
    }
}

/// The start of the process: ticks since the boot, and when that was.
fn started() -> Option<f64> {
    let ticks = u32::try_from(of_stat(VSIZE - 1)?).ok()?;
    let since_boot = f64::from(ticks) / f64::from(u32::try_from(clock_ticks_per_second()).ok()?);
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + since_boot)
}

/// The number at `place` of what `/proc/self/stat` says behind the program's name.
fn of_stat(place: usize) -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let behind = &stat[stat.rfind(')')? + 1..];
    behind.split_whitespace().nth(place)?.parse().ok()
}

fn number(path: &str, place: usize) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_process_is_described_by_what_the_kernel_says_of_it() {
        let began = started().expect("it has begun");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(began <= now + 1.0 && now - began < 24.0 * 3600.0, "began {began}, now {now}");
        let (all, resident) = (of_stat(VSIZE).unwrap(), number("/proc/self/statm", 1).unwrap());
        assert!(all > resident, "{all} bytes in all, {resident} pages resident");
    }
}
