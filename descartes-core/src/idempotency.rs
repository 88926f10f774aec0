//! Idempotency: a call with a key takes effect once, however often it is made.
//!
//! A record of the key is committed with the first record of the effect, its outcome with or
//! after the last. A second call with the key waits for the first one and is told its outcome.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::agent::AgentId;
use crate::descartes::Settings;
use crate::journal::Journal;
use crate::store::{Batch, Document, Key, KeyRange, Put, Space, StoreError};
use crate::swap::Swap;
use crate::time::{Clock, Timestamp};

/// Records looked at in one step of forgetting old ones.
const PAGE: usize = 1000;

/// The keys of one host.
#[derive(Clone)]
pub struct Idempotency {
    journal: Journal,
    clock: Clock,
    settings: Swap<Settings>,
    /// Tells records of this host's life from those of earlier ones.
    life: u64,
    running: Running,
}

type Running = Arc<Mutex<HashMap<Arc<str>, watch::Receiver<()>>>>;

/// What a call with a key is to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Begin {
    /// Nobody made this call before: go on, with this.
    New(Ticket),
    /// It was made and came to this.
    Done(Bytes),
    /// The key was used with other parameters.
    Mismatch,
    /// The host died while it was under way.
    Interrupted {
        /// The agent that it was about to make, or worked on.
        agent: Option<AgentId>,
        /// Ends the matter: give it the outcome that was found out.
        ticket: Ticket,
    },
}

/// The right and the duty to finish a call with a key.
///
/// Dropped without [`finish`](Self::finish) or [`release`](Self::release), the key stays in use
/// and later calls are told what the journal knows.
#[derive(Debug)]
pub struct Ticket {
    key: Arc<str>,
    owner: Arc<str>,
    journal: Journal,
    record: RecordDisk,
    running: Running,
    /// Dropped with the ticket: wakes those who wait for the outcome.
    _done: watch::Sender<()>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RecordDisk {
    /// A keyed digest of the parameters.
    digest: String,
    life: u64,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
}

impl Idempotency {
    pub(crate) fn new(journal: Journal, clock: Clock, settings: Swap<Settings>) -> Self {
        // Millis since the epoch tell lives apart: two hosts of one store never overlap.
        let life = clock.now().as_millis().unsigned_abs();
        Self { journal, clock, settings, life, running: Arc::default() }
    }

    /// Begins the call `method` of `principal` with `key`; waits for one that is under way.
    ///
    /// `digest` stands for the parameters.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn begin(
        &self,
        principal: &str,
        (method, key): (&str, &str),
        digest: &str,
    ) -> Result<Begin, StoreError> {
        let name: Arc<str> = format!("{principal}\u{1f}{method}\u{1f}{key}").into();
        let done = loop {
            let earlier = {
                let mut running = self.lock();
                match running.get(&name) {
                    Some(earlier) => earlier.clone(),
                    None => {
                        let (done, wait) = watch::channel(());
                        running.insert(Arc::clone(&name), wait);
                        break done;
                    }
                }
            };
            let mut earlier = earlier;
            // It ends with an error when its ticket is dropped, which is what is waited for.
            while earlier.changed().await.is_ok() {}
        };
        let known =
            self.journal.store().get(&Key::new(Space::IDEMPOTENCY, Arc::clone(&name))).await;
        let mut ticket = self.ticket(name, principal, digest, done);
        let Some(document) = known? else { return Ok(Begin::New(ticket)) };
        let Some(record) = self.fresh(&document) else { return Ok(Begin::New(ticket)) };
        if record.digest != digest {
            return Ok(Begin::Mismatch);
        }
        if let Some(outcome) = record.outcome {
            return Ok(Begin::Done(outcome.into()));
        }
        let agent = record.agent.as_deref().and_then(|agent| agent.parse().ok());
        ticket.record.agent = record.agent;
        Ok(Begin::Interrupted { agent, ticket })
    }

    /// The record of a document, unless it is too old to count.
    fn fresh(&self, document: &Document) -> Option<RecordDisk> {
        let record: RecordDisk = serde_json::from_slice(&document.body).ok()?;
        let age = self.clock.now().since(Timestamp::from_millis(record.at));
        (age <= self.settings.load().limits.idempotency_age).then_some(record)
    }

    fn ticket(
        &self,
        key: Arc<str>,
        principal: &str,
        digest: &str,
        done: watch::Sender<()>,
    ) -> Ticket {
        let record = RecordDisk {
            digest: digest.to_owned(),
            life: self.life,
            at: self.clock.now().as_millis(),
            agent: None,
            outcome: None,
        };
        Ticket {
            key,
            owner: principal.into(),
            journal: self.journal.clone(),
            record,
            running: Arc::clone(&self.running),
            _done: done,
        }
    }

    /// Forgets records that are too old, and the oldest beyond the bound.
    pub(crate) async fn forget_old(&self) -> Result<(), StoreError> {
        let mut kept: Vec<(i64, Key)> = Vec::new();
        let mut range = KeyRange::new(Space::IDEMPOTENCY, "", PAGE);
        loop {
            let page = self.journal.store().list(&range).await?;
            let mut batch = Batch::control();
            for document in &page.documents {
                match self.fresh(document) {
                    Some(record) => kept.push((record.at, document.key.clone())),
                    None => batch.deletes.push(document.key.clone()),
                }
            }
            if !batch.is_empty() {
                self.journal.commit(batch).await?;
            }
            match page.documents.last() {
                Some(last) if page.more => range.after = Some(Arc::clone(&last.key.id)),
                _ => break,
            }
        }
        let excess = kept.len().saturating_sub(self.settings.load().limits.idempotency_records);
        if excess > 0 {
            kept.sort_unstable();
            let mut batch = Batch::control();
            batch.deletes = kept.into_iter().take(excess).map(|(_, key)| key).collect();
            self.journal.commit(batch).await?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, watch::Receiver<()>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idempotency").finish_non_exhaustive()
    }
}

impl Ticket {
    /// The record to commit with the first record of the effect.
    #[must_use]
    pub fn begun(&mut self, agent: Option<AgentId>) -> Put {
        self.record.agent = agent.map(|agent| agent.to_string());
        self.put()
    }

    /// The record to commit with the last record of the effect, when its outcome is known then.
    #[must_use]
    pub fn ended(&mut self, outcome: &str) -> Put {
        self.record.outcome = Some(outcome.to_owned());
        self.put()
    }

    /// Commits the outcome.
    ///
    /// # Errors
    /// When it cannot be written; a later call is then told what the journal knows.
    pub async fn finish(mut self, outcome: &str) -> Result<(), StoreError> {
        let put = self.ended(outcome);
        self.journal.commit(Batch::control().put(put)).await.map(drop)
    }

    /// Gives the key free: nothing was done, and trying again may help.
    ///
    /// # Errors
    /// When that cannot be written.
    pub async fn release(self) -> Result<(), StoreError> {
        let key = Key::new(Space::IDEMPOTENCY, Arc::clone(&self.key));
        self.journal.commit(Batch::control().delete(key)).await.map(drop)
    }

    fn put(&self) -> Put {
        let key = Key::new(Space::IDEMPOTENCY, Arc::clone(&self.key));
        let body = serde_json::to_vec(&self.record).expect("the record is always JSON");
        Put::new(key, Arc::clone(&self.owner), body.into())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
