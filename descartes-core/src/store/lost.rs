//! What a store remembers of events that it no longer keeps: at which positions they stood.
//!
//! A reader that comes back with a cursor inside trimmed history is told the exact offset of the
//! first event that it misses. For that, the positions of trimmed events are kept as small steps,
//! in blocks; the oldest blocks melt into one that only knows where it begins and ends.

use std::collections::VecDeque;

use crate::cursor::Position;

/// Trimmed events of one block: at about two bytes each, a block is a few KiB.
pub(crate) const LOST_BLOCK_EVENTS: u64 = 1024;
/// Blocks of one topic whose positions are known exactly.
pub(crate) const LOST_BLOCKS_PER_TOPIC: usize = 1024;

/// Consecutive events of one topic that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostBlock {
    /// The offset of the first.
    pub(crate) first_offset: u64,
    /// How many.
    pub(crate) count: u64,
    /// The position of the first.
    pub(crate) first: Position,
    /// The position of the last.
    pub(crate) last: Position,
    /// The steps between them as variable-length integers; empty when they are not known.
    pub(crate) steps: Vec<u8>,
}

impl LostBlock {
    /// A block of the one event at `offset`.
    pub(crate) fn of(offset: u64, position: Position) -> Self {
        Self { first_offset: offset, count: 1, first: position, last: position, steps: Vec::new() }
    }

    /// Whether the next event needs a new block.
    pub(crate) fn is_full(&self) -> bool {
        self.count >= LOST_BLOCK_EVENTS || !self.is_exact()
    }

    /// Adds the next event of the topic.
    pub(crate) fn push(&mut self, position: Position) {
        let mut step = position.0.saturating_sub(self.last.0);
        while step >= 0x80 {
            self.steps.push((step & 0x7f) as u8 | 0x80);
            step >>= 7;
        }
        self.steps.push(step as u8);
        self.count += 1;
        self.last = position;
    }

    /// The offset of the first event of this block after `after`.
    ///
    /// Of a block whose steps are not known, the first offset: never a later one than is true.
    pub(crate) fn first_after(&self, after: Position) -> Option<u64> {
        if self.last <= after {
            return None;
        }
        if self.first > after || !self.is_exact() {
            return Some(self.first_offset);
        }
        let (mut position, mut offset) = (self.first.0, self.first_offset);
        let (mut step, mut shift) = (0_u64, 0);
        for byte in &self.steps {
            step |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                position += step;
                offset += 1;
                if position > after.0 {
                    return Some(offset);
                }
                (step, shift) = (0, 0);
            }
        }
        Some(self.first_offset)
    }

    /// Takes in the block that follows and forgets the steps.
    pub(crate) fn melt(&mut self, next: &Self) {
        self.count += next.count;
        self.last = next.last;
        self.steps = Vec::new();
    }

    fn is_exact(&self) -> bool {
        self.count == 1 || !self.steps.is_empty()
    }
}

/// The lost events of one topic, in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct LostEvents {
    blocks: VecDeque<LostBlock>,
}

impl LostEvents {
    /// Notes the loss of the topic's next event.
    pub(crate) fn push(&mut self, offset: u64, position: Position) {
        match self.blocks.back_mut() {
            Some(block) if !block.is_full() => block.push(position),
            _ => self.blocks.push_back(LostBlock::of(offset, position)),
        }
        if self.blocks.len() > LOST_BLOCKS_PER_TOPIC
            && let Some(second) = self.blocks.remove(1)
            && let Some(first) = self.blocks.front_mut()
        {
            first.melt(&second);
        }
    }

    /// The offset of the first lost event after `after`.
    pub(crate) fn first_after(&self, after: Position) -> Option<u64> {
        let index = self.blocks.partition_point(|block| block.last <= after);
        self.blocks.get(index)?.first_after(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lost_event_after_any_position_is_told_exactly() {
        let positions: Vec<u64> = (0..5000_u64).map(|n| 3 + n * 7 + (n % 5) * 300 / 301).collect();
        let mut lost = LostEvents::default();
        for (offset, position) in positions.iter().enumerate() {
            lost.push(offset as u64, Position(*position));
        }
        for after in (0..positions[4999] + 2).step_by(11) {
            let expected = positions.iter().position(|position| *position > after);
            assert_eq!(lost.first_after(Position(after)), expected.map(|offset| offset as u64));
        }
    }

    #[test]
    fn blocks_that_melted_give_a_lower_bound_and_stay_bounded() {
        let mut lost = LostEvents::default();
        let events = LOST_BLOCK_EVENTS * (LOST_BLOCKS_PER_TOPIC as u64 + 3);
        for offset in 0..events {
            lost.push(offset, Position(offset + 1));
        }
        assert!(lost.blocks.len() <= LOST_BLOCKS_PER_TOPIC);
        assert_eq!(lost.first_after(Position(100)), Some(0));
        assert_eq!(lost.first_after(Position(events - 10)), Some(events - 10));
        assert_eq!(lost.first_after(Position(events)), None);
    }
}
