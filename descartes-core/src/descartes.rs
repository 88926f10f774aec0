//! [`Descartes`]: what an application holds.

mod batch;
mod builder;
mod caller;
mod chat;
mod control;
mod conversations;
mod forget;
mod health;
mod maintain;
mod output;
mod publish;
mod reach;
mod recording;
mod recover;
mod settings;
mod shutdown;
mod spawn;
mod state;
#[cfg(test)]
mod tests;
mod whereabouts;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

pub use batch::{AgentBatch, BatchCommand, BatchEntry, BatchTarget};
pub use builder::{Builder, StartError};
pub use caller::Caller;
pub use chat::{ChatOpened, DecideRequest, PromptRequest};
pub use control::{Kill, Killed, WaitFor};
pub use conversations::Conversations;
pub(crate) use conversations::conversation_of;
pub use forget::Prune;
pub use health::{AgentCounts, Health, HealthStatus};
pub use output::OutputExtent;
pub use settings::{RetentionPolicy, Settings};
pub use spawn::Spawned;
pub use state::{StateError, StateView};

use crate::action::Actions;
use crate::agent::registry::Registry;
use crate::agent::{
    AgentError, AgentFilter, AgentId, AgentPage, AgentView, PageRequest, Reach, Want,
};
use crate::approval::Attendance;
use crate::backend::{BackendStatus, Probes};
use crate::chat::{ChatManager, Chats};
use crate::cost::Costs;
use crate::cursor::Cursor;
use crate::idempotency::Idempotency;
use crate::journal::Journal;
use crate::runner::Runners;
use crate::secrets::Secrets;
use crate::swap::Swap;
use crate::tally::Tally;
use crate::time::Clock;
use crate::trace::{TraceContext, Traced, Tracer, Work};

/// The agent runtime of one application: agents, their journal, their store. Cheap to clone.
///
/// Any number may live in one process; each has its own store. Dropping the last clone stops
/// nothing: call [`shutdown`](Self::shutdown).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use descartes_core::agent::AgentSpec;
/// use descartes_core::{Descartes, WaitFor};
///
/// let descartes = Descartes::builder().build().await?;
/// let spec = AgentSpec::command(["/bin/echo", "hello"]);
/// let agent = descartes.spawn(spec, "me").await?;
/// let ended = descartes.wait(agent.record.id, WaitFor::Exit).await?;
/// assert_eq!(ended.exit.as_ref().and_then(|exit| exit.code), Some(0));
/// descartes.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Descartes {
    pub(crate) core: Arc<Core>,
}

/// What all of it shares.
pub(crate) struct Core {
    pub(crate) journal: Journal,
    pub(crate) runners: Runners,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Clock,
    pub(crate) actions: Actions,
    pub(crate) chats: Chats,
    chat_manager: Arc<dyn ChatManager>,
    pub(crate) attendance: Attendance,
    pub(crate) probes: Probes,
    secrets: Secrets,
    idempotency: Idempotency,
    settings: Swap<Settings>,
    pub(crate) tally: Tally,
    pub(crate) costs: Costs,
    /// Who is told of work as spans.
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    pub(crate) version: Arc<str>,
    started: Instant,
    draining: AtomicBool,
    maintenance: Mutex<Option<JoinHandle<()>>>,
}

impl Core {
    /// The number of the store, which marks every process that is started.
    pub(crate) fn instance(&self) -> u32 {
        self.journal.store().identity().instance
    }

    /// Begins `work`, which was asked for within `parent`.
    pub(crate) fn trace(&self, work: &Work<'_>, parent: Option<TraceContext>) -> Traced {
        Traced::begin(self.tracer.as_deref(), work, parent)
    }
}

impl Descartes {
    /// Begins to put one together; everything has a default.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The journal: events, cursors, subscriptions.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.core.journal
    }

    /// The keys of idempotent calls.
    #[must_use]
    pub fn idempotency(&self) -> &Idempotency {
        &self.core.idempotency
    }

    /// Who may be expected to decide approvals.
    #[must_use]
    pub fn attendance(&self) -> &Attendance {
        &self.core.attendance
    }

    /// The agent that `asked` means: an identity, or a name (of the live one that bears it, else
    /// of the one that ended last).
    ///
    /// # Errors
    /// When there is none, when several live ones bear the name, or when it has ended and a live
    /// one is wanted.
    pub fn resolve(&self, asked: &str, want: Want) -> Result<AgentId, AgentError> {
        self.resolve_within(asked, want, &Reach::all())
    }

    /// The same among the agents within `reach`; the others are not there.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_within(
        &self,
        asked: &str,
        want: Want,
        reach: &Reach,
    ) -> Result<AgentId, AgentError> {
        self.core.registry.resolve(asked, want, reach)
    }

    /// One agent, and the position of the journal that this reflects.
    ///
    /// # Errors
    /// When there is none.
    pub fn agent(&self, id: AgentId) -> Result<(AgentView, Cursor), AgentError> {
        self.agent_within(id, &Reach::all())
    }

    /// The same if it is within `reach`; its children out of reach are not counted.
    ///
    /// # Errors
    /// When there is none.
    pub fn agent_within(
        &self,
        id: AgentId,
        reach: &Reach,
    ) -> Result<(AgentView, Cursor), AgentError> {
        let (view, cursor) = self.core.journal.at_head(|| self.core.registry.view(id, reach));
        Ok((view.ok_or_else(|| not_found(id))?, cursor))
    }

    /// Agents by pages, newest first unless asked otherwise.
    ///
    /// # Errors
    /// When the page token is not one that was given out.
    pub fn list(&self, filter: &AgentFilter, page: &PageRequest) -> Result<AgentPage, AgentError> {
        let (listed, cursor) = self.core.journal.at_head(|| self.core.registry.list(filter, page));
        let listed = listed?;
        let crate::agent::registry::Listed { agents, total, next_token } = listed;
        Ok(AgentPage { agents, total, next_token, cursor })
    }

    /// The backends, and whether they can be used here. Their programs are asked for their versions
    /// at once: once as long as their files do not change, and again with `refresh`.
    ///
    /// Takes as long as the slowest of them, at most [`PROBE_WAIT`](crate::limits::PROBE_WAIT) and
    /// what it takes to end one.
    ///
    /// # Cancel safety
    /// Programs that are being asked are ended.
    pub async fn backends(&self, refresh: bool) -> Vec<BackendStatus> {
        let mut looks = JoinSet::new();
        for (place, backend) in self.core.settings().backends.iter().cloned().enumerate() {
            let core = Arc::clone(&self.core);
            looks.spawn(async move { (place, backend.status(&core, refresh).await) });
        }
        let mut all = looks.join_all().await;
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, status)| status).collect()
    }

    /// The names of the backends, in the order of [`backends`](Self::backends).
    #[must_use]
    pub fn backend_names(&self) -> Vec<Arc<str>> {
        let settings = self.core.settings();
        settings.backends.iter().map(|backend| Arc::clone(backend.name())).collect()
    }
}

impl std::fmt::Debug for Descartes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Descartes").field("journal", &self.core.journal).finish_non_exhaustive()
    }
}

/// There is no agent of this identity.
fn not_found(id: AgentId) -> AgentError {
    AgentError::NotFound { asked: id.to_string(), similar: Vec::new() }
}
