//! How the bytes of a fuzzer are read as a plan.

/// The bytes that are left of an input. What is missing reads as zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

/// A byte from here on stands for a run of one letter, so that a small input says a long line.
const RUN: u8 = 0xf0;
/// The unit of such runs: sixteen of them pass every bound that lines and chunks have.
const RUN_BYTES: usize = 4099;

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The rest, with runs written out; never more than `most` bytes.
    pub(crate) fn expanded(self, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for byte in self.0 {
            if *byte > RUN && all.len() < most {
                let run = RUN_BYTES * usize::from(*byte - RUN);
                all.resize((all.len() + run).min(most), b'x');
            } else if all.len() < most {
                all.push(*byte);
            }
        }
        all
    }
}

/// Places to cut at, as a fuzzer wishes: the same seed gives the same pieces.
#[derive(Clone, Debug)]
pub(crate) struct Cuts {
    state: u64,
    most: usize,
    /// Small pieces that are left; after them they are big, or a long input would take long.
    small: u32,
}

/// As many small pieces as show what small pieces do.
const SMALL_PIECES: u32 = 300;

impl Cuts {
    /// Pieces of 1 to `most` bytes.
    pub(crate) fn new(seed: u8, most: usize) -> Self {
        Self { state: u64::from(seed) + 1, most: most.max(1), small: SMALL_PIECES }
    }

    pub(crate) fn next(&mut self) -> u64 {
        // xorshift64*: small, and never zero once it is not.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// The next piece of `bytes`, which is not empty while there are any.
    pub(crate) fn piece<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        if bytes.is_empty() {
            return None;
        }
        self.small = self.small.saturating_sub(1);
        let most = if self.small > 0 { self.most } else { self.most.saturating_mul(256) };
        let wish = usize::try_from(self.next()).unwrap_or(usize::MAX) % most + 1;
        let (piece, rest) = bytes.split_at(wish.min(bytes.len()));
        *bytes = rest;
        Some(piece)
    }
}
