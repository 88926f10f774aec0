//! Text that looks like the log of a busy program: the same in every run.

use std::io::{self, Write};

/// What a flood repeats; a prime number of lines, so that blocks do not fall on the same cuts.
const LINES: usize = 13_007;
/// What one write of a flood gives.
pub const WRITE_BYTES: usize = 64 << 10;
/// Finds about one line in a thousand.
pub const RARE: &str = r"ERROR .*timeout after \d{4} ms";

/// About a megabyte of lines of about 80 bytes, the last one ended.
#[must_use]
pub fn block() -> Vec<u8> {
    let mut out = Vec::with_capacity(LINES * 88);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for line in 0..LINES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (level, text) = match state % 1000 {
            0 => ("ERROR", "upstream closed: timeout after"),
            1..=20 => ("WARN ", "slow answer, will try again in"),
            _ => ("INFO ", "request answered, worker idle in"),
        };
        let (worker, took) = (state >> 20 & 0xff, 1000 + (state >> 32) % 9000);
        let written = writeln!(
            out,
            "2026-11-21T02:00:{:02}.{:03}Z {level} worker-{worker:03} {text} {took} ms",
            line / 1000 % 60,
            line % 1000,
        );
        debug_assert!(written.is_ok(), "memory takes everything");
    }
    out
}

/// Writes the lines over and over, by large writes, until `bytes` are written.
///
/// # Errors
/// When `out` takes no more.
pub fn flood(out: &mut impl Write, bytes: u64) -> io::Result<()> {
    // Whole writes from anywhere in the block: it follows itself.
    let once = block();
    let mut text = once.clone();
    text.extend_from_slice(&once[..WRITE_BYTES]);
    let (mut left, mut at) = (bytes, 0);
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(WRITE_BYTES).min(WRITE_BYTES);
        out.write_all(&text[at..at + size])?;
        left -= size as u64;
        at = (at + size) % once.len();
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_the_block_over_and_over() {
        let once = block();
        let bytes = 3 * once.len() + 17;
        let mut written = Vec::new();
        flood(&mut written, bytes as u64).unwrap();
        let expected: Vec<u8> = once.iter().copied().cycle().take(bytes).collect();
        assert!(written == expected);
    }
}
