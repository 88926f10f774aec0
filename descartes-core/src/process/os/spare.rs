//! Descriptors kept for looking at processes and for ending them.
//!
//! Descriptors belong to the whole process: connections, files and agents share them, and any of
//! these can use up the last. A kill must work then more than ever, and it opens one file for each
//! process that it looks at. So a few are kept, and given up for as long as such a file is open.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// A look at the table has two open at once, a signal has two; so this serves some at a time.
const SPARES: usize = 8;

static HELD: LazyLock<Mutex<Vec<OwnedFd>>> = LazyLock::new(Mutex::default);

/// Keeps as many as there should be, as far as there are any to keep.
pub(in crate::process) fn keep() {
    let mut held = held();
    while held.len() < SPARES {
        // Nothing is read or written through it, and it is there in every root.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let Ok(spare) = openat(CWD, "/", flags, Mode::empty()) else { return };
        held.push(spare);
    }
}

/// Opens something, in the place of one that is kept when there is no other.
///
/// # Errors
///
/// What `open` fails with. That may still be `EMFILE` or `ENFILE`: somebody else was faster, or too
/// many do this at once; see [`is_exhaustion`].
pub(in crate::process) fn open(open: impl Fn() -> Result<OwnedFd, Errno>) -> Result<Opened, Errno> {
    let mut opened = open();
    let mut lent = false;
    while let Err(errno) = opened
        && is_exhaustion(errno)
    {
        // Taken and closed in two steps: nobody waits for the lock while a file is closed.
        let Some(spare) = held().pop() else { break };
        drop(spare);
        lent = true;
        opened = open();
    }
    match opened {
        Ok(file) => Ok(Opened { file: Some(file), lent }),
        Err(errno) => {
            if lent {
                keep();
            }
            Err(errno)
        }
    }
}

/// Whether an error says something of our descriptors, and nothing of what was to be opened.
pub(in crate::process) fn is_exhaustion(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE)
}

fn held() -> MutexGuard<'static, Vec<OwnedFd>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something open; its place is kept again once it is closed.
#[derive(Debug)]
pub(in crate::process) struct Opened {
    file: Option<OwnedFd>,
    lent: bool,
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_ref().expect("open until it is dropped").as_fd()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.file = None;
        if self.lent {
            keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_finds_no_descriptor_gets_one_that_was_kept_and_gives_it_back() {
        keep();
        let missing = Cell::new(2_u32);
        let opened = open(|| {
            let left = missing.replace(missing.get().saturating_sub(1));
            if left > 0 {
                return Err(Errno::MFILE);
            }
            openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        });
        let opened = opened.expect("the second that was kept");
        assert!(opened.lent);
        drop(opened);
        assert_eq!(held().len(), SPARES);
    }

    #[test]
    fn what_is_not_there_is_not_looked_for_twice() {
        let asked = Cell::new(0_u32);
        let error = open(|| {
            asked.set(asked.get() + 1);
            Err(Errno::NOENT)
        });
        assert_eq!((error.map(drop), asked.get()), (Err(Errno::NOENT), 1));
    }
}
