//! What an application tells the service about itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use descartes_core::Swap;
use futures_util::future::BoxFuture;

use crate::auth::Authenticator;
use crate::wire::system::{Reloaded, SystemUse, TransportInfo};

/// What was asked of `system.shutdown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownRequest {
    /// How long calls and agents may take to end; the application's own bound when absent.
    pub timeout: Option<Duration>,
}

/// Begins to stop the application and returns at once.
pub type ShutdownHook = Arc<dyn Fn(ShutdownRequest) + Send + Sync>;

/// Reads the configuration of the application anew, for whom it is given, and says what came of it.
pub type ReloadHook = Arc<dyn Fn(Arc<str>) -> BoxFuture<'static, Reloaded> + Send + Sync>;

/// Measures the application's use of the machine.
pub type UsageProbe = Arc<dyn Fn() -> SystemUse + Send + Sync>;

/// What an application tells the service about itself, for `system.info` and `system.metrics`.
///
/// The default says nothing but the version of this library.
#[derive(Clone)]
#[non_exhaustive]
pub struct About {
    /// The application's version.
    pub version: Arc<str>,
    /// The configuration file in use.
    pub config_file: Option<String>,
    /// Where data is.
    pub data_dir: Option<String>,
    /// The kind of the store, as `sqlite`.
    pub store: Arc<str>,
    /// Optional parts that were built in.
    pub features: Vec<String>,
    /// Bounds by configuration key, beside those of this library.
    /// They may be changed while it runs.
    pub limits: Swap<BTreeMap<String, u64>>,
    /// How long what is kept, by configuration key.
    pub retention: BTreeMap<String, u64>,
    /// What it listens on.
    pub transports: Transports,
    /// Tells who has which credentials; the transports are given the same one.
    pub auth: Authenticator,
    /// Measures its use of the machine.
    pub usage: Option<UsageProbe>,
    /// Stops it; without one `system.shutdown` is not accepted.
    pub shutdown: Option<ShutdownHook>,
    /// Reads its configuration anew; without one `system.reload` changes nothing.
    pub reload: Option<ReloadHook>,
}

impl Default for About {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            config_file: None,
            data_dir: None,
            store: "memory".into(),
            features: Vec::new(),
            limits: Swap::default(),
            retention: BTreeMap::new(),
            transports: Transports::default(),
            auth: Authenticator::default(),
            usage: None,
            shutdown: None,
            reload: None,
        }
    }
}

impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("About")
            .field("version", &self.version)
            .field("transports", &self.transports)
            .finish_non_exhaustive()
    }
}

/// The name of the transport that publishes every event.
pub const PUBLISHER: &str = "pub";

/// What an application listens on; clones share the list, which may grow while it runs.
#[derive(Clone, Debug, Default)]
pub struct Transports(Arc<RwLock<Vec<TransportInfo>>>);

impl Transports {
    /// Adds one.
    pub fn add(&self, transport: TransportInfo) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(transport);
    }

    /// Where every event is published: the first address of the transport [`PUBLISHER`].
    #[must_use]
    pub fn publisher(&self) -> Option<String> {
        let all = self.list();
        all.into_iter().filter(|listed| listed.name == PUBLISHER).find_map(|listed| listed.address)
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> Vec<TransportInfo> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
