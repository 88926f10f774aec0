//! A whole service without processes or files, for the tests of transports.

use std::sync::Arc;

use descartes_core::{
    Descartes,
    testing::{FakeChat, FakeRunner},
};
use serde_json::{Value, json};

use crate::service::Rpc;

/// Every method, over agents that exist in memory: those of [`fake_agent`] echo what they are given,
/// those of [`fake_chat`] converse. Peers that a transport vouches to run as `owner_uid` are the
/// owner.
///
/// # Panics
///
/// When a runtime without threads and files cannot make one, which it can.
pub async fn fake_service(owner_uid: u32) -> Rpc {
    Rpc::builder(fake_host().await).owner_uid(owner_uid).build()
}

/// The host of such a service.
pub(crate) async fn fake_host() -> Descartes {
    let builder = Descartes::builder().runner(Arc::new(FakeRunner::echo()));
    let builder = builder.runner_named("chat", Arc::new(FakeChat::runner()));
    let descartes = builder.backend(FakeChat::backend().on("chat")).build().await;
    descartes.expect("a store in memory opens")
}

/// Parameters of `agent.spawn` for one of these agents.
#[must_use]
pub fn fake_agent() -> Value {
    json!({"agent_type": "process", "config": {"command": ["fake"]}})
}

/// Parameters of `chat.create` for a chat with one of these agents.
#[must_use]
pub fn fake_chat() -> Value {
    json!({"backend": "fake"})
}
