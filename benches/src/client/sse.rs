//! Many readers of an event stream, counted and not looked at.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Readers that count events as long as they live.
#[derive(Debug)]
pub struct SseClients {
    seen: Arc<Seen>,
    streams: Vec<TcpStream>,
}

#[derive(Debug, Default)]
struct Seen {
    events: AtomicU64,
    bytes: AtomicU64,
}

/// What every frame of an event has, and has once.
const MARK: &[u8] = b"\nid: ";

impl SseClients {
    /// Opens `count` streams of `path` at `address`, all read by one thread.
    ///
    /// # Errors
    /// When the server refuses one.
    pub fn open(address: SocketAddr, path: &str, count: usize) -> io::Result<Self> {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n");
        let seen = Arc::new(Seen::default());
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(request.as_bytes())?;
            let mut status = [0; 12];
            stream.read_exact(&mut status)?;
            if !status.ends_with(b"200") {
                let status = String::from_utf8_lossy(&status).into_owned();
                return Err(io::Error::other(format!("answered {status}")));
            }
            streams.push(stream);
        }
        let clones = streams.iter().map(TcpStream::try_clone).collect::<io::Result<Vec<_>>>()?;
        let counter = Arc::clone(&seen);
        std::thread::spawn(move || read_all(clones, &counter));
        Ok(Self { seen, streams })
    }

    /// Events and bytes that all of them have got so far.
    #[must_use]
    pub fn seen(&self) -> (u64, u64) {
        (self.seen.events.load(Ordering::Relaxed), self.seen.bytes.load(Ordering::Relaxed))
    }
}

impl Drop for SseClients {
    fn drop(&mut self) {
        for stream in &self.streams {
            // Gone already is as good.
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }
}

/// Reads every stream in turn; each has something soon, as all are sent the same.
fn read_all(mut streams: Vec<TcpStream>, seen: &Seen) {
    let mut buffer = vec![0; 256 << 10];
    // The end of the last read, which may be the beginning of a mark.
    let mut ends = vec![Vec::new(); streams.len()];
    loop {
        for (stream, end) in streams.iter_mut().zip(&mut ends) {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let found = count(end, &buffer[..read]);
                    seen.events.fetch_add(found, Ordering::Relaxed);
                    seen.bytes.fetch_add(read as u64, Ordering::Relaxed);
                }
            }
        }
    }
}

/// How many marks `fresh` completes; keeps in `end` what the next call needs.
fn count(end: &mut Vec<u8>, fresh: &[u8]) -> u64 {
    let head = &fresh[..fresh.len().min(MARK.len() - 1)];
    let carried = end.len();
    end.extend_from_slice(head);
    let across = memchr::memmem::find_iter(end, MARK).count();
    let inside = memchr::memmem::find_iter(fresh, MARK).count();
    // A mark wholly in the head was counted twice, unless it began before it.
    let twice = memchr::memmem::find_iter(&end[carried..], MARK).count();
    let keep = MARK.len() - 1;
    if fresh.len() >= keep {
        end.clear();
        end.extend_from_slice(&fresh[fresh.len() - keep..]);
    } else {
        end.drain(..end.len().saturating_sub(keep));
    }
    (across + inside - twice) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_once_however_reads_cut_them() {
        let text = b"x\nid: 1\ndata: a\n\nid: 2\nid: 3\nid: \nid";
        for piece in 1..text.len() {
            let mut end = Vec::new();
            let found: u64 = text.chunks(piece).map(|part| count(&mut end, part)).sum();
            assert_eq!(found, 4, "in pieces of {piece}");
        }
    }
}
