//! What the daemon counts, as Prometheus reads it (text format 0.0.4).
//!
//! The registry is our own: what is counted belongs to one service and one host (several live in one
//! process), the names and labels are a closed table, and the libraries for it bring a global
//! recorder or a server of theirs.

mod families;
mod process;
mod text;

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use descartes_core::Descartes;
use descartes_rpc::service::Rpc;
#[cfg(feature = "http")]
use descartes_rpc::{
    auth::Scope,
    error::{ErrorKind, RpcError},
};
#[cfg(feature = "http")]
use descartes_transport_http::Numbers;

use crate::daemon::Queues;
pub(crate) use text::Text;

/// Where the numbers of a host are read, once there is one.
#[derive(Clone, Default)]
pub(crate) struct Scrape(Arc<OnceLock<Source>>);

/// What numbers are read of.
pub(crate) struct Source {
    pub(crate) descartes: Descartes,
    pub(crate) rpc: Rpc,
    /// What waits for each remote.
    pub(crate) queues: Queues,
    /// When the daemon began.
    pub(crate) began: SystemTime,
}

impl Scrape {
    /// From now on the numbers are those of `source`.
    pub(crate) fn of(&self, source: Source) {
        if self.0.set(source).is_err() {
            tracing::debug!("the numbers are those of the first host");
        }
    }

    /// The page, made where nothing else waits for it.
    pub(crate) async fn made(&self) -> String {
        let scrape = self.clone();
        let made = tokio::task::spawn_blocking(move || scrape.text()).await;
        made.unwrap_or_else(|error| {
            tracing::error!(%error, "the numbers could not be read");
            String::new()
        })
    }

    /// The same as a route of HTTP, for whoever may have it.
    #[cfg(feature = "http")]
    pub(crate) fn route(&self) -> Numbers {
        let scrape = self.clone();
        Numbers::new(move |peer| {
            let scrape = scrape.clone();
            async move {
                let source = scrape.0.get().ok_or_else(|| {
                    RpcError::new(ErrorKind::Unavailable, "there are no numbers yet")
                })?;
                source.rpc.permits(&peer, Scope::Metrics).await?;
                Ok(scrape.made().await)
            }
        })
    }

    /// All numbers; none while there is no host.
    pub(crate) fn text(&self) -> String {
        let mut text = Text::default();
        if let Some(source) = self.0.get() {
            families::write(source, &mut text);
        }
        text.finish()
    }
}
