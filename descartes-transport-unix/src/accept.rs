//! Who is let in, and the life of one connection.

use std::{io, pin::pin, sync::Arc};

use descartes_rpc::{
    accept::accept,
    codec::LineCodec,
    connection::serve_connection,
    limits::{LOGIN_DEADLINE, SKIP_BYTES},
    peer::Peer,
    same_user::{KernelLookup, SameUser, Stranger},
    service::RpcService,
};
use futures_util::{FutureExt, future::FusedFuture};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{UnixConfig, UnixTransport, lines::Lines, refusal::Refusal};

/// The name of this transport in peers, logs and metrics.
pub(crate) const TRANSPORT: &str = "unix";

/// What all connections of a server share.
struct Shared<S> {
    rpc: S,
    config: UnixConfig,
    rule: SameUser,
    reserve: Arc<Semaphore>,
    /// Finish what was begun.
    drain: CancellationToken,
    /// Close now.
    cut: CancellationToken,
}

impl UnixTransport {
    /// Serves until `shutdown` completes; then answers what has come by that time, and cuts what is
    /// left after the drain limit. Returns when nobody is connected any more and the
    /// socket is removed. Dropping the future stops accepting, removes the socket and leaves
    /// connections to the runtime.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch the socket.
    pub async fn serve<S: RpcService>(
        self,
        rpc: S,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let Self { listener, claim, config } = self;
        let listener = UnixListener::from_std(listener)?;
        let shared = Arc::new(Shared {
            rpc,
            rule: SameUser::new(TRANSPORT, config.own_uid, false, Arc::new(KernelLookup)),
            reserve: Arc::new(Semaphore::new(config.reserved_connections)),
            config,
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
        });
        let tasks = TaskTracker::new();
        let mut shutdown = pin!(shutdown.fuse());
        let closed = async {
            tokio::select! {
                () = shared.config.closing.cancelled() => {}
                () = &mut shutdown => {}
            }
        };
        let take = |(stream, _)| match shared.admit(&stream) {
            Ok((peer, permit)) => {
                tasks.spawn(connection(Arc::clone(&shared), stream, peer, permit));
            }
            Err(refusal) => {
                refusal.count(&shared.config.meter);
                refusal.tell(stream);
            }
        };
        accept(|cx| listener.poll_accept(cx), closed, take).await;
        drop(listener);
        drop(claim);
        if !shutdown.is_terminated() {
            shutdown.await;
        }
        shared.drain.cancel();
        tasks.close();
        let mut left = pin!(tasks.wait());
        if timeout(shared.config.drain, &mut left).await.is_err() {
            tracing::warn!(connections = tasks.len(), "cutting connections that do not end");
            shared.cut.cancel();
            left.await;
        }
        Ok(())
    }
}

impl<S> Shared<S> {
    fn admit(&self, stream: &UnixStream) -> Result<(Peer, OwnedSemaphorePermit), Refusal> {
        let found = self.config.credentials.of(stream).map_err(|error| {
            tracing::debug!(%error, "the user of a connection could not be told");
            Refusal::Stranger(Stranger::Unknown)
        })?;
        let peer = match self.rule.judge_local(found.uid, found.pid) {
            Ok(peer) => peer,
            Err(_) if self.config.logins => {
                let stranger = Peer::new(TRANSPORT).with_uid(found.uid);
                found.pid.into_iter().fold(stranger, Peer::with_pid)
            }
            Err(stranger) => return Err(Refusal::Stranger(stranger)),
        };
        let take = |from: &Arc<Semaphore>| Arc::clone(from).try_acquire_owned().ok();
        let kept = || peer.principal().is_some().then(|| take(&self.reserve)).flatten();
        let permit = take(&self.config.connections).or_else(kept).ok_or(Refusal::Full)?;
        Ok((peer.counted_by(self.config.meter.clone()), permit))
    }
}

async fn connection<S: RpcService>(
    shared: Arc<Shared<S>>,
    stream: UnixStream,
    peer: Peer,
    permit: OwnedSemaphorePermit,
) {
    let _connected = shared.config.meter.connected(TRANSPORT);
    let mut limits = shared.config.limits;
    if peer.principal().is_none() {
        limits.login = Some(LOGIN_DEADLINE);
    }
    let connection_id = peer.connection_id();
    let served = serve_connection(
        shared.rpc.clone(),
        peer,
        Lines::new(stream, LineCodec::new(limits.request_bytes, SKIP_BYTES)),
        limits,
        shared.drain.cancelled(),
    );
    tokio::select! {
        ended = served => {
            if let Err(error) = ended {
                tracing::debug!(connection_id, %error, "connection ended");
            }
        }
        () = shared.cut.cancelled() => {}
    }
    drop(permit);
}
