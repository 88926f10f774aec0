//! One command for many agents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Descartes, Kill};
use crate::agent::{AgentError, AgentFilter, AgentId, AgentRecord, Reach, Want};
use crate::limits::{BATCH_AGENTS, BATCH_PARALLEL};
use crate::runner::Signal;

/// Which agents a batch is for.
#[derive(Clone, Debug)]
pub enum BatchTarget {
    /// These, by identity or name, in this order.
    These(Vec<String>),
    /// Those that match, oldest first.
    Select(AgentFilter),
}

/// What is done to each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchCommand {
    /// Pause it.
    Pause,
    /// Let it go on.
    Resume,
    /// End it, with grace.
    Stop,
    /// End it at once.
    Kill,
    /// Send it a signal.
    Signal(Signal),
    /// Write to its standard input.
    WriteStdin(Bytes),
    /// Only look.
    Status,
}

impl BatchCommand {
    /// Every word for one.
    pub const ALL: [&'static str; 7] =
        ["pause", "resume", "stop", "kill", "signal", "write_stdin", "status"];

    /// Its word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Signal(_) => "signal",
            Self::WriteStdin(_) => "write_stdin",
            Self::Status => "status",
        }
    }
}

/// One command for many agents.
#[derive(Clone, Debug)]
pub struct AgentBatch {
    /// Which.
    pub target: BatchTarget,
    /// Only agents within this reach; the others are not there.
    pub within: Reach,
    /// What.
    pub command: BatchCommand,
    /// Begin no more once one has failed.
    pub fail_fast: bool,
    /// Only say which agents it would be for.
    pub dry_run: bool,
}

/// What became of one agent of a batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct BatchEntry {
    /// As it was asked for, or its identity.
    pub asked: String,
    /// Its record after the command, or why that failed.
    pub result: Result<Arc<AgentRecord>, AgentError>,
}

impl Descartes {
    /// Carries out a command on many agents, [`BATCH_PARALLEL`] at once; results come in the
    /// order asked.
    ///
    /// # Errors
    /// When it names more than [`BATCH_AGENTS`].
    pub async fn batch(
        &self,
        batch: AgentBatch,
        by: impl Into<Arc<str>>,
    ) -> Result<Vec<BatchEntry>, AgentError> {
        let by: Arc<str> = by.into();
        let asked = self.targets(batch.target);
        if asked.len() > BATCH_AGENTS {
            let (current, max) = (asked.len() as u64, BATCH_AGENTS as u64);
            return Err(AgentError::Limit { limit: "batch.agents", current, max });
        }
        let counted = (!batch.dry_run).then(|| batch.command.as_str());
        let command = if batch.dry_run { BatchCommand::Status } else { batch.command };
        let within = Arc::new(batch.within);
        let room = Arc::new(Semaphore::new(BATCH_PARALLEL));
        let failed = Arc::new(AtomicBool::new(false));
        let mut work = JoinSet::new();
        for (index, asked) in asked.iter().cloned().enumerate() {
            let (this, by, command) = (self.clone(), Arc::clone(&by), command.clone());
            let (room, failed) = (Arc::clone(&room), Arc::clone(&failed));
            let within = Arc::clone(&within);
            work.spawn(async move {
                let _place = room.acquire_owned().await;
                if batch.fail_fast && failed.load(Ordering::Acquire) {
                    return (index, Err(AgentError::NotBegun));
                }
                let result = match this.resolve_within(&asked, wanted(&command), &within) {
                    Ok(id) => this.one(id, command, by).await,
                    Err(error) => Err(error),
                };
                if result.is_err() {
                    failed.store(true, Ordering::Release);
                }
                (index, result)
            });
        }
        let entry = |asked| BatchEntry { asked, result: Err(AgentError::Broken) };
        let mut entries: Vec<_> = asked.into_iter().map(entry).collect();
        while let Some(done) = work.join_next().await {
            if let Ok((index, result)) = done {
                entries[index].result = result;
            }
        }
        for (command, entry) in counted.into_iter().cycle().zip(&entries) {
            self.core.tally.batched(command, entry.result.is_ok());
        }
        Ok(entries)
    }

    fn targets(&self, target: BatchTarget) -> Vec<String> {
        match target {
            BatchTarget::These(asked) => asked,
            BatchTarget::Select(filter) => {
                let wanted = self.core.registry.selected(&filter);
                wanted.iter().map(|record| record.id.to_string()).collect()
            }
        }
    }

    async fn one(
        &self,
        id: AgentId,
        command: BatchCommand,
        by: Arc<str>,
    ) -> Result<Arc<AgentRecord>, AgentError> {
        match command {
            BatchCommand::Pause => self.pause(id, false, by).await,
            BatchCommand::Resume => self.resume(id, by).await,
            BatchCommand::Stop => Ok(self.kill(id, Kill::default(), by).await?.record),
            BatchCommand::Kill => {
                let kill = Kill { grace: None, force: true };
                Ok(self.kill(id, kill, by).await?.record)
            }
            BatchCommand::Signal(signal) => {
                self.signal(id, signal).await?;
                self.record(id)
            }
            BatchCommand::WriteStdin(bytes) => {
                self.write_stdin(id, bytes, false).await?;
                self.record(id)
            }
            BatchCommand::Status => self.record(id),
        }
    }
}

/// Which agents a command can do something with.
const fn wanted(command: &BatchCommand) -> Want {
    match command {
        BatchCommand::Status | BatchCommand::Kill | BatchCommand::Stop => Want::Any,
        _ => Want::Live,
    }
}
