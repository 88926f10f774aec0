//! How the daemon is reached: at a URL, or where its `endpoints.json` says.

use std::path::{Path, PathBuf};

use descartes_rpc::auth::Secret;
use descartes_rpc::client::Client;

use super::arguments::Hidden;
use super::failure::Failure;
use crate::config::{Config, ConfigError, Flags, Surroundings};
use crate::daemon::in_container;
use crate::directories::Directories;
use crate::endpoints::Endpoints;

/// What was given on the command line to be known by, and to know the daemon by.
#[derive(Clone, Default)]
pub(super) struct Shown {
    pub(super) token: Option<Hidden>,
    pub(super) file: Option<PathBuf>,
    /// The certificates to believe.
    pub(super) ca_file: Option<PathBuf>,
}

/// What a client shows, and whom it believes.
#[derive(Default)]
struct Means {
    token: Option<Secret>,
    /// A file of certificates, which only those read that need it.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "nothing else speaks TLS"))]
    ca_file: Option<PathBuf>,
}

/// How the daemon is reached.
pub(super) struct Reach {
    url: Option<String>,
    shown: Shown,
    pub(super) data_dir: Option<PathBuf>,
    surroundings: Surroundings,
}

impl Reach {
    pub(super) fn new(url: Option<String>, data_dir: Option<PathBuf>, shown: Shown) -> Self {
        Self { url, shown, data_dir, surroundings: Surroundings::of_this_process() }
    }

    /// The configuration of a daemon that is started from here.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        self.config_of(None)
    }

    /// The configuration of a daemon that reads `file`, where one is named.
    pub(super) fn config_of(&self, file: Option<&Path>) -> Result<Config, ConfigError> {
        self.config_with(&Flags { config: file.map(Path::to_owned), ..Flags::default() })
    }

    /// The configuration of a daemon that is started from here with `flags`.
    pub(super) fn config_with(&self, flags: &Flags) -> Result<Config, ConfigError> {
        Config::load(flags, &self.surroundings)
    }

    /// The same, of the daemon that keeps its data in `data_dir`.
    pub(super) fn at(&self, data_dir: Option<PathBuf>) -> Self {
        Self::new(None, data_dir, self.shown.clone())
    }

    /// Whether secrets stand in the file of `config`: those that no variable gave.
    pub(super) fn has_secrets_in_file(&self, config: &Config) -> bool {
        let given = |name| self.surroundings.var(name).is_some();
        let auth = &config.auth;
        auth.jwt_secret.is_some() && !given("DESCARTES_AUTH__JWT_SECRET")
            || auth.api_key.is_some() && !given("DESCARTES_AUTH__API_KEY")
            || config.backends.values().any(|backend| !backend.env.0.is_empty())
    }

    /// Whether a daemon that is started from here is in a container.
    pub(super) fn in_container(&self) -> bool {
        in_container(&self.surroundings)
    }

    /// The remote that is called so in the configuration.
    pub(super) fn remote(self, name: &str) -> Result<Self, Failure> {
        let config = self.config()?;
        let Some(remote) = config.remotes.get(name) else {
            return Err(Failure::Usage(unknown_remote(name, &config)));
        };
        let endpoint = remote.endpoint.as_ref().expect("a remote without one is refused");
        let (url, mut shown) = (Some(endpoint.0.clone()), self.shown);
        // What is said here counts more than what the configuration says.
        if shown.token.is_none() && shown.file.is_none() {
            shown.file.clone_from(&remote.token_file);
        }
        Ok(Self { url, shown, ..self })
    }

    /// Whether the daemon is on this machine for certain, so that paths mean the same to both.
    pub(super) fn is_local(&self) -> bool {
        self.url.as_ref().is_none_or(|url| url.starts_with("ipc://"))
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

    /// The key or token to show: of the command line, else of the environment.
    fn token(&self) -> Result<Option<Secret>, Failure> {
        if let Some(Hidden(token)) = &self.shown.token {
            return Ok(Some(token.clone()));
        }
        let Some(path) = &self.shown.file else {
            return Ok(self.surroundings.var("DESCARTES_TOKEN").map(Secret::new));
        };
        let what = || format!("read {}", path.display());
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| Failure::Local { what: what(), source })?;
        Ok(Some(Secret::new(text.trim())))
    }

    /// The token, and the certificates to believe: of the command line, else of the environment.
    fn means(&self) -> Result<Means, Failure> {
        let of_environment = || self.surroundings.var("DESCARTES_CA_FILE").map(PathBuf::from);
        let ca_file = self.shown.ca_file.clone().or_else(of_environment);
        Ok(Means { token: self.token()?, ca_file })
    }

    /// A client of the daemon that listens at `endpoints`: its socket, where this build can.
    pub(super) fn client_of(&self, endpoints: &Endpoints) -> Result<Client, Failure> {
        #[cfg(feature = "unix")]
        if let Some(path) = &endpoints.unix {
            return Ok(over_unix(path));
        }
        let over_http = [&endpoints.http, &endpoints.ws];
        let urls = over_http.into_iter().filter(|_| cfg!(feature = "http"));
        let urls = urls.chain([&endpoints.zmq].into_iter().filter(|_| cfg!(feature = "zmq")));
        match urls.flatten().next() {
            Some(url) => over_url(url, self.means()?),
            None => {
                let why = "this build has no transport in common with it".to_owned();
                Err(Failure::NoDaemon { why })
            }
        }
    }

    /// A client of the daemon. Nothing is sent yet.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        if let Some(url) = &self.url {
            return over_url(url, self.means()?);
        }
        match self.endpoints()? {
            Some(endpoints) => self.client_of(&endpoints),
            None => {
                let path = self.directories()?.endpoints();
                Err(Failure::NoDaemon { why: format!("there is no {}", path.display()) })
            }
        }
    }
}

