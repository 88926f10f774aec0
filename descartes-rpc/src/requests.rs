//! The names that callers of `agent.send` gave their requests, while these are under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use descartes_core::chat::ChatId;

type Names = HashMap<(ChatId, Arc<str>), u32>;

/// The names of requests that are under way: as many as calls that wait.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<Names>);

/// A name that is known; until it is dropped.
pub(crate) struct Named<'a> {
    requests: &'a Requests,
    key: (ChatId, Arc<str>),
}

impl Requests {
    /// `name` is turn `turn` of `chat` from now on.
    pub(crate) fn name(&self, chat: ChatId, name: &str, turn: u32) -> Named<'_> {
        let key: (ChatId, Arc<str>) = (chat, name.into());
        self.lock().insert(key.clone(), turn);
        Named { requests: self, key }
    }

    /// The turn of `chat` that is called so.
    pub(crate) fn turn(&self, chat: ChatId, name: &str) -> Option<u32> {
        self.lock().get(&(chat, name.into())).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        self.requests.lock().remove(&self.key);
    }
}
