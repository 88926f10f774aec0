//! Masking keys (RFC 6455 section 5.3): nobody who only chooses payloads can foresee them.

use std::hash::{BuildHasher, RandomState};

/// An endless supply, from a keyed hash over a counter; the key comes from the system.
#[derive(Debug)]
pub(super) struct MaskKeys {
    random: RandomState,
    next: u64,
}

impl MaskKeys {
    pub(super) fn new() -> Self {
        Self { random: RandomState::new(), next: 0 }
    }

    pub(super) fn next(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.next_bytes();
        [a, b, c, d]
    }

    /// The random half of a handshake's key.
    pub(super) fn next_bytes(&mut self) -> [u8; 8] {
        self.next += 1;
        self.random.hash_one(self.next).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_do_not_repeat_within_or_between_connections() {
        let (mut one, mut other) = (MaskKeys::new(), MaskKeys::new());
        let keys: HashSet<_> =
            (0..100).flat_map(|_| [one.next_bytes(), other.next_bytes()]).collect();
        assert_eq!(keys.len(), 200);
    }
}
