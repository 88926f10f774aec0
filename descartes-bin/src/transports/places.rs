//! Where ZeroMQ listens: a port, and a socket in the runtime directory.

use std::iter;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use descartes_transport_zmq::BindError;

use super::taken::UsualPort;
use super::{Door, Ground};
use crate::daemon::{Failure, chain};

/// Where one transport listens.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// By TCP; `None` when its port is off.
    pub(super) tcp: Option<SocketAddr>,
    /// A socket that was given in place of that.
    pub(super) given: Option<Arc<TcpListener>>,
    /// In the runtime directory.
    pub(super) ipc: Option<PathBuf>,
}

impl Places {
    /// All of them: a socket that was given stands in place of the port, and of several each but the
    /// first is served by itself.
    pub(super) fn of(
        tcp: Option<SocketAddr>,
        given: Vec<Arc<TcpListener>>,
        ipc: PathBuf,
    ) -> impl Iterator<Item = Self> {
        let mut given = given.into_iter();
        let first = given.next();
        let tcp = tcp.filter(|_| first.is_none());
        let others = given.map(|other| Self { tcp: None, given: Some(other), ipc: None });
        iter::once(Self { tcp, given: first, ipc: Some(ipc) }).chain(others)
    }

    /// Binds at those of these places that are free, and tells those that are not; nothing is bound
    /// when none is.
    pub(super) async fn bind<T, F>(
        mut self,
        ground: &Ground<'_>,
        port: &UsualPort,
        bind: impl Fn(Self) -> F,
    ) -> Result<(Vec<Door>, Option<T>), Failure>
    where
        F: Future<Output = Result<T, BindError>>,
    {
        let mut taken = Vec::new();
        while self.tcp.is_some() || self.ipc.is_some() || self.given.is_some() {
            match bind(self.clone()).await {
                Ok(bound) => return Ok((taken, Some(bound))),
                Err(BindError::InUse { endpoint }) if is_tcp(&endpoint) => {
                    taken.push(port.taken(ground, &endpoint)?);
                    self.tcp = None;
                }
                Err(BindError::Refused { endpoint, source }) if is_tcp(&endpoint) => {
                    return Err(Failure::internal("open a port of ZeroMQ")(source));
                }
                // Another daemon of the same runtime directory has it, or its path is too long:
                // nobody has asked for this one.
                Err(error) if self.ipc.take().is_some() => {
                    taken.push(Door::Taken { name: port.name, why: chain(&error) });
                }
                Err(error) => return Err(Failure::internal("open a port of ZeroMQ")(error)),
            }
        }
        Ok((taken, None))
    }
}

fn is_tcp(endpoint: &str) -> bool {
    endpoint.starts_with("tcp:")
}

/// The URLs of what is bound; clients are told the first.
pub(super) fn urls(tcp: Option<SocketAddr>, ipc: Option<&Path>) -> Vec<String> {
    let tcp = tcp.map(|address| format!("tcp://{address}"));
    let ipc = ipc.map(|path| format!("ipc://{}", path.display()));
    tcp.into_iter().chain(ipc).collect()
}
