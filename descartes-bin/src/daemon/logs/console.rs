//! Standard output, whose reader may have stopped reading.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::sink::Output;

/// How long who logs waits for a reader that is behind. When that is over lines are lost, and nobody
/// waits, until it reads again.
const PATIENCE: Duration = Duration::from_millis(100);
/// What a pipe that has room takes without waiting (`PIPE_BUF` of pipe(7)).
const PIECE: usize = 4096;

/// An output that somebody else reads: a terminal, a pipe, a socket.
#[derive(Debug)]
pub(super) struct Console<F> {
    output: F,
    /// The reader did not read in time.
    behind: bool,
    /// Half a line is with the reader.
    torn: bool,
}

impl<F: AsFd> Console<F> {
    pub(super) const fn new(output: F) -> Self {
        Self { output, behind: false, torn: false }
    }

    fn write_whole(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let piece = &bytes[..bytes.len().min(PIECE)];
            let written =
                self.await_room().and_then(|()| Ok(rustix::io::write(&self.output, piece)?));
            match written {
                Ok(count) => {
                    (self.behind, self.torn) = (false, count < bytes.len());
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns when something can be written, or that it would block.
    fn await_room(&mut self) -> io::Result<()> {
        let patience = if self.behind { Duration::ZERO } else { PATIENCE };
        let patience = Timespec::try_from(patience).ok();
        let mut polled = [PollFd::new(&self.output, PollFlags::OUT)];
        if poll(&mut polled, patience.as_ref())? > 0 {
            return Ok(());
        }
        self.behind = true;
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl<F: AsFd> Output for Console<F> {
    fn put(&mut self, line: &str) -> io::Result<()> {
        if self.torn {
            self.write_whole(b"\n")?;
        }
        self.write_whole(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read};
    use std::time::Instant;

    use super::*;

    fn read(reader: &mut PipeReader, count: usize) -> String {
        let mut bytes = vec![0; count];
        reader.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_one_wait() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut console = Console::new(writer);
        let line = format!("{}\n", "x".repeat(999));
        let mut taken = 0;
        while console.put(&line).is_ok() {
            taken += 1;
        }
        assert!(console.behind);
        let began = Instant::now();
        for _ in 0..1000 {
            console.put(&line).unwrap_err();
        }
        assert!(began.elapsed() < 100 * PATIENCE, "nobody waits for it again");
        let lines = read(&mut reader, taken * line.len());
        assert!(lines.lines().all(|whole| whole.len() == 999));
        console.put("there\n").unwrap();
        assert_eq!(read(&mut reader, 6), "there\n");
    }

    #[test]
    fn half_a_line_is_ended_before_the_next() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut console = Console::new(writer);
        console.put(&format!("{}\n", "y".repeat(1 << 20))).unwrap_err();
        assert!(console.torn);
        read(&mut reader, 4 * PIECE);
        console.put("next\n").unwrap();
        drop(console);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("y\nnext\n"), "{:?}", rest.get(rest.len() - 20..));
    }
}
