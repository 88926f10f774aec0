//! Small values that agents and applications keep beside each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Caller, Descartes, not_found};
use crate::agent::{AgentError, AgentId, AgentRecord, Reach};
use crate::cursor::Cursor;
use crate::idempotency::Ticket;
use crate::store::{Batch, Document, Expect, Key, KeyRange, Put, Space, StoreError};

/// Values read at once.
const PAGE: usize = 1000;

/// Why a value was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// There is no such agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The value has another version than was expected.
    #[error("`{key}` has another version")]
    Version {
        /// Which key.
        key: String,
        /// The version it has; none when there is no value.
        actual: Option<u64>,
    },
    /// A bound was reached.
    #[error("{limit} is {max}, and {current} are there")]
    Limit {
        /// The configuration key.
        limit: &'static str,
        /// How much there is.
        current: u64,
        /// How much there may be.
        max: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Values, and what goes with them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StateView {
    /// The values by key, as they were put: JSON.
    pub values: BTreeMap<String, Bytes>,
    /// The agent, when it is the state of one.
    pub agent: Option<Arc<AgentRecord>>,
    /// The position of the journal that this reflects.
    pub cursor: Cursor,
}

impl Descartes {
    /// The values of an agent, or the global ones: one key, or all that begin with `prefix`. Of the
    /// global ones those within `reach`; whoever reaches an agent reaches its values.
    ///
    /// # Errors
    /// When there is no such agent, or the store fails.
    pub async fn state_query(
        &self,
        agent: Option<AgentId>,
        (key, prefix): (Option<&str>, &str),
        reach: &Reach,
    ) -> Result<StateView, StateError> {
        let agent = agent.map(|id| self.record(id)).transpose()?;
        let reached = |document: &Document| agent.is_some() || reach.covers_owner(&document.owner);
        let scope = scope(agent.as_ref().map(|record| record.id));
        let cursor = self.core.journal.head();
        let mut values = BTreeMap::new();
        let store = self.core.journal.store();
        if let Some(key) = key {
            let document = store.get(&Key::new(Space::STATE, format!("{scope}{key}"))).await?;
            if let Some(Document { body, .. }) = document.filter(reached) {
                values.insert(key.to_owned(), body);
            }
            return Ok(StateView { values, agent, cursor });
        }
        let mut range = KeyRange::new(Space::STATE, format!("{scope}{prefix}"), PAGE);
        loop {
            let page = store.list(&range).await?;
            range.after = page.documents.last().map(|last| Arc::clone(&last.key.id));
            for Document { key, body, .. } in page.documents.into_iter().filter(reached) {
                values.insert(key.id[scope.len()..].to_owned(), body);
            }
            if !page.more {
                return Ok(StateView { values, agent, cursor });
            }
        }
    }

    /// Writes a value (JSON); returns its version, from 1.
    ///
    /// # Errors
    /// When the version is not the expected one, or a bound is reached.
    pub async fn state_put(
        &self,
        (agent, key): (Option<AgentId>, &str),
        value: Bytes,
        expected_version: Option<u64>,
        caller: &mut Caller,
    ) -> Result<u64, StateError> {
        let scope = self.state_scope(agent)?;
        let max = self.core.settings().limits.state_value_bytes;
        if value.len() > max {
            let (current, max) = (value.len() as u64, max as u64);
            return Err(StateError::Limit { limit: "limits.state_value_bytes", current, max });
        }
        let name = Key::new(Space::STATE, format!("{scope}{key}"));
        let owner = self.check_room(&name, &scope).await?;
        // Who writes it next does not take it over.
        let owner = owner.unwrap_or_else(|| Arc::clone(&caller.owner));
        let mut put = Put::new(name, owner, value);
        put.expect = match expected_version {
            None => Expect::Any,
            Some(0) => Expect::Absent,
            Some(version) => Expect::Version(version),
        };
        let mut batch = Batch::control().put(put);
        batch.puts.extend(caller.ticket.as_mut().map(|ticket: &mut Ticket| ticket.begun(agent)));
        let committed = self.core.journal.commit(batch).await.map_err(|error| named(error, key))?;
        Ok(committed.versions[0])
    }

    /// Whose the value `key` is, of an agent or of all; none when there is no such value.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn state_owner(
        &self,
        agent: Option<AgentId>,
        key: &str,
    ) -> Result<Option<Arc<str>>, StateError> {
        let name = Key::new(Space::STATE, format!("{}{key}", scope(agent)));
        let document = self.core.journal.store().get(&name).await?;
        Ok(document.map(|document| document.owner))
    }

    /// Deletes a value; returns the version it had, 0 when there was none.
    ///
    /// # Errors
    /// When the version is not the expected one.
    pub async fn state_delete(
        &self,
        (agent, key): (Option<AgentId>, &str),
        expected_version: Option<u64>,
        caller: &mut Caller,
    ) -> Result<u64, StateError> {
        let scope = self.state_scope(agent)?;
        let name = Key::new(Space::STATE, format!("{scope}{key}"));
        let known = self.core.journal.store().get(&name).await?;
        let actual = known.map(|document| document.version);
        if expected_version.is_some_and(|expected| expected != actual.unwrap_or(0)) {
            return Err(StateError::Version { key: key.to_owned(), actual });
        }
        let mut batch = Batch::control().delete(name);
        batch.puts.extend(caller.ticket.as_mut().map(|ticket: &mut Ticket| ticket.begun(agent)));
        self.core.journal.commit(batch).await?;
        Ok(actual.unwrap_or(0))
    }

    fn state_scope(&self, agent: Option<AgentId>) -> Result<String, StateError> {
        self.core.check_open()?;
        if let Some(id) = agent
            && self.core.registry.get(id).is_none()
        {
            return Err(not_found(id).into());
        }
        Ok(scope(agent))
    }

    /// Whose the value is, if there is one; a new key must fit in.
    async fn check_room(&self, name: &Key, scope: &str) -> Result<Option<Arc<str>>, StateError> {
        let store = self.core.journal.store();
        if let Some(known) = store.get(name).await? {
            return Ok(Some(known.owner));
        }
        let max = self.core.settings().limits.state_keys;
        let page = store.list(&KeyRange::new(Space::STATE, scope, max)).await?;
        if page.documents.len() < max {
            return Ok(None);
        }
        let max = max as u64;
        Err(StateError::Limit { limit: "limits.state_keys", current: max, max })
    }
}

/// The beginning of the names of an agent's values; of the global ones without an agent.
fn scope(agent: Option<AgentId>) -> String {
    agent.map_or_else(|| "/".to_owned(), |agent| format!("{agent}/"))
}

fn named(error: StoreError, key: &str) -> StateError {
    match error {
        StoreError::Conflict { actual, .. } => StateError::Version { key: key.to_owned(), actual },
        other => StateError::Store(other),
    }
}
