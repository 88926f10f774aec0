//! The peer: jsonrpsee.

use std::time::Instant;

use jsonrpsee::RpcModule;
use jsonrpsee::server::ServerBuilder;

use super::Health;

pub(super) async fn serve() -> anyhow::Result<()> {
    let server = ServerBuilder::default().build("127.0.0.1:0").await?;
    super::listening(server.local_addr()?)?;
    let mut module = RpcModule::new(Instant::now());
    module.register_method("system.health", |_, began, _| Health::since(*began))?;
    let handle = server.start(module);
    tokio::spawn(handle.stopped());
    Ok(())
}

impl jsonrpsee::IntoResponse for Health {
    type Output = Self;

    fn into_response(self) -> jsonrpsee::ResponsePayload<'static, Self> {
        jsonrpsee::ResponsePayload::success(self)
    }
}
