//! `cargo run --example client` follows an agent of a running daemon over HTTP; the daemon's URL,
//! or the path of its Unix socket, may be given:
//! `cargo run --example client -- ws://127.0.0.1:8080/ws`.
//!
//! Stop the daemon while this runs, or cut the connection: it goes on where it was.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use descartes_rpc::client::{Client, Update};
use descartes_rpc::wire::agent::SpawnParams;
use descartes_rpc::wire::control::WriteParams;
use descartes_rpc::wire::event::SubscribeParams;
use descartes_transport_http::{HttpClient, WsClient};
use descartes_transport_unix::UnixClient;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let daemon = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let client = if daemon.starts_with("http://") {
        Client::exchange(HttpClient::new(&daemon)?)
    } else if daemon.starts_with("ws://") {
        Client::connect(WsClient::new(&daemon)?)
    } else {
        Client::connect(UnixClient::new(daemon))
    };

    let agent_type = Some("basic".to_owned());
    let agent = client.agent_spawn(SpawnParams { agent_type, ..SpawnParams::default() }).await?;
    println!("started {} ({})", agent.name, agent.agent_id);

    // From the cursor of the answer: nothing is missed, however late this begins.
    let follow = SubscribeParams {
        topics: vec![format!("agent/{}/", agent.agent_id)],
        after: Some(agent.cursor),
        ..SubscribeParams::default()
    };
    let mut updates = client.subscribe(follow).await?;

    let text = Some("hello\nexit 0\n".to_owned());
    let write = WriteParams {
        // With a key the call is repeated if the connection is lost, and still done once.
        idempotency_key: Some(format!("greet {}", agent.agent_id)),
        agent_id: agent.agent_id,
        text,
        data: None,
        close: None,
    };
    client.agent_write_stdin(write).await?;

    while let Some(update) = updates.next().await {
        let Update::Event(event) = update? else { continue };
        println!("{}", event.json());
        if event.kind() == "agent.exited" {
            break;
        }
    }
    Ok(())
}
