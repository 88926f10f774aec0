//! Who lives on this machine, found in a way that the daemon does not use.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::PATIENCE;

/// A word that a test puts into the arguments of its agents, and nobody else has.
///
/// Children inherit neither environment nor session where they do not want to; `parrot` passes its
/// arguments on to every child, so the word finds them all.
pub(crate) fn token() -> String {
    let mut name = tempfile::Builder::new();
    let file = name.prefix("token-").rand_bytes(12).tempfile().expect("a temporary file");
    file.path().file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
}

/// The processes that have `token` in their arguments; zombies have none.
pub(crate) fn with_token(token: &str) -> Vec<u32> {
    let mine = std::process::id();
    processes().filter(|&pid| pid != mine && has_argument(pid, token)).collect()
}

/// What is to be known of processes that should not be there.
pub(crate) fn shown(pids: &[u32]) -> Vec<String> {
    let shown = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        let stat: Vec<&str> = stat.split(' ').take(6).collect();
        format!("{} {arguments}", stat.join(" "))
    };
    pids.iter().map(shown).collect()
}

/// The processes whose parent is `parent`, zombies included.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    processes().filter(|&pid| stat(pid).is_some_and(|stat| stat.parent == parent)).collect()
}

/// The zombies among them.
pub(crate) fn zombies(parent: u32) -> Vec<u32> {
    let mut found = children(parent);
    found.retain(|&pid| stat(pid).is_some_and(|stat| stat.state == 'Z'));
    found
}

/// What the open descriptors of a process are, each with how many there are of it.
pub(crate) fn descriptors(pid: u32) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    for target in entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()) {
        // Pipes and sockets have numbers of their own.
        let target = target.to_string_lossy();
        *found.entry(target.split(':').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    found
}

/// How many sockets a process has open. What the store opens in its own time is none.
pub(crate) fn sockets(pid: u32) -> usize {
    descriptors(pid).get("socket").copied().unwrap_or_default()
}

/// How many descriptors a process has open.
pub(crate) fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Threads of a process.
pub(crate) fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:") * 1024
}

/// What of it is the process's own, and not of files that are in memory anyway, in bytes.
pub(crate) fn resident_own(pid: u32) -> u64 {
    status_kib(pid, "RssAnon:") * 1024
}

/// The most it ever had, in bytes.
pub(crate) fn resident_peak(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:") * 1024
}

fn status_kib(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Processor time of a process so far, in clock ticks (a hundredth of a second on Linux).
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    stat(pid).map_or(0, |stat| stat.ticks)
}

/// Waits until `settled` holds, or says that it never did. For what no event announces.
#[track_caller]
pub(crate) fn eventually(what: &str, mut settled: impl FnMut() -> bool) {
    let began = Instant::now();
    while !settled() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Whether a signal does to a process what it says itself, and not what signals usually do.
pub(crate) fn catches(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

/// What a process is at, as the kernel says it: `T` is stopped.
pub(crate) fn state(pid: u32) -> Option<char> {
    stat(pid).map(|stat| stat.state)
}

struct Stat {
    state: char,
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may contain any.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        ticks: fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
    })
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn has_argument(pid: u32, token: &str) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments.split(|&b| b == 0).any(|argument| argument == token.as_bytes())
}
