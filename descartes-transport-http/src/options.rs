//! How the routes behave, wherever they are mounted.

use std::{fmt, pin::Pin, sync::Arc};

use descartes_rpc::{
    Swap,
    auth::{Authenticator, Principal},
    error::RpcError,
    meter::Meter,
    peer::Peer,
};
use tokio_util::sync::CancellationToken;

use crate::{caller::TRANSPORT, limits::HttpLimits};

/// Which routes there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routes {
    /// All of them, `GET /ws` included.
    #[default]
    All,
    /// WebSocket alone, at `/` and `/ws`.
    WebSocket,
}

/// Names and pages that are answered to beside a server's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Names that are answered to beside loopback: `name` for any port, or `name:port`.
    pub hosts: Vec<String>,
    /// Pages that may call and read answers, as `scheme://host[:port]` just as browsers write it:
    /// no path, no default port, no pattern.
    pub origins: Vec<String>,
}

type Page = Pin<Box<dyn Future<Output = Result<String, RpcError>> + Send>>;

/// What `GET /metrics` answers, in the text format of Prometheus, and to whom.
#[derive(Clone)]
pub struct Numbers(Arc<dyn Fn(Peer) -> Page + Send + Sync>);

impl Numbers {
    /// The page that `page` makes for a caller, or why it is not for that one.
    pub fn new<F>(page: impl Fn(Peer) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, RpcError>> + Send + 'static,
    {
        Self(Arc::new(move |peer| Box::pin(page(peer))))
    }

    pub(crate) async fn page(&self, peer: Peer) -> Result<String, RpcError> {
        (self.0)(peer).await
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers")
    }
}

/// Settings of [`crate::service`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpOptions {
    /// The name on the front page.
    pub name: String,
    /// Names and pages that are answered to. Each request looks here, so they may be replaced while
    /// the server serves; clones of these options share them.
    pub allowed: Swap<Allowed>,
    /// What is served.
    pub routes: Routes,
    /// Who a caller is that the application names no principal for; `None` refuses it.
    pub caller: Option<Peer>,
    /// Tells who has the key or token of a request; `None` knows no credentials. Where it says
    /// that they are required, being the same user is not enough.
    pub auth: Option<Authenticator>,
    /// What is told at `GET /metrics`; with `None` nothing is served there.
    pub numbers: Option<Numbers>,
    /// Cancelled, it ends every event stream with `ended`, and WebSockets with 1001; without that
    /// streams keep a server from shutting down.
    pub shutdown: CancellationToken,
    /// Bounds of bodies and streams. Those of connections matter to [`crate::HttpTransport`] only.
    pub limits: HttpLimits,
    /// Where it is counted who comes and who is refused.
    pub meter: Meter,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            name: "descartes-daemon".to_owned(),
            allowed: Swap::default(),
            routes: Routes::All,
            caller: None,
            auth: None,
            numbers: None,
            shutdown: CancellationToken::new(),
            limits: HttpLimits::default(),
            meter: Meter::default(),
        }
    }
}

impl HttpOptions {
    /// Takes every caller for the owner: for applications that let nobody else reach the service.
    ///
    /// `Host` and `Origin` are still checked, so that no web page is taken for the owner, and a
    /// request that came through a proxy is refused.
    #[must_use]
    pub fn everyone_is_owner(mut self) -> Self {
        self.caller = Some(Peer::new(TRANSPORT).with_principal(Principal::owner()));
        self
    }

    /// Lets those in who have credentials that `auth` knows.
    #[must_use]
    pub fn authenticated_by(mut self, auth: Authenticator) -> Self {
        self.auth = Some(auth);
        self
    }

    pub(crate) fn needs_credentials(&self) -> bool {
        self.auth.as_ref().is_some_and(Authenticator::is_required)
    }

    /// Answers to `name` beside loopback.
    #[must_use]
    pub fn allow_host(self, name: impl Into<String>) -> Self {
        self.allow(|allowed| allowed.hosts.push(name.into()))
    }

    /// Lets pages of `origin` call.
    #[must_use]
    pub fn allow_origin(self, origin: impl Into<String>) -> Self {
        self.allow(|allowed| allowed.origins.push(origin.into()))
    }

    /// Changes what is answered to, of these options alone.
    fn allow(mut self, change: impl FnOnce(&mut Allowed)) -> Self {
        let mut allowed = Allowed::clone(&self.allowed.load());
        change(&mut allowed);
        self.allowed = Swap::new(allowed);
        self
    }

    /// Ends event streams when `token` is cancelled.
    #[must_use]
    pub fn shutdown(mut self, token: CancellationToken) -> Self {
        self.shutdown = token;
        self
    }
}
