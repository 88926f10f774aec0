//! Tokens that were revoked before their time, and the means to end those in use.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use descartes_core::{
    store::{Document, Key, Space},
    time::Timestamp,
};

use super::{secret::Secret, token::Claims, validity::Revocation};
use crate::limits::REVOKED_TOKENS;

/// Where revoked tokens are remembered, by their names.
pub(super) const SPACE: Space = Space("revoked_token");
/// Tokens in use after which those that nobody uses any more are looked for.
const LOOK_FIRST: usize = 256;

/// What is known of tokens that were revoked or are in use, by their names.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    /// With the time after which it does not matter any more.
    until: HashMap<Arc<str>, Timestamp>,
    /// Those that somebody comes with.
    own: InUse,
    /// Those with which something was made that somebody comes with.
    makers: InUse,
}

/// The means to end what tokens are used for, by their names.
#[derive(Debug)]
struct InUse {
    all: HashMap<Arc<str>, Revocation>,
    look_at: usize,
}

/// By what a token is revoked: its own identifier, or what it is.
pub(super) fn name_of(claims: &Claims, token: &Secret) -> Arc<str> {
    match &claims.id {
        Some(id) => name_of_id(id),
        None => format!("digest:{}", token.digest()).into(),
    }
}

pub(super) fn name_of_id(id: &str) -> Arc<str> {
    format!("id:{id}").into()
}

/// Where `name` is kept.
pub(super) fn place(name: &Arc<str>) -> Key {
    Key::new(SPACE, Arc::clone(name))
}

/// What is kept there.
pub(super) fn body(until: Timestamp) -> Bytes {
    until.as_millis().to_string().into()
}

/// The time that is kept there.
pub(super) fn read(document: &Document) -> Option<Timestamp> {
    str::from_utf8(&document.body).ok()?.parse().ok().map(Timestamp::from_millis)
}

impl Revoked {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.until.contains_key(name)
    }

    pub(super) fn is_full(&self) -> bool {
        self.until.len() >= REVOKED_TOKENS
    }

    /// Remembers that `name` is revoked, and ends what it is in use for.
    pub(super) fn add(&mut self, name: Arc<str>, until: Timestamp) {
        self.own.end(&name);
        self.makers.end(&name);
        self.until.insert(name, until);
    }

    /// Ends what every token is used for: none of them is believed any more. Keys that were made with
    /// one stay.
    pub(super) fn end_all(&mut self) {
        self.own.all.drain().for_each(|(_, revocation)| revocation.make());
    }

    /// Forgets those that have expired, and tells which.
    pub(super) fn forget(&mut self, now: Timestamp) -> Vec<Arc<str>> {
        let over: Vec<_> = self
            .until
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in &over {
            self.until.remove(name);
        }
        over
    }

    /// The means to end what `name` is used for from now on.
    pub(super) fn use_of(&mut self, name: Arc<str>) -> Revocation {
        self.own.of(name)
    }

    /// The means to end what something is used for that was made with `name`.
    pub(super) fn use_of_maker(&mut self, name: Arc<str>) -> Revocation {
        self.makers.of(name)
    }
}

impl Default for InUse {
    fn default() -> Self {
        Self { all: HashMap::new(), look_at: LOOK_FIRST }
    }
}

impl InUse {
    fn of(&mut self, name: Arc<str>) -> Revocation {
        if self.all.len() >= self.look_at {
            self.all.retain(|_, revocation| revocation.is_held());
            self.look_at = LOOK_FIRST.max(2 * self.all.len());
        }
        self.all.entry(name).or_default().clone()
    }

    fn end(&mut self, name: &str) {
        if let Some(revocation) = self.all.remove(name) {
            revocation.make();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_ends_what_it_is_used_for_and_nothing_else() {
        let mut revoked = Revoked::default();
        let (one, other) = (revoked.use_of("id:1".into()), revoked.use_of("id:2".into()));
        revoked.add("id:1".into(), Timestamp::from_millis(9));
        assert!(one.is_made() && !other.is_made());
        assert!(revoked.contains("id:1") && !revoked.contains("id:2"));
        assert!(revoked.forget(Timestamp::from_millis(8)).is_empty());
        assert_eq!(revoked.forget(Timestamp::from_millis(9)), [Arc::from("id:1")]);
        assert!(!revoked.contains("id:1"));
    }

    #[test]
    fn tokens_that_nobody_uses_any_more_take_no_memory() {
        let mut revoked = Revoked::default();
        let kept = revoked.use_of("id:kept".into());
        for number in 0..10 * LOOK_FIRST {
            drop(revoked.use_of(format!("id:{number}").into()));
        }
        assert!(revoked.own.all.len() <= 2 * LOOK_FIRST);
        assert_eq!(revoked.use_of("id:kept".into()), kept);
    }
}
