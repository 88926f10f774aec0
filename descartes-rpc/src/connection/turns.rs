//! The order in which calls of one connection take effect on one thing.

use std::{
    collections::{HashMap, VecDeque, hash_map::DefaultHasher},
    fmt,
    hash::{Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::Connection;

/// What a call changes, so that calls of one connection that change the same take turns.
///
/// A digest: two things with one key merely wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderKey(u64);

impl OrderKey {
    /// The key of the thing `name` of the sort `sort`, say `agent` and its id.
    #[must_use]
    pub fn of(sort: &str, name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (sort, name).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Who is next, for each key. Bounded by the calls of the connection.
#[derive(Default)]
pub(super) struct Turns {
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    next: u64,
    waiting: HashMap<OrderKey, VecDeque<Place>>,
}

struct Place {
    number: u64,
    waker: Option<Waker>,
}

impl Turns {
    pub(super) fn take(&self, connection: &Connection, key: OrderKey) -> Turn {
        let mut queues = self.lock();
        let number = queues.next;
        queues.next += 1;
        let queue = queues.waiting.entry(key).or_default();
        queue.push_back(Place { number, waker: None });
        Turn { connection: connection.clone(), key, number }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the order of effects. Whoever holds it blocks those behind it; dropping it lets the
/// next one go, wherever in the queue this one stood.
pub(crate) struct Turn {
    connection: Connection,
    key: OrderKey,
    number: u64,
}

impl Turn {
    /// Ready when everything before it has taken effect.
    pub(crate) fn poll_first(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queues = self.connection.turns().lock();
        let Some(queue) = queues.waiting.get_mut(&self.key) else { return Poll::Ready(()) };
        let Some(at) = queue.iter().position(|place| place.number == self.number) else {
            return Poll::Ready(());
        };
        if at == 0 {
            return Poll::Ready(());
        }
        queue[at].waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = self.connection.turns().lock();
        let Some(queue) = queues.waiting.get_mut(&self.key) else { return };
        queue.retain(|place| place.number != self.number);
        let next = queue.front_mut().and_then(|place| place.waker.take());
        if queue.is_empty() {
            queues.waiting.remove(&self.key);
        }
        drop(queues);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("key", &self.key).field("number", &self.number).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_first(turn: &Turn) -> bool {
        turn.poll_first(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn turns_on_one_thing_come_in_the_order_they_were_taken() {
        let connection = Connection::default();
        let key = OrderKey::of("agent", "a");
        let turns: Vec<_> = (0..3).map(|_| connection.take_turn(key)).collect();
        let other = connection.take_turn(OrderKey::of("agent", "b"));
        assert!(is_first(&turns[0]) && !is_first(&turns[1]) && is_first(&other));
        let mut turns = turns.into_iter();
        drop(turns.next());
        let (second, third) = (turns.next().unwrap(), turns.next().unwrap());
        assert!(is_first(&second) && !is_first(&third));
        drop(second);
        assert!(is_first(&third));
    }

    #[test]
    fn one_that_gives_up_in_the_middle_holds_nobody_back() {
        let connection = Connection::default();
        let key = OrderKey::of("agent", "a");
        let (first, middle, last) =
            (connection.take_turn(key), connection.take_turn(key), connection.take_turn(key));
        drop(middle);
        assert!(!is_first(&last));
        drop(first);
        assert!(is_first(&last));
    }
}
