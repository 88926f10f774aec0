// What documentation tests run against: hidden behind `include!`.

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zmq/daemon.rs"));

type Tried = Result<(), Box<dyn std::error::Error>>;

/// Runs `example` with the address of a daemon and what its agents are started with.
fn with_daemon<F: Future<Output = Tried>>(
    example: impl FnOnce(String, descartes_rpc::wire::agent::SpawnParams) -> F,
) -> Tried {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let daemon = Daemon::there().await;
        let params = serde_json::from_value(descartes_rpc::testing::fake_agent())?;
        example(daemon.endpoint(), params).await
    })
}

/// Runs `example` with a client and an agent of its daemon.
fn with_agent<F: Future<Output = Tried>>(
    example: impl FnOnce(descartes_transport_zmq::ZmqClient, String) -> F,
) -> Tried {
    use descartes_transport_zmq::{ZmqClient, ZmqRunnerConfig};

    with_daemon(|endpoint, params| async move {
        let config = ZmqRunnerConfig { endpoint, ..ZmqRunnerConfig::default() };
        let client = ZmqClient::start(config).await?;
        let id = client.spawn_remote(params).await?.agent_id;
        example(client, id).await
    })
}
