//! What is remembered of each principal or address, in bounded room.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

use tokio::time::Instant;

/// What is remembered of one.
pub(crate) trait Memory: Default {
    /// Whether there is nothing left to remember: it may be forgotten without anybody noticing.
    fn is_over(&self, now: Instant) -> bool;
}

/// Values by name, of which at most so many are told apart; those who come when there is no room
/// and nothing to forget share one.
///
/// It is put behind a lock by whoever uses it, and grows only by [`place`](Self::place).
#[derive(Debug)]
pub(crate) struct BoundedMap<K, V> {
    most: usize,
    own: HashMap<K, V>,
    shared: V,
}

/// Whose value is meant: by it, what was counted for somebody is taken back from the same value.
#[derive(Debug)]
pub(crate) enum Place<K> {
    /// One of its own.
    Own(K),
    /// The one of all those for whom there was no room.
    Shared,
}

impl<K: Eq + Hash, V: Memory> BoundedMap<K, V> {
    /// An empty one that tells `most` apart.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, own: HashMap::new(), shared: V::default() }
    }

    /// Where what is remembered of `key` stands, which is made if there is room.
    pub(crate) fn place<Q>(&mut self, key: &Q, now: Instant) -> Place<K>
    where
        K: Borrow<Q> + From<Q::Owned>,
        Q: Eq + Hash + ToOwned + ?Sized,
    {
        if self.own.contains_key(key) || self.has_room(now) {
            Place::Own(key.to_owned().into())
        } else {
            Place::Shared
        }
    }

    /// What is remembered at `place`.
    pub(crate) fn at(&mut self, place: &Place<K>) -> &mut V
    where
        K: Clone,
    {
        match place {
            Place::Own(key) => self.own.entry(key.clone()).or_default(),
            Place::Shared => &mut self.shared,
        }
    }

    /// What is remembered of `key`, or of all those for whom there is no room.
    pub(crate) fn of<Q>(&mut self, key: &Q, now: Instant) -> &mut V
    where
        K: Borrow<Q> + From<Q::Owned>,
        Q: Eq + Hash + ToOwned + ?Sized,
    {
        if !self.own.contains_key(key) && self.has_room(now) {
            self.own.insert(key.to_owned().into(), V::default());
        }
        self.own.get_mut(key).unwrap_or(&mut self.shared)
    }

    /// What is remembered of `key` alone.
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.own.get(key)
    }

    /// Forgets what is over at `place` at once, where it would otherwise stay until room is needed.
    pub(crate) fn tidy(&mut self, place: &Place<K>, now: Instant) {
        if let Place::Own(key) = place
            && self.own.get(key).is_some_and(|memory| memory.is_over(now))
        {
            self.own.remove(key);
        }
    }

    /// Whether one more is told apart, after all that is over was forgotten if need be.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.own.len() >= self.most {
            self.own.retain(|_, memory| !memory.is_over(now));
        }
        self.own.len() < self.most
    }

    /// How many are told apart.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.own.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Count(u32);

    impl Memory for Count {
        fn is_over(&self, _now: Instant) -> bool {
            self.0 == 0
        }
    }

    #[test]
    fn those_without_room_share_one_until_somebody_is_forgotten() {
        let now = Instant::now();
        let mut map = BoundedMap::<Box<str>, Count>::new(2);
        for name in ["a", "b", "c", "d"] {
            map.of(name, now).0 += 1;
        }
        assert_eq!((map.len(), map.shared.0), (2, 2));
        map.of("a", now).0 -= 1;
        map.of("c", now).0 += 1;
        assert_eq!((map.len(), map.shared.0), (2, 2), "there was room for one");
        assert!(map.get("a").is_none() && map.get("c").is_some());
    }

    #[test]
    fn what_was_counted_at_a_place_is_taken_back_there() {
        let now = Instant::now();
        let mut map = BoundedMap::<Box<str>, Count>::new(1);
        let places = ["a", "b"].map(|name| {
            let place = map.place(name, now);
            map.at(&place).0 += 1;
            place
        });
        map.at(&places[0]).0 -= 1;
        map.tidy(&places[0], now);
        assert_eq!((map.len(), map.shared.0), (0, 1));
        map.of("b", now).0 += 1;
        map.at(&places[1]).0 -= 1;
        assert_eq!((map.len(), map.shared.0), (1, 0), "also when there is room by now");
    }
}
