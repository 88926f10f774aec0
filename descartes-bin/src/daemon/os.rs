//! What the operating system has no safe words for in this program: descriptors that are numbers,
//! and how much the allocator of the C library keeps.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::config::Surroundings;

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

/// Bounds what the allocator keeps of work that is over, unless the environment says so itself.
///
/// glibc gives each of many threads an arena of its own, up to eight for each processor, and an
/// arena is not given back: after an hour of bursts 11 of 50 MB were in use. To be called before a
/// thread is started; other allocators do not need it.
#[cfg_attr(
    not(all(target_os = "linux", target_env = "gnu")),
    expect(unused_variables, reason = "it is another allocator")
)]
pub(super) fn keep_little(surroundings: &Surroundings) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::set_arenas(surroundings);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;
    use std::thread;

    use crate::config::Surroundings;

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

    /// What the environment says has been read by glibc; it would be overruled.
    fn is_said(surroundings: &Surroundings) -> bool {
        let tunables = surroundings.var("GLIBC_TUNABLES").unwrap_or_default();
        surroundings.var("MALLOC_ARENA_MAX").is_some() || tunables.contains("malloc.arena_max")
    }

    pub(super) fn set_arenas(surroundings: &Surroundings) {
        if is_said(surroundings) {
            return;
        }
        let processors = thread::available_parallelism().map_or(ARENAS_LEAST, usize::from);
        let arenas = processors.clamp(ARENAS_LEAST, ARENAS_MOST);
        // One that does not know it keeps more, and nobody could be told yet.
        if let Ok(arenas) = c_int::try_from(arenas) {
            mallopt(M_ARENA_MAX, arenas);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_the_environment_says_of_arenas_stands() {
            let said = |env| is_said(&Surroundings::with(env));
            assert!(said(&[("MALLOC_ARENA_MAX", "4")]));
            assert!(said(&[("GLIBC_TUNABLES", "glibc.malloc.check=3:glibc.malloc.arena_max=1")]));
            assert!(!said(&[("GLIBC_TUNABLES", "glibc.malloc.check=3")]) && !said(&[]));
        }
    }
}
