//! Which sockets a process holds.

use std::mem::MaybeUninit;

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat};

use super::spare;
use super::table::NoDescriptor;

/// Tells `seen` the number of each socket that `pid` holds, until it says that this is enough.
///
/// What may not be looked at holds nothing as far as can be told: a process that hides from its
/// own user. proc_pid_fd(5): the links of sockets read `socket:[NUMBER]`.
pub(in crate::process) fn sockets(
    pid: u32,
    seen: &mut dyn FnMut(u64) -> bool,
) -> Result<(), NoDescriptor> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = format!("/proc/{pid}/fd");
    let directory = match spare::open(|| openat(CWD, &*path, flags, Mode::empty())) {
        Ok(directory) => directory,
        Err(errno) if spare::is_exhaustion(errno) => return Err(NoDescriptor),
        Err(_) => return Ok(()),
    };
    let mut names = [const { MaybeUninit::uninit() }; 4 * 1024];
    let mut listing = RawDir::new(&directory, &mut names);
    let mut target = Vec::with_capacity(64);
    while let Some(Ok(item)) = listing.next() {
        let Ok(link) = readlinkat(&directory, item.file_name(), target) else {
            target = Vec::new();
            continue;
        };
        if let Some(number) = number(link.to_bytes())
            && !seen(number)
        {
            return Ok(());
        }
        target = link.into_bytes();
    }
    Ok(())
}

fn number(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_sockets_of_this_process_are_among_those_it_holds() {
        let (ours, _theirs) = UnixStream::pair().expect("two ends");
        let number = rustix::fs::fstat(&ours).expect("an open socket").st_ino;
        let held = || {
            let mut found = false;
            let mut look = |seen| {
                found = seen == number;
                !found
            };
            sockets(std::process::id(), &mut look).map(|()| found)
        };
        assert_eq!(held(), Ok(true));
        drop(ours);
        assert_eq!(held(), Ok(false));
    }

    #[test]
    fn only_links_to_sockets_have_a_number() {
        assert_eq!(number(b"socket:[4711]"), Some(4711));
        for other in ["pipe:[4711]", "/dev/null", "socket:[]", "socket:[x]", "anon_inode:[4]"] {
            assert_eq!(number(other.as_bytes()), None, "{other}");
        }
    }
}
