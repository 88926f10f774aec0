//! The in-memory transport as a harness: what the suite itself is tried with.

use std::{io, sync::Arc};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::conformance::{Harness, Link};
use super::fake_chat;
use crate::{
    client::{Connect, FrameIo},
    connection::{ConnectionLimits, serve_connection},
    memory::pair,
    peer::Peer,
    service::Rpc,
};

/// A service behind the in-memory transport; each connection is its owner's.
#[derive(Clone, Debug)]
pub struct InMemory {
    served: Arc<Served>,
    agent: Value,
}

#[derive(Debug)]
struct Served {
    rpc: Rpc,
    stop: watch::Sender<bool>,
}

impl InMemory {
    /// Serves `rpc`, whose agents are started as commands.
    #[must_use]
    pub fn new(rpc: Rpc) -> Self {
        let (stop, _) = watch::channel(false);
        let agent = json!({"agent_type": "process", "config": {"command": ["fake"]}});
        Self { served: Arc::new(Served { rpc, stop }), agent }
    }
}

#[async_trait]
impl Connect for Served {
    async fn connect(&self) -> io::Result<Box<dyn FrameIo>> {
        let (ours, theirs) = pair();
        let mut stop = self.stop.subscribe();
        let (peer, limits) = (Peer::owner("memory"), ConnectionLimits::default());
        let stopped = async move {
            // An error means that nobody can stop it any more.
            if stop.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let rpc = self.rpc.clone();
        tokio::spawn(async move {
            if let Err(error) = serve_connection(rpc, peer, theirs, limits, stopped).await {
                tracing::debug!(%error, "a connection in memory ended");
            }
        });
        Ok(Box::new(ours))
    }

    fn transport_name(&self) -> &'static str {
        "memory"
    }
}

#[async_trait]
impl Harness for InMemory {
    fn link(&self) -> Link {
        let connect: Arc<dyn Connect> = Arc::<Served>::clone(&self.served);
        Link::Duplex(connect)
    }

    fn agent(&self) -> Value {
        self.agent.clone()
    }

    fn chat(&self) -> Value {
        fake_chat()
    }

    async fn shut_down(&self) -> bool {
        self.served.stop.send_replace(true);
        true
    }
}
