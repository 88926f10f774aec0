//! Our own software, as an application puts it together.

use std::path::Path;
use std::sync::Arc;

use descartes_core::backend::Backend;
use descartes_core::dialect::Basic;
use descartes_core::store::{MemoryStore, SqliteOptions, SqliteStore, StateStore};
use descartes_core::testing::FakeRunner;
use descartes_core::{Descartes, RetentionPolicy, StartError};
use descartes_rpc::service::Rpc;

/// Without processes and files.
///
/// # Errors
/// When it cannot start.
pub async fn in_memory() -> Result<Descartes, StartError> {
    let builder = Descartes::builder().store(Arc::new(MemoryStore::new()));
    builder.runner(Arc::new(FakeRunner::echo())).build().await
}

/// With local processes and the embedded store in `folder`; keeps a gigabyte and more an agent.
///
/// # Errors
/// When it cannot start.
pub async fn embedded(folder: &Path) -> anyhow::Result<Descartes> {
    let mut retention = RetentionPolicy::default();
    retention.output_bytes_per_agent = 8 << 30;
    let builder = Descartes::builder().store(sqlite(folder)?).retention(retention);
    Ok(builder.build().await?)
}

/// The same with agents that are talked to: `program talk`.
///
/// # Errors
/// When it cannot start.
pub async fn chats(folder: &Path, program: &Path) -> anyhow::Result<Descartes> {
    let command = vec![program.to_string_lossy().into_owned(), "talk".to_owned()];
    let talker = Backend::conversing("talker", command, "basic", || Box::new(Basic::new()));
    let builder = Descartes::builder().store(sqlite(folder)?).backend(talker);
    Ok(builder.default_dir(folder.to_owned()).build().await?)
}

/// The embedded store in `folder`.
///
/// # Errors
/// When it cannot be opened.
pub fn sqlite(folder: &Path) -> anyhow::Result<Arc<dyn StateStore>> {
    Ok(Arc::new(SqliteStore::open(folder.join("store"), &SqliteOptions::default())?))
}

/// The methods in front of it, for the user of this process.
#[must_use]
pub fn rpc(descartes: Descartes) -> Rpc {
    Rpc::builder(descartes).owner_uid(rustix::process::geteuid().as_raw()).build()
}
