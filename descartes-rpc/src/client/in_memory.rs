//! A service of the same process as something to connect to.

use std::future::pending;
use std::io;

use async_trait::async_trait;

use super::{Connect, FrameIo};
use crate::auth::Principal;
use crate::connection::{ConnectionLimits, serve_connection};
use crate::memory;
use crate::peer::Peer;
use crate::service::Rpc;

/// The name of this transport.
const TRANSPORT: &str = "memory";

/// Serves each connection in a task of its own, for one principal.
pub(super) struct InMemory {
    rpc: Rpc,
    principal: Principal,
}

impl InMemory {
    pub(super) fn new(rpc: Rpc, principal: Principal) -> Self {
        Self { rpc, principal }
    }
}

#[async_trait]
impl Connect for InMemory {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let (ours, theirs) = memory::pair();
        let peer = Peer::new(TRANSPORT).with_principal(self.principal.clone());
        let rpc = self.rpc.clone();
        tokio::spawn(async move {
            let limits = ConnectionLimits::default();
            if let Err(error) = serve_connection(rpc, peer, theirs, limits, pending()).await {
                tracing::debug!(%error, "a connection in memory ended");
            }
        });
        Ok(Box::new(ours))
    }

    fn transport_name(&self) -> &'static str {
        TRANSPORT
    }

    fn may_fall_silent(&self) -> bool {
        false
    }
}
