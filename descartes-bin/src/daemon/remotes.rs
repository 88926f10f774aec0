//! Other daemons, whose agents are used like our own: one client and one runner for each.

use std::sync::Arc;

use descartes_core::Builder;

#[cfg(feature = "zmq")]
use descartes_transport_zmq::ZmqConnect;

use super::failure::Failure;
use crate::config::Config;
#[cfg(feature = "zmq")]
use crate::config::Remote;

/// How many commands wait in the queue of each remote, by its name.
pub(crate) type Queues = Vec<(String, Arc<dyn Fn() -> usize + Send + Sync>)>;

/// Adds the remotes of the configuration. Only what an earlier daemon left in a queue is sent now;
/// else nothing is asked of them yet.
#[cfg(feature = "zmq")]
pub(super) async fn added(
    mut builder: Builder,
    config: &Config,
) -> Result<(Builder, Queues), Failure> {
    use std::time::Duration;

    use descartes_transport_zmq::ZmqClient;

    let mut queues = Queues::new();
    config.check_tokens()?;
    for (name, remote) in &config.remotes {
        let settings = settings(remote, config);
        let connect = settings.connector().map_err(|error| refused(name, error.into()))?;
        let connect = showing(connect, name, remote);
        let client = ZmqClient::start_over(connect, settings).await;
        let client = client.map_err(|error| refused(name, error))?;
        queues.push((name.clone(), Arc::new(client.queued_command_counter())));
        let runner = client
            .agent_runner_builder(name.as_str())
            .lost_after(Duration::from_secs(remote.lost_after_secs))
            .build();
        builder = builder.runner_named(name.as_str(), Arc::new(runner));
    }
    Ok((builder, queues))
}

/// Shows the token that is in the file when a connection is made.
#[cfg(feature = "zmq")]
fn showing(connect: ZmqConnect, name: &str, remote: &Remote) -> ZmqConnect {
    use std::io;

    if remote.token_file.is_none() {
        return connect;
    }
    let (name, remote) = (name.to_owned(), remote.clone());
    connect.with_token_from(move || {
        let token = remote.token(&name);
        let token =
            token.map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?;
        token.ok_or_else(|| io::ErrorKind::NotFound.into())
    })
}

#[cfg(feature = "zmq")]
fn settings(remote: &Remote, config: &Config) -> descartes_transport_zmq::ZmqRunnerConfig {
    use descartes_transport_zmq::ZmqRunnerConfig;

    let endpoint = remote.endpoint.as_ref().expect("a remote without one is refused");
    // Whoever calls us is told why it failed before it gives up itself.
    let ours = (config.server.request_timeout_secs * 2 / 3).max(1);
    ZmqRunnerConfig {
        endpoint: endpoint.0.clone(),
        request_timeout_secs: remote.request_timeout_secs.0.min(ours),
        connection_timeout_secs: remote.connection_timeout_secs.0,
        auto_reconnect: remote.auto_reconnect,
        max_reconnect_attempts: remote.max_reconnect_attempts,
        reconnect_delay_secs: remote.reconnect_delay_secs.0,
        enable_heartbeat: remote.enable_heartbeat,
        heartbeat_interval_secs: remote.heartbeat_interval_secs.0,
        max_queue_size: usize::try_from(remote.max_queue_size.0).unwrap_or(usize::MAX),
        queue_timeout_secs: remote.queue_timeout_secs.0,
        queue_path: remote.queue_path.clone(),
    }
}

#[cfg(feature = "zmq")]
fn refused(name: &str, error: descartes_transport_zmq::client::ZmqConfigError) -> Failure {
    use descartes_transport_zmq::client::ZmqConfigError;

    match error {
        ZmqConfigError::QueueFile { path, source } => {
            Failure::RemoteQueue { remote: name.to_owned(), path, source }
        }
        other => Failure::internal("use a remote")(other),
    }
}

/// A build that reaches no remotes refuses their configuration.
#[cfg(not(feature = "zmq"))]
pub(super) async fn added(
    builder: Builder,
    _config: &Config,
) -> Result<(Builder, Queues), Failure> {
    Ok((builder, Queues::new()))
}

#[cfg(all(test, feature = "zmq"))]
mod tests {
    use descartes_transport_zmq::ZmqRunnerConfig;

    use super::*;
    use crate::config::{Endpoint, Patience, QueueSize};

    fn of(remote: Remote) -> ZmqRunnerConfig {
        let endpoint = Some(Endpoint("tcp://farm:5555".to_owned()));
        settings(&Remote { endpoint, ..remote }, &Config::default())
    }

    #[test]
    fn a_remote_of_which_nothing_is_said_has_the_published_defaults() {
        let published = ZmqRunnerConfig {
            endpoint: "tcp://farm:5555".to_owned(),
            // Two thirds of what a call to this daemon may take.
            request_timeout_secs: 20,
            ..ZmqRunnerConfig::default()
        };
        assert_eq!(of(Remote::default()), published);
        assert_eq!(Remote::default().request_timeout_secs, Patience(30));
    }

    #[test]
    fn every_setting_goes_to_the_client_and_every_bound_is_one_of_its_own() {
        let said = |secs: u64, count| Remote {
            request_timeout_secs: Patience(secs),
            connection_timeout_secs: Patience(secs),
            auto_reconnect: false,
            max_reconnect_attempts: count,
            reconnect_delay_secs: Patience(secs),
            enable_heartbeat: false,
            heartbeat_interval_secs: Patience(secs),
            max_queue_size: QueueSize(count),
            queue_timeout_secs: Patience(secs),
            queue_path: Some("/queue".into()),
            ..Remote::default()
        };
        let sent = |secs: u64, count: u32| ZmqRunnerConfig {
            endpoint: "tcp://farm:5555".to_owned(),
            request_timeout_secs: secs.min(20),
            connection_timeout_secs: secs,
            auto_reconnect: false,
            max_reconnect_attempts: count,
            reconnect_delay_secs: secs,
            enable_heartbeat: false,
            heartbeat_interval_secs: secs,
            max_queue_size: count as usize,
            queue_timeout_secs: secs,
            queue_path: Some("/queue".into()),
        };
        for (secs, count) in [(1, 1), (43_200, 100_000)] {
            assert_eq!(of(said(secs, count)), sent(secs, count));
            of(said(secs, count)).check().expect("what may be configured is in its range");
        }
    }
}
