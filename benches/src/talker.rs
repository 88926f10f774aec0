//! An agent that streams: it speaks as the bundled one does in a chat, and every piece of its
//! answer is the time at which it was written.

use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::process::pause;

/// What to ask it for: so many pieces, one every so often.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// How many pieces.
    pub pieces: u32,
    /// Time from one to the next.
    pub every: Duration,
}

impl Stream {
    /// The prompt that asks for it.
    #[must_use]
    pub fn prompt(self) -> String {
        format!("{} {}", self.pieces, self.every.as_micros())
    }

    fn of(prompt: &str) -> Option<Self> {
        let (pieces, micros) = prompt.split_once(' ')?;
        let every = Duration::from_micros(micros.parse().ok()?);
        Some(Self { pieces: pieces.parse().ok()?, every })
    }
}

/// Nanoseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Converses under `name` until `input` ends.
///
/// # Errors
/// When nobody listens any more.
pub fn talk(name: &str, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    writeln!(output, "session {name}\nready")?;
    output.flush()?;
    for line in input.lines() {
        let line = line?;
        let Some(stream) = line.strip_prefix("prompt ").and_then(Stream::of) else { continue };
        let began = Instant::now();
        for piece in 1..=stream.pieces {
            pause((stream.every * piece).saturating_sub(began.elapsed()));
            // One write a piece, as a program does that shows what its model says.
            output.write_all(format!("text {}\n", now()).as_bytes())?;
            output.flush()?;
        }
        output.write_all(b"done\n")?;
        output.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_streams_as_many_pieces_as_it_is_asked_for_and_then_is_done() {
        let stream = Stream { pieces: 3, every: Duration::ZERO };
        let mut said = Vec::new();
        talk("x", format!("prompt {}\n", stream.prompt()).as_bytes(), &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!((lines[0], lines[1], lines[5]), ("session x", "ready", "done"));
        assert!(lines[2..5].iter().all(|line| line.starts_with("text ")), "{said}");
    }
}
