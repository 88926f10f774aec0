//! Inputs near a corpus, from numbers that anybody can repeat.

/// Bytes of one input: beyond the longest seed, and little enough to try many.
const MOST: usize = 4096;
/// Changes of one input.
const CHANGES: usize = 5;
/// Bytes on which readers turn.
const TURNS: &[u8] = b"\0\t\n\r \"%&+,-./0:;=@[\\]{}\x7f\x80\xbf\xc3\xe2\xf0\xff";

/// Makes inputs out of seeds.
#[derive(Debug)]
pub(super) struct Mutator {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    state: u64,
}

impl Mutator {
    pub(super) fn new(seeds: Vec<Vec<u8>>, words: &'static [&'static str], seed: u64) -> Self {
        Self { seeds, words, state: seed }
    }

    pub(super) fn next(&mut self) -> Vec<u8> {
        let mut input = self.some_seed().to_vec();
        for _ in 0..=self.below(CHANGES) {
            self.change(&mut input);
        }
        input.truncate(MOST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(16)).min(input.len());
        match self.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => input.insert(at, TURNS[self.below(TURNS.len())]),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                let to = self.below(input.len() + 1);
                drop(input.splice(to..to, piece));
            }
            4 => {
                let other = self.some_seed();
                let other = other[self.below(other.len() + 1)..].to_vec();
                drop(input.splice(at.., other));
            }
            5 => input.insert(at, u8::try_from(self.below(256)).unwrap_or_default()),
            _ if self.words.is_empty() => {}
            _ => {
                let word = self.words[self.below(self.words.len())];
                let end = if self.below(2) == 0 { at } else { end };
                drop(input.splice(at..end, word.bytes()));
            }
        }
    }

    fn some_seed(&mut self) -> Vec<u8> {
        let index = self.below(self.seeds.len());
        self.seeds.get(index).cloned().unwrap_or_default()
    }

    /// A number under `bound`; zero when there is none.
    fn below(&mut self, bound: usize) -> usize {
        // splitmix64: every seed is good, zero too.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap_or(usize::MAX);
        number.checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let inputs = |seed| {
            let seeds = vec![b"one".to_vec(), b"two\n".to_vec(), Vec::new()];
            let mut mutator = Mutator::new(seeds, &["word"], seed);
            (0..500).map(|_| mutator.next()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        assert!(inputs(7).iter().all(|input| input.len() <= MOST));
    }
}
