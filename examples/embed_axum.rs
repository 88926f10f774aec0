//! `cargo run --example embed_axum` mounts the API under `/agents` of an application of its own.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use axum::Router;
use axum::routing::get;
use descartes_core::Descartes;
use descartes_rpc::client::Client;
use descartes_rpc::service::Rpc;
use descartes_rpc::wire::system::NoParams;
use descartes_transport_http::{HttpClient, HttpOptions, service};
use tokio::net::TcpListener;

/// The application: its own pages, and ours. Whoever reaches it is taken for the owner; one with
/// users puts a `Principal` into the extensions of each request instead.
fn app(rpc: Rpc) -> Router {
    let agents = service(rpc, HttpOptions::default().everyone_is_owner());
    Router::new().route("/", get(async || "an application")).nest_service("/agents", agents)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let descartes = Descartes::builder().build().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = app(Rpc::builder(descartes.clone()).build());
    let server = tokio::spawn(async { axum::serve(listener, app).await });
    println!("listening on http://{address}/agents/");

    let client = Client::exchange(HttpClient::new(&format!("http://{address}/agents/"))?);
    println!("{}", client.system_health(NoParams {}).await?.status.as_str());
    server.abort();
    descartes.shutdown().await;
    Ok(())
}
