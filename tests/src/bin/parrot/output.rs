//! What parrot writes: every write is one system call, nothing is held back.

use std::io::{self, Write as _};
use std::time::Duration;

/// Bytes of one write of a flood.
const BLOCK: usize = 64 * 1024;
/// What pieces are made of.
const LINE: &[u8; 64] = b"one after the other, says parrot, and waits for each to be read\n";
/// How long a piece is left to be taken before it is looked at again.
const TAKEN: Duration = Duration::from_micros(20);

/// Writes `bytes` to standard output now.
pub(crate) fn stdout(bytes: &[u8]) -> io::Result<()> {
    // Past the line buffer of std, which would cut writes where it likes.
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), rest) {
            Ok(written) => rest = &rest[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    io::stdout().flush()
}

/// Writes one byte at a time, `pause` apart.
pub(crate) fn bytewise(bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        stdout(std::slice::from_ref(byte))?;
        if !pause.is_zero() {
            crate::sleep(pause);
        }
    }
    Ok(())
}

/// Writes `lines` numbered lines, `pause` apart.
pub(crate) fn count(lines: u64, pause: Duration) -> io::Result<()> {
    for line in 0..lines {
        stdout(format!("{line}\n").as_bytes())?;
        if !pause.is_zero() {
            crate::sleep(pause);
        }
    }
    Ok(())
}

/// Writes `total` bytes of `pattern` over and over.
pub(crate) fn blocks(total: u64, pattern: &[u8]) -> io::Result<()> {
    let block: Vec<u8> =
        pattern.iter().copied().cycle().take(BLOCK / pattern.len() * pattern.len()).collect();
    let mut left = total;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        stdout(&block[..length])?;
        left -= length as u64;
    }
    Ok(())
}

/// Writes `count` times `bytes` bytes, each when whoever reads has taken the ones before.
pub(crate) fn pieces(count: u64, bytes: usize) -> io::Result<()> {
    let piece: Vec<u8> = LINE.iter().copied().cycle().take(bytes).collect();
    for _ in 0..count {
        stdout(&piece)?;
        while rustix::io::ioctl_fionread(rustix::stdio::stdout())? > 0 {
            crate::sleep(TAKEN);
        }
    }
    Ok(())
}

/// Writes `total` bytes of every value, the same for the same `seed` (xorshift64*, low byte of
/// the high half first).
pub(crate) fn noise(seed: u64, total: u64) -> io::Result<()> {
    let mut state = seed | 1;
    let mut block = Vec::with_capacity(BLOCK);
    for at in 1..=total {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        block.push(word.to_be_bytes()[3]);
        if block.len() == BLOCK || at == total {
            stdout(&block)?;
            block.clear();
        }
    }
    Ok(())
}

/// `\n`, `\r`, `\t`, `\0`, `\\` and `\xHH`; anything else is itself.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut all = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            all.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => all.push(b'\n'),
            Some(b'r') => all.push(b'\r'),
            Some(b't') => all.push(b'\t'),
            Some(b'0') => all.push(0),
            Some(b'x') => {
                let mut digit = || char::from(bytes.next().unwrap_or(b'0')).to_digit(16);
                let value = digit().unwrap_or(0) * 16 + digit().unwrap_or(0);
                all.push(u8::try_from(value).unwrap_or(0));
            }
            Some(other) => all.push(other),
            None => all.push(b'\\'),
        }
    }
    all
}
