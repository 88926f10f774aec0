//! What the operating system has no safe words for in this program: descriptors that are numbers,
//! and how much the allocator of the C library keeps.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Owns a descriptor that was inherited, and keeps it from being inherited further.
#[expect(unsafe_code, reason = "a number from the environment becomes a descriptor")]
pub(super) fn take(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: it is borrowed only to ask the kernel whether it is open.
    let open = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    fcntl_setfd(open.as_fd(), FdFlags::CLOEXEC)?;
    // SAFETY: it is open, was given to this process by whoever started it, who says so by our pid,
    // and nobody else takes it: this is called once, before anything is opened here.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Bounds what the allocator keeps of work that is over, unless the environment says how much.
///
/// glibc gives each of many threads an arena of its own, up to eight for each processor, and an
/// arena is not given back: after an hour of bursts 11 of 50 MB were in use. To be called before a
/// thread is started; other allocators do not need it.
pub(super) fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        glibc::set_arenas();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;
    use std::thread;

    /// Fewer would let two threads wait for each other where there is one processor.
    const ARENAS_LEAST: usize = 2;
    /// As many as there are workers at most, see `WORKERS_MOST`.
    const ARENAS_MOST: usize = 8;
    /// `M_ARENA_MAX` of `malloc.h`.
    const M_ARENA_MAX: c_int = -8;

    #[expect(unsafe_code, reason = "a function of the C library")]
    // SAFETY: the signature of mallopt(3). It changes a number of the allocator under its lock,
    // whatever is said to it, and says 0 to what it does not know: it cannot be called wrongly.
    unsafe extern "C" {
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }

    pub(super) fn set_arenas() {
        let processors = thread::available_parallelism().map_or(ARENAS_LEAST, usize::from);
        let arenas = processors.clamp(ARENAS_LEAST, ARENAS_MOST);
        if c_int::try_from(arenas).is_ok_and(|arenas| mallopt(M_ARENA_MAX, arenas) == 0) {
            tracing::debug!(arenas, "the allocator does not take the number of its arenas");
        }
    }
}
