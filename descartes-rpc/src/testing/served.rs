//! A server of this process as a harness.

use std::{fmt, future::Future, time::Duration};

use async_trait::async_trait;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::{
    conformance::{Harness, Link},
    fake_agent, fake_chat,
};

/// Longer than any server needs to end whose connections have ended.
const PATIENCE: Duration = Duration::from_secs(30);

/// Completes when a server under test is to stop; clones complete together.
pub type Stopped = Shared<BoxFuture<'static, ()>>;

/// A server that runs in the same process, and the way that its clients reach it. Behind it is a
/// [`fake_service`](super::fake_service), or another one whose agents are those of
/// [`fake_agent`].
///
/// Dropping it stops the server at once.
pub struct Served {
    link: Link,
    keeps_spelling: bool,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Served {
    /// Runs `serve` until it returns, which it does some time after the future that it is given
    /// has completed. Must be called inside a tokio runtime.
    pub fn start<F>(link: Link, serve: impl FnOnce(Stopped) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, mut stopping) = watch::channel(false);
        let stopped: BoxFuture<'static, ()> = Box::pin(async move {
            // An error means that the harness is gone, and nobody looks any more.
            drop(stopping.wait_for(|stop| *stop).await);
        });
        Self { link, keeps_spelling: true, stop, task: tokio::spawn(serve(stopped.shared())) }
    }

    /// Says that JSON is translated on the way ([`Harness::keeps_spelling`]).
    #[must_use]
    pub const fn translated(mut self) -> Self {
        self.keeps_spelling = false;
        self
    }

    /// Stops the server and waits until it has ended.
    ///
    /// # Panics
    ///
    /// When it panicked, or has not ended after half a minute.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = timeout(PATIENCE, &mut self.task).await;
        let ended = ended.expect("a server ends soon after it was told to");
        ended.expect("a server does not panic");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("link", &self.link).finish_non_exhaustive()
    }
}

#[async_trait]
impl Harness for Served {
    fn link(&self) -> Link {
        self.link.clone()
    }

    fn agent(&self) -> Value {
        fake_agent()
    }

    fn chat(&self) -> Value {
        fake_chat()
    }

    fn keeps_spelling(&self) -> bool {
        self.keeps_spelling
    }

    async fn shut_down(&self) -> bool {
        self.stop.send_replace(true);
        true
    }
}
