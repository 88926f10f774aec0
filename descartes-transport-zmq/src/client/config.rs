//! The settings of a client.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{AddressError, ZmqConnect, limits};

/// The settings of a [`ZmqClient`](super::ZmqClient), under the names of configuration files.
///
/// ```
/// use descartes_transport_zmq::ZmqRunnerConfig;
///
/// let config = ZmqRunnerConfig {
///     endpoint: "tcp://build-7:5555".into(),
///     request_timeout_secs: 60,
///     ..ZmqRunnerConfig::default()
/// };
/// assert_eq!(config.max_queue_size, 1000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZmqRunnerConfig {
    /// Where the daemon listens: `tcp://host:port` or `ipc:///path`.
    pub endpoint: String,
    /// How long a command may take, from when it is sent; a batch has twice as long.
    pub request_timeout_secs: u64,
    /// How long one attempt to connect may take, handshake included. More than 10 is as good as 10.
    pub connection_timeout_secs: u64,
    /// Whether a connection that was lost is made again. If not, its loss fails everything that
    /// waits, and the next command connects anew.
    pub auto_reconnect: bool,
    /// How many attempts follow each other quickly; those after them are half a minute apart.
    pub max_reconnect_attempts: u32,
    /// The pause between quick attempts; each is between half of it and all of it, at random.
    pub reconnect_delay_secs: u64,
    /// Whether a daemon that has said nothing for a while is asked for its health, so that a lost
    /// connection is noticed and made again before it is needed.
    pub enable_heartbeat: bool,
    /// After how much silence it is asked. Without an answer in 10 s the connection is lost.
    pub heartbeat_interval_secs: u64,
    /// How many commands may wait; one more is refused at once.
    pub max_queue_size: usize,
    /// How long a command may wait in all until it is sent, at most half a day: the daemon
    /// remembers for a day which commands it has executed.
    pub queue_timeout_secs: u64,
    /// A file in which commands that change something are kept until they are answered, so that
    /// they survive a restart of the client. It holds what they carry, the values of `env` in
    /// spawns too, and is made for its owner alone (0600).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_path: Option<PathBuf>,
}

impl Default for ZmqRunnerConfig {
    fn default() -> Self {
        Self {
            endpoint: "tcp://localhost:5555".to_owned(),
            request_timeout_secs: 30,
            connection_timeout_secs: 10,
            auto_reconnect: true,
            max_reconnect_attempts: 5,
            reconnect_delay_secs: 5,
            enable_heartbeat: true,
            heartbeat_interval_secs: 30,
            max_queue_size: 1000,
            queue_timeout_secs: 300,
            queue_path: None,
        }
    }
}

/// Why a client cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZmqConfigError {
    /// Its endpoint is not an address.
    #[error(transparent)]
    Endpoint(#[from] AddressError),
    /// A setting is out of its range.
    #[error("{setting} is not {range}")]
    Range {
        /// Which setting.
        setting: &'static str,
        /// What it can be.
        range: &'static str,
    },
    /// The file of the queue cannot be used: it cannot be read or written, others may read it, it
    /// is no such file, or another client uses it.
    #[error("the queue's file {} cannot be used: {source}", path.display())]
    QueueFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ZmqRunnerConfig {
    /// Whether every setting is in its range.
    ///
    /// # Errors
    /// The first that is not. The file of the queue is not looked at.
    pub fn check(&self) -> Result<(), ZmqConfigError> {
        self.connector()?;
        let positive = [
            ("request_timeout_secs", self.request_timeout_secs),
            ("connection_timeout_secs", self.connection_timeout_secs),
            ("reconnect_delay_secs", self.reconnect_delay_secs),
            ("heartbeat_interval_secs", self.heartbeat_interval_secs),
            ("queue_timeout_secs", self.queue_timeout_secs),
        ];
        for (setting, secs) in positive {
            if secs == 0 || secs > limits::QUEUE_TIMEOUT_MOST.as_secs() {
                return Err(ZmqConfigError::Range { setting, range: "1 to 43200" });
            }
        }
        if !(1..=limits::QUEUE_SIZE_MOST).contains(&self.max_queue_size) {
            let setting = "max_queue_size";
            return Err(ZmqConfigError::Range { setting, range: "1 to 100000" });
        }
        Ok(())
    }

    /// What makes connections as this configuration says.
    ///
    /// # Errors
    /// When the endpoint is not an address.
    pub fn connector(&self) -> Result<ZmqConnect, AddressError> {
        let timeout = Duration::from_secs(self.connection_timeout_secs);
        Ok(ZmqConnect::new(&self.endpoint)?.connect_timeout(timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_published_ones() {
        let json = serde_json::to_value(ZmqRunnerConfig::default()).unwrap();
        let published = serde_json::json!({
            "endpoint": "tcp://localhost:5555", "request_timeout_secs": 30,
            "connection_timeout_secs": 10, "auto_reconnect": true, "max_reconnect_attempts": 5,
            "reconnect_delay_secs": 5, "enable_heartbeat": true, "heartbeat_interval_secs": 30,
            "max_queue_size": 1000, "queue_timeout_secs": 300,
        });
        assert_eq!(json, published);
        ZmqRunnerConfig::default().check().unwrap();
        let read: ZmqRunnerConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(read, ZmqRunnerConfig::default());
        assert!(serde_json::from_str::<ZmqRunnerConfig>(r#"{"endpont": ""}"#).is_err());
    }

    #[test]
    fn a_setting_out_of_its_range_is_named() {
        type Break = fn(&mut ZmqRunnerConfig);
        let broken: [(&str, Break); 7] = [
            ("endpoint", |config| config.endpoint = "localhost:5555".to_owned()),
            ("request_timeout_secs", |config| config.request_timeout_secs = 0),
            ("connection_timeout_secs", |config| config.connection_timeout_secs = 0),
            ("reconnect_delay_secs", |config| config.reconnect_delay_secs = 0),
            ("heartbeat_interval_secs", |config| config.heartbeat_interval_secs = 0),
            ("queue_timeout_secs", |config| config.queue_timeout_secs = 43_201),
            ("max_queue_size", |config| config.max_queue_size = 0),
        ];
        for (name, broken) in broken {
            let mut config = ZmqRunnerConfig::default();
            broken(&mut config);
            match config.check().unwrap_err() {
                ZmqConfigError::Range { setting, .. } => assert_eq!(setting, name),
                ZmqConfigError::Endpoint(_) => assert_eq!(name, "endpoint"),
                other => panic!("{name}: {other}"),
            }
        }
    }
}
