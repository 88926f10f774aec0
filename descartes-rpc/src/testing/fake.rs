//! A whole service without processes or files, for the tests of transports.

use std::sync::Arc;

use descartes_core::{Descartes, testing::FakeRunner};
use serde_json::{Value, json};

use crate::service::Rpc;

/// Every method, over agents that exist in memory and echo what they are given. Peers that a
/// transport vouches to run as `owner_uid` are the owner.
///
/// # Panics
///
/// When a runtime without threads and files cannot make one, which it can.
pub async fn fake_service(owner_uid: u32) -> Rpc {
    let runner = Arc::new(FakeRunner::echo());
    let descartes = Descartes::builder().runner(runner).build().await;
    Rpc::builder(descartes.expect("a store in memory opens")).owner_uid(owner_uid).build()
}

/// Parameters of `agent.spawn` for one of these agents.
#[must_use]
pub fn fake_agent() -> Value {
    json!({"agent_type": "process", "config": {"command": ["fake"]}})
}