/// A client of the remote at `endpoint` that shows it `token`.
pub(super) fn of_remote(endpoint: &str, token: Option<Secret>) -> Result<Client, Failure> {
    over_url(endpoint, Means { token, ca_file: None })
}

fn unknown_remote(name: &str, config: &Config) -> String {
    let known: Vec<&str> = config.remotes.keys().map(String::as_str).collect();
    match (&known[..], &config.file) {
        ([], Some(file)) => {
            format!(
                "no remote is called `{name}`: there is no [remotes.{name}] in {}",
                file.display()
            )
        }
        ([], None) => format!("no remote is called `{name}`: there is no configuration"),
        (known, _) => format!("no remote is called `{name}`; there are {}", known.join(", ")),
    }
}

fn over_url(url: &str, means: Means) -> Result<Client, Failure> {
    match url.split_once("://") {
        Some(("tcp" | "ipc", _)) => over_zmq(url, means.token),
        Some(("http" | "https" | "ws" | "wss", _)) => over_tcp(url, means),
        _ => Err(Failure::Usage(format!(
            "--url {url}: a daemon is at http://, https://, ws:// or wss://, or by ZeroMQ at \
             tcp:// or ipc://"
        ))),
    }
}

#[cfg(feature = "unix")]
fn over_unix(path: &std::path::Path) -> Client {
    Client::connect_with(descartes_transport_unix::UnixClient::new(path), patience())
}

#[cfg(feature = "http")]
fn over_tcp(url: &str, means: Means) -> Result<Client, Failure> {
    use descartes_transport_http::{AddressError, HttpClient, WsClient};

    let refused = |error: AddressError| Failure::Usage(format!("--url {url}: {error}"));
    let is_secure = url.starts_with("https:") || url.starts_with("wss:");
    let roots = is_secure.then(|| roots(url, means.ca_file)).transpose()?;
    if url.starts_with("ws") {
        let connect = WsClient::new(url).map_err(refused)?;
        let connect = means.token.into_iter().fold(connect, WsClient::with_token);
        let connect = roots.into_iter().fold(connect, WsClient::trusting);
        return Ok(Client::connect_with(connect, patience()));
    }
    let exchange = HttpClient::new(url).map_err(refused)?;
    let exchange = means.token.into_iter().fold(exchange, HttpClient::with_token);
    let exchange = roots.into_iter().fold(exchange, HttpClient::trusting);
    Ok(Client::exchange_with(exchange, patience()))
}

/// The certificates of `file`. There are none by default: those of the system are in a file, too.
#[cfg(feature = "http")]
fn roots(url: &str, file: Option<PathBuf>) -> Result<descartes_transport_http::Roots, Failure> {
    let Some(file) = file else {
        let told =
            "say with --ca-file (or DESCARTES_CA_FILE) whose certificates to believe, as PEM";
        return Err(Failure::Usage(format!("{url}: {told}")));
    };
    let what = || format!("read {}", file.display());
    let pem = std::fs::read(&file).map_err(|source| Failure::Local { what: what(), source })?;
    descartes_transport_http::Roots::from_pem(&pem).map_err(|error| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        Failure::Local { what: what(), source }
    })
}

#[cfg(not(feature = "http"))]
fn over_tcp(url: &str, _means: Means) -> Result<Client, Failure> {
    Err(Failure::Usage(format!("{url} needs the cargo feature `http`, which this build lacks")))
}

#[cfg(feature = "zmq")]
fn over_zmq(url: &str, token: Option<Secret>) -> Result<Client, Failure> {
    use descartes_transport_zmq::ZmqConnect;

    let connect = ZmqConnect::new(url);
    let connect = connect.map_err(|error| Failure::Usage(format!("--url {url}: {error}")))?;
    let connect = token.into_iter().fold(connect, ZmqConnect::with_token);
    Ok(Client::connect_with(connect, patience()))
}

#[cfg(not(feature = "zmq"))]
fn over_zmq(url: &str, _token: Option<Secret>) -> Result<Client, Failure> {
    Err(Failure::Usage(format!("{url} needs the cargo feature `zmq`, which this build lacks")))
}

/// Somebody is waiting at a terminal: a daemon that restarts is waited for, but not for minutes,
/// and one that says that it stops is believed.
#[cfg(any(feature = "http", feature = "unix", feature = "zmq"))]
fn patience() -> descartes_rpc::client::Reconnect {
    descartes_rpc::client::Reconnect { attempts: 8, restarts: false, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_another_kind_is_told_those_that_there_are() {
        for url in ["zmq://localhost:5555", "httpx://localhost", "localhost:8080", ""] {
            let told = over_url(url, Means::default());
            let Err(Failure::Usage(told)) = told else { panic!("{url}") };
            assert!(told.contains("https://") && told.contains("tcp://"), "{told}");
        }
    }

    #[test]
    #[cfg(feature = "http")]
    fn who_speaks_tls_has_to_say_whom_it_believes() {
        for url in ["https://localhost", "wss://localhost"] {
            let told = over_url(url, Means::default());
            let Err(Failure::Usage(told)) = told else { panic!("{url}") };
            assert!(told.contains("--ca-file"), "{told}");
        }
    }
}
