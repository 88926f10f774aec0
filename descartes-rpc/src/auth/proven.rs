//! Which credentials were good lately.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use super::secret::Secret;
use crate::limits::PROVEN_CREDENTIALS;

/// Digests of credentials that were good when they were last looked at, or made; whether they still
/// are, this does not know.
///
/// The oldest go first, so that credentials which are made without end do not crowd out those that
/// are in use.
#[derive(Debug, Default)]
pub(super) struct Proven(Mutex<Digests>);

#[derive(Debug, Default)]
struct Digests {
    young: HashSet<blake3::Hash>,
    /// The young ones of before; who is used becomes young again.
    old: HashSet<blake3::Hash>,
}

impl Proven {
    /// Remembers that `presented` was good.
    pub(super) fn add(&self, presented: &Secret) {
        let digest = presented.digest();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.young.contains(&digest) {
            return;
        }
        if known.young.len() >= PROVEN_CREDENTIALS {
            known.old = std::mem::take(&mut known.young);
        }
        known.young.insert(digest);
    }

    /// Whether `presented` was good before.
    pub(super) fn has(&self, presented: &Secret) -> bool {
        let digest = presented.digest();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.young.contains(&digest) || known.old.contains(&digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_in_use_are_remembered_however_many_come_and_the_others_are_bounded() {
        let (proven, in_use) = (Proven::default(), Secret::new("in use"));
        assert!(!proven.has(&in_use));
        proven.add(&Secret::new("once"));
        for number in 0..3 * PROVEN_CREDENTIALS {
            proven.add(&in_use);
            proven.add(&Secret::new(number.to_string()));
            assert!(proven.has(&in_use), "{number}");
        }
        assert!(!proven.has(&Secret::new("once")));
        let known = proven.0.lock().unwrap();
        assert!(known.young.len() + known.old.len() <= 2 * PROVEN_CREDENTIALS);
    }
}
