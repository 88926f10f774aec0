//! How the daemon is reached: at a URL, or where its `endpoints.json` says.

use std::path::PathBuf;

use descartes_rpc::client::Client;

use super::failure::Failure;
use crate::config::Surroundings;
use crate::directories::Directories;
use crate::endpoints::Endpoints;

/// How the daemon is reached.
pub(super) struct Reach {
    url: Option<String>,
    pub(super) data_dir: Option<PathBuf>,
    surroundings: Surroundings,
}

impl Reach {
    pub(super) fn new(url: Option<String>, data_dir: Option<PathBuf>) -> Self {
        Self { url, data_dir, surroundings: Surroundings::of_this_process() }
    }

    /// Whether the daemon is on this machine for certain, so that paths mean the same to both.
    pub(super) fn is_local(&self) -> bool {
        self.url.is_none()
    }

    /// Where the daemon of this user keeps things.
    pub(super) fn directories(&self) -> Result<Directories, Failure> {
        Ok(Directories::find(self.data_dir.as_deref(), &self.surroundings)?)
    }

    /// What the daemon says about where it listens; `None` when it says nothing.
    pub(super) fn endpoints(&self) -> Result<Option<Endpoints>, Failure> {
        let path = self.directories()?.endpoints();
        let what = || format!("read {}", path.display());
        Endpoints::read(&path).map_err(|source| Failure::Local { what: what(), source })
    }

    /// A client of the daemon. Nothing is sent yet.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        if let Some(url) = &self.url {
            return over_tcp(url);
        }
        match self.endpoints()? {
            Some(endpoints) => client_of(&endpoints),
            None => {
                let path = self.directories()?.endpoints();
                Err(Failure::NoDaemon { why: format!("there is no {}", path.display()) })
            }
        }
    }
}

/// A client of the daemon that listens at `endpoints`: its socket, where this build can.
pub(super) fn client_of(endpoints: &Endpoints) -> Result<Client, Failure> {
    #[cfg(feature = "unix")]
    if let Some(path) = &endpoints.unix {
        return Ok(over_unix(path));
    }
    match endpoints.http.as_ref().or(endpoints.ws.as_ref()) {
        Some(url) => over_tcp(url),
        None => {
            let why = "this build has no transport in common with it".to_owned();
            Err(Failure::NoDaemon { why })
        }
    }
}

#[cfg(feature = "unix")]
fn over_unix(path: &std::path::Path) -> Client {
    Client::connect_with(descartes_transport_unix::UnixClient::new(path), patience())
}

#[cfg(feature = "http")]
fn over_tcp(url: &str) -> Result<Client, Failure> {
    use descartes_transport_http::{AddressError, HttpClient, WsClient};

    let refused = |error: AddressError| Failure::Usage(format!("--url {url}: {error}"));
    if url.starts_with("ws:") {
        let connect = WsClient::new(url).map_err(refused)?;
        return Ok(Client::connect_with(connect, patience()));
    }
    let exchange = HttpClient::new(url).map_err(refused)?;
    Ok(Client::exchange_with(exchange, patience()))
}

#[cfg(not(feature = "http"))]
fn over_tcp(url: &str) -> Result<Client, Failure> {
    Err(Failure::Usage(format!("{url} needs the cargo feature `http`, which this build lacks")))
}

/// Somebody is waiting at a terminal: a daemon that restarts is waited for, but not for minutes,
/// and one that says that it stops is believed.
fn patience() -> descartes_rpc::client::Reconnect {
    descartes_rpc::client::Reconnect { attempts: 8, restarts: false, ..Default::default() }
}
