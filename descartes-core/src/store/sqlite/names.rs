//! The names of topics by their row, for readers; a row never changes its name.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use rusqlite::Connection;

use super::failure::Failure;
use super::topics::TopicRow;
use crate::event::Topic;

/// Names that are kept, about a hundred bytes each.
const NAMES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Names(RwLock<HashMap<i64, Topic>>);

impl Names {
    /// The topic of row `id`.
    pub(super) fn of(&self, conn: &Connection, id: i64) -> Result<Topic, Failure> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(topic) = known {
            return Ok(topic);
        }
        let Some(row) = TopicRow::all(conn, "WHERE id = ?1", [id])?.pop() else {
            return Err(Failure::Corrupt(format!("topic {id} has no row")));
        };
        let topic = row.name;
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES {
            names.clear();
        }
        names.insert(id, topic.clone());
        Ok(topic)
    }
}
