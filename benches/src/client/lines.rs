//! Lines over a Unix socket, many in flight, from a blocking thread.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// One connection that sends requests by the window and waits for all answers of it.
#[derive(Debug)]
pub struct LinesClient {
    stream: UnixStream,
    window: usize,
    requests: Vec<u8>,
    buffer: Vec<u8>,
}

impl LinesClient {
    /// Connects to `path`; every window is `window` times `request`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(path: &Path, window: usize, request: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        let requests = format!("{request}\n").repeat(window).into_bytes();
        Ok(Self { stream, window, requests, buffer: vec![0; 64 << 10] })
    }

    /// Sends `windows` windows, one after the other; returns how long it took.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn run(&mut self, windows: usize) -> io::Result<Duration> {
        let began = Instant::now();
        for _ in 0..windows {
            self.stream.write_all(&self.requests)?;
            let mut answers = 0;
            while answers < self.window {
                let read = self.stream.read(&mut self.buffer)?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                answers += memchr::memchr_iter(b'\n', &self.buffer[..read]).count();
            }
        }
        Ok(began.elapsed())
    }
}
