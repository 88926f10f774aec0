//! Other daemons, whose agents are used like our own: one runner and one backend for each.

use descartes_core::Builder;

use super::failure::Failure;
use crate::config::Config;

/// Adds the remotes of the configuration. Nothing is asked of them yet.
#[cfg(feature = "zmq")]
pub(super) fn added(mut builder: Builder, config: &Config) -> Result<Builder, Failure> {
    use std::sync::Arc;
    use std::time::Duration;

    use descartes_core::backend::Backend;
    use descartes_rpc::client::{Client, Reconnect};
    use descartes_rpc::remote::RemoteRunner;
    use descartes_transport_zmq::ZmqConnect;

    for (name, remote) in &config.remotes {
        let endpoint = remote.endpoint.as_ref().expect("a remote without one is refused");
        let connect = ZmqConnect::new(&endpoint.0).map_err(Failure::internal("use a remote"))?;
        let connect = connect.connect_timeout(remote.connection_timeout_secs.duration());
        let most = remote.reconnect_delay_secs.duration();
        let client = Client::connect_with(connect, Reconnect { most, ..Reconnect::default() });
        let runner = RemoteRunner::builder(name.as_str(), client)
            .lost_after(Duration::from_secs(remote.lost_after_secs))
            .deadline(deadline(remote, config))
            .probe_every(remote.heartbeat_interval_secs.duration())
            .build();
        builder = builder
            .runner_named(name.as_str(), Arc::new(runner))
            .backend(Backend::process().renamed(name.as_str()).on(name.as_str()));
    }
    Ok(builder)
}

/// Whoever calls us is told why it failed before it gives up itself.
#[cfg(feature = "zmq")]
fn deadline(remote: &crate::config::Remote, config: &Config) -> std::time::Duration {
    let ours = std::time::Duration::from_secs(config.server.request_timeout_secs);
    remote.request_timeout_secs.duration().min(ours * 2 / 3)
}

/// A build that reaches no remotes refuses their configuration.
#[cfg(not(feature = "zmq"))]
pub(super) fn added(builder: Builder, _config: &Config) -> Result<Builder, Failure> {
    Ok(builder)
}
