//! The process table, as `/proc` shows it.

use std::fmt::Write as _;
use std::mem::MaybeUninit;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

use super::spare::{self, Opened};

/// Most bytes of an environment that are searched for the marker: the kernel's own default bound.
const ENVIRON_BYTES: usize = 2 * 1024 * 1024;

/// A process as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) struct Entry {
    pub(in crate::process) pid: u32,
    pub(in crate::process) parent: u32,
    pub(in crate::process) group: u32,
    pub(in crate::process) session: u32,
    /// Clock ticks after boot; with the pid it names a process for as long as the host runs.
    pub(in crate::process) start: u64,
    state: u8,
    threads: u32,
    kernel: bool,
}

impl Entry {
    /// Whether it runs no code any more and only waits to be collected.
    ///
    /// A main thread that has ended before the others reads as a zombie too, but lives.
    pub(in crate::process) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }

    /// Whether a signal stopped it.
    pub(in crate::process) fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// The letter of its state, for messages.
    pub(in crate::process) fn state(&self) -> char {
        char::from(self.state)
    }

    /// What names it for good.
    pub(in crate::process) fn identity(&self) -> (u32, u64) {
        (self.pid, self.start)
    }

    #[cfg(test)]
    pub(in crate::process) fn for_test(pid: u32, parent: u32, group: u32) -> Self {
        let (session, start, state) = (1, 1, b'S');
        Self { pid, parent, group, session, start, state, threads: 1, kernel: false }
    }
}

/// Every process that is not the kernel's, in the order of `/proc`, which is that of pids.
///
/// # Errors
///
/// A process that exists could not be looked at, because no descriptor is left: who is not in the
/// table would be taken for gone.
pub(in crate::process) fn entries() -> Result<Vec<Entry>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = spare::open(|| openat(CWD, "/proc", flags, Mode::empty()))?;
    let mut names = [const { MaybeUninit::uninit() }; 16 * 1024];
    let mut listing = RawDir::new(&directory, &mut names);
    let mut all = Vec::with_capacity(256);
    let mut path = String::with_capacity(24);
    while let Some(item) = listing.next() {
        let item = item?;
        let Some(pid) = number(item.file_name().to_bytes()) else { continue };
        path.clear();
        if write!(path, "{pid}/stat").is_err() {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match spare::open(|| openat(&directory, &*path, flags, Mode::empty())) {
            Ok(file) => all.extend(read_stat(&file).filter(|entry| !entry.kernel)),
            Err(errno) if spare::is_exhaustion(errno) => return Err(errno),
            // Gone meanwhile, or hidden from us: nothing that we could own.
            Err(_) => {}
        }
    }
    Ok(all)
}

/// One process, when there is one.
pub(in crate::process) fn entry(pid: u32) -> Result<Option<Entry>, NoDescriptor> {
    Ok(open(pid, "stat")?.and_then(|file| read_stat(&file)))
}

/// The soft limit of file locks of `pid`, when it has one: the tag.
pub(in crate::process) fn lock_limit(pid: u32) -> Result<Option<u64>, NoDescriptor> {
    Ok(open(pid, "limits")?.and_then(|file| read_lock_limit(&file)))
}

