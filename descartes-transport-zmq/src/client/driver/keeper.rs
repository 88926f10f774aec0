//! What is written to the queue's file, batch by batch, by threads that may wait for a disk.

use std::{future::pending, io, sync::Arc};

use tokio::{task::JoinHandle, time::timeout};

use crate::client::{
    file::QueueFile,
    limits::FAREWELL,
    queue::{Command, Ticket},
};

/// What is to be written next, and the write that is under way.
pub(super) struct Keeper {
    file: State,
    taken: Vec<(Ticket, Arc<Command>)>,
    done: Vec<Ticket>,
}

enum State {
    Idle(QueueFile),
    /// With what is being written.
    Writing(JoinHandle<(QueueFile, Option<Arc<io::Error>>)>, Vec<(Ticket, Arc<Command>)>),
    /// The runtime has ended, or writing panicked.
    Gone,
}

/// Commands that were written down, or why they were not.
pub(super) struct Kept {
    pub(super) taken: Vec<(Ticket, Arc<Command>)>,
    pub(super) error: Option<Arc<io::Error>>,
}

impl Keeper {
    pub(super) fn new(file: QueueFile) -> Self {
        Self { file: State::Idle(file), taken: Vec::new(), done: Vec::new() }
    }

    /// A command is to be written down before it is sent.
    pub(super) fn take(&mut self, ticket: Ticket, command: Arc<Command>) {
        self.taken.push((ticket, command));
    }

    /// A command needs to be kept no more.
    pub(super) fn done(&mut self, ticket: Ticket) {
        self.done.push(ticket);
    }

    /// Begins to write what there is, if nothing is being written.
    pub(super) fn begin(&mut self) {
        if self.taken.is_empty() && self.done.is_empty() {
            return;
        }
        self.file = match std::mem::replace(&mut self.file, State::Gone) {
            State::Idle(mut file) => {
                let (taken, done) =
                    (std::mem::take(&mut self.taken), std::mem::take(&mut self.done));
                let batch = taken.clone();
                let writing = tokio::task::spawn_blocking(move || {
                    let records: Vec<_> =
                        taken.iter().map(|(ticket, command)| (*ticket, &**command)).collect();
                    let error = file.append(&records, &done).err().map(Arc::new);
                    if let Some(error) = &error {
                        tracing::error!(%error, "the queue's file cannot be written");
                    }
                    (file, error)
                });
                State::Writing(writing, batch)
            }
            other => other,
        };
    }

    /// The next batch that is written. Nothing is lost if this future is dropped.
    pub(super) async fn next(keeper: Option<&mut Self>) -> Kept {
        let Some(keeper) = keeper else { return pending().await };
        match &mut keeper.file {
            State::Writing(writing, batch) => {
                let written = writing.await;
                let taken = std::mem::take(batch);
                let (state, error) = match written {
                    Ok((file, error)) => (State::Idle(file), error),
                    Err(error) => (State::Gone, Some(Arc::new(error.into()))),
                };
                keeper.file = state;
                Kept { taken, error }
            }
            // What waits will not be written: nobody may wait for it.
            State::Gone if !keeper.taken.is_empty() => Kept {
                taken: std::mem::take(&mut keeper.taken),
                error: Some(Arc::new(io::Error::other("its writer is gone"))),
            },
            _ => pending().await,
        }
    }

    /// Writes the rest, for a while at most.
    pub(super) async fn finish(mut self) {
        let rest = async {
            self.begin();
            while matches!(self.file, State::Writing(..)) {
                drop(Self::next(Some(&mut self)).await);
                self.begin();
            }
        };
        if timeout(FAREWELL, rest).await.is_err() {
            tracing::warn!(
                "the queue's file was not finished in time; what is answered is asked for again"
            );
        }
    }
}
