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

    /// All numbers; none while there is no host.
    pub(crate) fn text(&self) -> String {
        let mut text = Text::default();
        if let Some(source) = self.0.get() {
            families::write(source, &mut text);
        }
        text.finish()
    }
}