fn read_lock_limit(file: &Opened) -> Option<u64> {
    let mut buffer = [0; 4096];
    let length = fill(file, &mut buffer)?;
    let name: &[u8] = b"Max file locks";
    let begin = memchr::memmem::find(&buffer[..length], name)? + name.len();
    buffer[begin..length]
        .split(|byte| *byte == b' ')
        .find(|word| !word.is_empty())
        .and_then(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

/// The value of `variable` in the environment that `pid` was started with, when we may see it.
pub(in crate::process) fn variable(
    pid: u32,
    variable: &str,
) -> Result<Option<String>, NoDescriptor> {
    Ok(open(pid, "environ")?.and_then(|file| read_variable(&file, variable)))
}

fn read_variable(file: &Opened, variable: &str) -> Option<String> {
    let mut all = Vec::new();
    let mut block = vec![0; 16 * 1024];
    while all.len() < ENVIRON_BYTES {
        match rustix::io::read(file, &mut *block) {
            Ok(0) => break,
            Ok(length) => all.extend_from_slice(&block[..length]),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    all.split(|byte| *byte == 0).find_map(|pair| {
        let value = pair.strip_prefix(variable.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// The process id that was given out last, where the kernel itself tells it.
///
/// A file system that stands in for `/proc` (some containers have one) may tell an old number.
pub(in crate::process) fn last_pid() -> Option<u32> {
    /// Asked for at each start and each end: kept open.
    static LOAD: LazyLock<Option<OwnedFd>> = LazyLock::new(open_load);
    let mut buffer = [0; 128];
    let length = rustix::io::pread(LOAD.as_ref()?, &mut buffer, 0).ok()?;
    let word = buffer[..length].trim_ascii_end().rsplit(|byte| *byte == b' ').next()?;
    number(word)
}

fn open_load() -> Option<OwnedFd> {
    const PROC_SUPER_MAGIC: i64 = 0x9fa0;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(CWD, "/proc/loadavg", flags, Mode::empty()).ok()?;
    let system = rustix::fs::fstatfs(&file).ok()?;
    (system.f_type == PROC_SUPER_MAGIC).then_some(file)
}

/// How long the machine runs, in the unit of [`Entry::start`].
pub(in crate::process) fn ticks_since_boot() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    ticks(Duration::new(secs, u32::try_from(now.tv_nsec).unwrap_or(0)))
}

/// A time in the unit of [`Entry::start`].
pub(in crate::process) fn ticks(time: Duration) -> u64 {
    let per_second = rustix::param::clock_ticks_per_second();
    time.as_secs() * per_second + u64::from(time.subsec_nanos()) * per_second / 1_000_000_000
}

/// Nothing could be found out, because no descriptor is left: not even whether there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) struct NoDescriptor;

/// A file of a process; `None` when it is gone or hidden from us.
fn open(pid: u32, file: &str) -> Result<Option<Opened>, NoDescriptor> {
    let path = format!("/proc/{pid}/{file}");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match spare::open(|| openat(CWD, &*path, flags, Mode::empty())) {
        Ok(file) => Ok(Some(file)),
        Err(errno) if spare::is_exhaustion(errno) => Err(NoDescriptor),
        Err(_) => Ok(None),
    }
}

fn fill(file: &Opened, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match rustix::io::read(file, &mut *buffer) {
            Err(Errno::INTR) => {}
            other => return other.ok(),
        }
    }
}

fn read_stat(file: &Opened) -> Option<Entry> {
    let mut buffer = [0; 1024];
    let length = fill(file, &mut buffer)?;
    parse_stat(&buffer[..length])
}

/// proc_pid_stat(5). The name is in parentheses and may hold anything, parentheses too.
fn parse_stat(text: &[u8]) -> Option<Entry> {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let pid = number(text.split(|byte| *byte == b' ').next()?)?;
    let behind_name = memchr::memrchr(b')', text)? + 2;
    let mut fields = text.get(behind_name..)?.split(|byte| *byte == b' ');
    let state = *fields.next()?.first()?;
    let parent = number(fields.next()?)?;
    let group = number(fields.next()?).unwrap_or(0);
    let session = number(fields.next()?).unwrap_or(0);
    let flags: u64 = std::str::from_utf8(fields.nth(2)?).ok()?.parse().ok()?;
    let threads = number(fields.nth(10)?)?;
    let start = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    let kernel = flags & KERNEL_THREAD != 0;
    Some(Entry { pid, parent, group, session, start, state, threads, kernel })
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = b"42 (a ) b) S 1 40 39 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 777 99 1\n";
        let entry = parse_stat(text).unwrap();
        assert_eq!((entry.pid, entry.parent, entry.group, entry.session), (42, 1, 40, 39));
        assert_eq!((entry.start, entry.threads, entry.state), (777, 3, b'S'));
    }

    #[test]
    fn this_process_is_in_the_table_and_started_before_now() {
        let me = entry(std::process::id()).unwrap().unwrap();
        assert!(!me.is_dead());
        assert!(me.start <= ticks_since_boot());
        assert!(entries().unwrap().iter().any(|entry| entry.identity() == me.identity()));
    }

    #[test]
    fn the_last_pid_is_that_of_a_child_just_started() {
        let mut child = std::process::Command::new("/bin/true").spawn().expect("it starts");
        let last = last_pid().expect("a kernel that tells");
        // Others start processes too.
        assert!(last >= child.id() || last < 1000, "{last} after {}", child.id());
        child.wait().expect("it ends");
    }

    #[test]
    fn a_zombie_lives_while_it_has_other_threads() {
        let text = b"42 (x) Z 1 40 39 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 99 1\n";
        assert!(parse_stat(text).unwrap().is_dead());
        let text = b"42 (x) Z 1 40 39 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 2 0 777 99 1\n";
        assert!(!parse_stat(text).unwrap().is_dead());
    }
}
