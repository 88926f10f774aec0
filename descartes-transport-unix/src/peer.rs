//! Whose process is at the other end.

use std::{fmt, io};

use tokio::net::UnixStream;

/// What the kernel says of a peer, as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub uid: u32,
    /// The process, which may have ended since.
    pub pid: Option<u32>,
}

/// Tells who is at the other end of a connection. Called once for each; must not block.
pub trait CredentialsLookup: Send + Sync + fmt::Debug + 'static {
    /// The peer's credentials.
    ///
    /// # Errors
    ///
    /// The kernel would not tell; the peer is refused.
    fn of(&self, stream: &UnixStream) -> io::Result<Credentials>;
}

/// Asks the kernel (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelCredentials;

impl CredentialsLookup for KernelCredentials {
    fn of(&self, stream: &UnixStream) -> io::Result<Credentials> {
        let found = stream.peer_cred()?;
        let pid = found.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        Ok(Credentials { uid: found.uid(), pid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_knows_this_very_process() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let found = KernelCredentials.of(&ours).unwrap();
        assert_eq!(found.uid, rustix::process::geteuid().as_raw());
        assert_eq!(found.pid, Some(std::process::id()));
    }
}
