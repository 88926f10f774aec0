//! Moves what a child writes into the journal.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use rustix::fd::AsFd;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::Instant;

use super::os::pipe::{resize, waiting};
use crate::event::StreamName;
use crate::limits::{DRAIN_AFTER_EXIT, OUTPUT_CHUNK_BYTES};
use crate::runner::OutputHandle;

thread_local! {
    /// Lent for the time of one read, so that an agent that writes nothing costs no buffer.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; OUTPUT_CHUNK_BYTES].into());
}

/// A writer that fills our buffer this often in a row gets a bigger pipe.
const BUSY_READS: u32 = 4;
/// The bigger pipe is taken back when its writer has rested for this long.
const REST: Duration = Duration::from_secs(1);

/// Reads `pipe` to its end; after `ended` only what is in it, and not for long.
pub(super) async fn pump(
    mut pipe: pipe::Receiver,
    stream: StreamName,
    output: OutputHandle,
    mut ended: watch::Receiver<bool>,
) {
    let mut pump = Pump { stream, output, at: 0, full_reads: 0, busy: false };
    loop {
        tokio::select! {
            () = pump.readable(&pipe) => {}
            over = ended.wait_for(|ended| *ended) => {
                drop(over);
                break;
            }
        }
        let mut read = pump.read(&pipe);
        if let Some(due) = pump.output.pause() {
            (pipe, read) = match pump.follow(pipe, due, &ended).await {
                Ok(followed) => followed,
                Err(error) => return pump.fails(&error),
            };
        }
        if read == Read::End {
            return;
        }
        pump.output.room().await;
    }
    // The child has ended: what it wrote is in the pipe, and is taken even while the store cannot
    // write, because it cannot stay where it is. Who holds the other end is not waited for.
    let due = pump.at + waiting(&pipe);
    let rest = async {
        while pump.read_now(&pipe) == Read::Some {
            if pump.at >= due {
                pump.output.room().await;
            }
        }
    };
    if tokio::time::timeout(DRAIN_AFTER_EXIT, rest).await.is_err() {
        tracing::debug!(?stream, "a pipe was not empty in time");
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
    End,
}

struct Pump {
    stream: StreamName,
    output: OutputHandle,
    at: u64,
    full_reads: u32,
    busy: bool,
}

impl Pump {
    /// Waits until there is something to read. Cancel safe.
    async fn readable(&mut self, pipe: &pipe::Receiver) {
        if self.busy && tokio::time::timeout(REST, pipe.readable()).await.is_err() {
            self.busy = !resize(pipe, false);
            self.full_reads = 0;
        }
        // An error shows again when it is read.
        drop(pipe.readable().await);
    }

    /// Reads an agent that streams words when that is due, until it pauses or has `ended`. The
    /// runtime does not look at the pipe meanwhile: each word would wake it, and nobody is to read
    /// it yet.
    async fn follow(
        &mut self,
        pipe: pipe::Receiver,
        mut due: Instant,
        ended: &watch::Receiver<bool>,
    ) -> io::Result<(pipe::Receiver, Read)> {
        let pipe = pipe.into_nonblocking_fd()?;
        loop {
            tokio::time::sleep_until(due).await;
            let read = self.read_now(&pipe);
            match self.output.pause() {
                Some(next) if read == Read::Some && !*ended.borrow() => due = next,
                _ => return Ok((pipe::Receiver::from_owned_fd_unchecked(pipe)?, read)),
            }
            self.output.room().await;
        }
    }

    /// Moves one bufferful, when the runtime knows that there is something.
    fn read(&mut self, pipe: &pipe::Receiver) -> Read {
        BUFFER.with_borrow_mut(|buffer| {
            let length = pipe.try_read(buffer);
            self.take(length, pipe, buffer)
        })
    }

    /// Moves one bufferful. Asks the system and not the runtime, which may have heard of the
    /// child's end before it hears of what the child wrote.
    fn read_now(&mut self, pipe: impl AsFd) -> Read {
        BUFFER.with_borrow_mut(|buffer| {
            let length = rustix::io::read(&pipe, &mut buffer[..]).map_err(io::Error::from);
            self.take(length, pipe, buffer)
        })
    }

    fn take(&mut self, length: io::Result<usize>, pipe: impl AsFd, buffer: &[u8]) -> Read {
        match length {
            Ok(0) => Read::End,
            Ok(length) => {
                self.output.take(self.stream, self.at, &buffer[..length]);
                self.at += length as u64;
                self.grow(pipe, length == buffer.len());
                Read::Some
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Read::Some,
            Err(error) => {
                self.fails(&error);
                Read::End
            }
        }
    }

    fn fails(&self, error: &io::Error) {
        tracing::warn!(stream = ?self.stream, %error, "a pipe could not be read");
    }

    fn grow(&mut self, pipe: impl AsFd, full: bool) {
        self.full_reads = if full { self.full_reads + 1 } else { 0 };
        if self.full_reads == BUSY_READS && !self.busy {
            self.busy = resize(pipe, true);
        }
    }
}
