//! The one line that a peer gets which is not served.

use std::io::{self, Write};

use descartes_rpc::{
    error::{ErrorKind, RpcError},
    message::{Id, Response},
    meter::{Meter, Rejection},
    same_user::Stranger,
};
use tokio::net::UnixStream;

use crate::accept::TRANSPORT;

/// Why a peer is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody vouches for the peer.
    Stranger(Stranger),
    /// Everything is full, the reserve included.
    Full,
}

impl Refusal {
    fn error(self) -> RpcError {
        match self {
            Self::Stranger(stranger) => stranger.error(),
            Self::Full => RpcError::new(ErrorKind::Unavailable, "too many connections")
                .reason("no_slot")
                .hint("close connections that are not used"),
        }
    }

    /// Counts it.
    pub(crate) fn count(self, meter: &Meter) {
        match self {
            Self::Stranger(_) => {
                meter.refused(TRANSPORT, Rejection::Unauthenticated, &self.error());
            }
            Self::Full => meter.rejected(Rejection::TooManyConnections),
        }
    }

    /// Says so and closes. The socket's buffer is empty, so this cannot block.
    pub(crate) fn tell(self, stream: UnixStream) {
        let mut line = Response::failed(Id::Null, self.error()).encode().to_vec();
        line.push(b'\n');
        let told: io::Result<()> = stream.into_std().and_then(|mut stream| {
            stream.write_all(&line)?;
            stream.shutdown(std::net::Shutdown::Write)
        });
        if let Err(error) = told {
            tracing::debug!(%error, "a refused connection has gone already");
        }
    }
}
