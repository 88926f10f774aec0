//! Positions at which nothing was found: those of events that are gone.

use std::collections::BTreeMap;

/// Ranges of positions, each by its first and with its last.
#[derive(Debug, Default)]
pub(super) struct Free(BTreeMap<u64, u64>);

impl Free {
    /// Nothing is at `first` to `last`.
    pub(super) fn add(&mut self, first: u64, last: u64) {
        if first <= last {
            self.0.insert(first, last);
        }
    }

    /// Takes the first free position between two others.
    pub(super) fn take(&mut self, after: u64, before: u64) -> Option<u64> {
        let around = self.0.range(..=after + 1).next_back();
        let holds = around.filter(|(_, last)| **last > after);
        let (first, last) = holds.or_else(|| self.0.range(after + 1..).next())?;
        let (first, last, taken) = (*first, *last, (*first).max(after + 1));
        if taken >= before {
            return None;
        }
        self.0.remove(&first);
        self.add(first, taken.wrapping_sub(1));
        self.add(taken + 1, last);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::Free;

    #[test]
    fn free_positions_are_taken_in_order_and_only_once() {
        let mut free = Free::default();
        free.add(3, 5);
        free.add(9, 9);
        free.add(7, 6);
        assert_eq!(free.take(0, 100), Some(3));
        assert_eq!(free.take(4, 100), Some(5));
        assert_eq!(free.take(0, 4), None);
        assert_eq!(free.take(0, 5), Some(4));
        assert_eq!(free.take(0, 9), None);
        assert_eq!(free.take(8, 10), Some(9));
        assert_eq!(free.take(0, 100), None);
    }
}
