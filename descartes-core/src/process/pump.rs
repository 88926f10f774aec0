//! Moves what a child writes into the journal.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::watch;

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
    pipe: pipe::Receiver,
    stream: StreamName,
    output: OutputHandle,
    mut ended: watch::Receiver<bool>,
) {
    let mut pump = Pump { pipe, stream, output, at: 0, full_reads: 0, busy: false };
    loop {
        tokio::select! {
            () = pump.readable() => {}
            over = ended.wait_for(|ended| *ended) => {
                drop(over);
                break;
            }
        }
        if pump.read() == Read::End {
            return;
        }
        pump.output.room().await;
    }
    // The child has ended: what it wrote is in the pipe, and is taken even while the store cannot
    // write, because it cannot stay where it is. Who holds the other end is not waited for.
    let due = pump.at + waiting(&pump.pipe);
    let rest = async {
        while pump.read_now() == Read::Some {
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
    pipe: pipe::Receiver,
    stream: StreamName,
    output: OutputHandle,
    at: u64,
    full_reads: u32,
    busy: bool,
}

impl Pump {
    /// Waits until there is something to read. Cancel safe.
    async fn readable(&mut self) {
        if self.busy && tokio::time::timeout(REST, self.pipe.readable()).await.is_err() {
            self.busy = !resize(&self.pipe, false);
            self.full_reads = 0;
        }
        // An error shows again when it is read.
        drop(self.pipe.readable().await);
    }

    /// Moves one bufferful, when the runtime knows that there is something.
    fn read(&mut self) -> Read {
        BUFFER.with_borrow_mut(|buffer| {
            let length = self.pipe.try_read(buffer);
            self.take(length, buffer)
        })
    }

    /// Moves one bufferful. Asks the system and not the runtime, which may have heard of the
    /// child's end before it hears of what the child wrote.
    fn read_now(&mut self) -> Read {
        BUFFER.with_borrow_mut(|buffer| {
            let length = rustix::io::read(&self.pipe, &mut buffer[..]).map_err(io::Error::from);
            self.take(length, buffer)
        })
    }

    fn take(&mut self, length: io::Result<usize>, buffer: &[u8]) -> Read {
        match length {
            Ok(0) => Read::End,
            Ok(length) => {
                self.output.take(self.stream, self.at, &buffer[..length]);
                self.at += length as u64;
                self.grow(length == buffer.len());
                Read::Some
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Read::Some,
            Err(error) => {
                tracing::warn!(stream = ?self.stream, %error, "a pipe could not be read");
                Read::End
            }
        }
    }

    fn grow(&mut self, full: bool) {
        self.full_reads = if full { self.full_reads + 1 } else { 0 };
        if self.full_reads == BUSY_READS && !self.busy {
            self.busy = resize(&self.pipe, true);
        }
    }
}
