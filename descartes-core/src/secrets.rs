//! Values of `env`: kept apart from records and events, for the runs that need them.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::agent::AgentId;

/// Where the values lie.
#[derive(Clone, Debug)]
pub(crate) enum Secrets {
    /// In memory only: gone with the host.
    Memory(Arc<Mutex<HashMap<AgentId, Env>>>),
    /// A file for each agent, readable by its owner alone.
    Folder(Arc<PathBuf>),
}

/// Variables and their values.
pub(crate) type Env = BTreeMap<String, String>;

impl Secrets {
    pub(crate) fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    pub(crate) async fn write(&self, agent: AgentId, env: &Env) -> io::Result<()> {
        if env.is_empty() {
            return Ok(());
        }
        match self {
            Self::Memory(values) => {
                values.lock().unwrap_or_else(PoisonError::into_inner).insert(agent, env.clone());
                Ok(())
            }
            Self::Folder(folder) => {
                let (folder, env) = (Arc::clone(folder), env.clone());
                blocking(move || write_file(&folder, agent, &env)).await
            }
        }
    }

    /// The values; none when they are no longer kept.
    pub(crate) async fn read(&self, agent: AgentId) -> io::Result<Option<Env>> {
        match self {
            Self::Memory(values) => {
                Ok(values.lock().unwrap_or_else(PoisonError::into_inner).get(&agent).cloned())
            }
            Self::Folder(folder) => {
                let path = folder.join(agent.to_string());
                blocking(move || match std::fs::read(path) {
                    Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error),
                })
                .await
            }
        }
    }

    pub(crate) async fn forget(&self, agent: AgentId) {
        match self {
            Self::Memory(values) => {
                values.lock().unwrap_or_else(PoisonError::into_inner).remove(&agent);
            }
            Self::Folder(folder) => {
                let path = folder.join(agent.to_string());
                let removed = blocking(move || std::fs::remove_file(path)).await;
                if let Err(error) = removed
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(agent_id = %agent, %error, "secret values could not be removed");
                }
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(unix)]
fn write_file(folder: &std::path::Path, agent: AgentId, env: &Env) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = folder.join(format!("{agent}.new"));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&serde_json::to_vec(env)?)?;
    file.sync_all()?;
    std::fs::rename(new, folder.join(agent.to_string()))
}

#[cfg(not(unix))]
fn write_file(_: &std::path::Path, _: AgentId, _: &Env) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
