//! What Linux lets us do with pipes.

use rustix::fd::AsFd;

/// What a pipe holds unless told otherwise.
const PIPE_BYTES: usize = 64 * 1024;
/// What a pipe may hold while its writer is faster than we are: the writer is woken less often.
const BUSY_PIPE_BYTES: usize = 256 * 1024;

/// Makes the pipe bigger or gives the memory back. Refused over the user's allowance, which is
/// no error: it only is slower then.
pub(in crate::process) fn resize(pipe: impl AsFd, busy: bool) -> bool {
    let bytes = if busy { BUSY_PIPE_BYTES } else { PIPE_BYTES };
    rustix::pipe::fcntl_setpipe_size(pipe, bytes).is_ok()
}

/// Bytes that wait in the pipe.
pub(in crate::process) fn waiting(pipe: impl AsFd) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
}
