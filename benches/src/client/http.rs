//! HTTP/1.1 over connections that stay, one request at a time on each.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// Some connections, driven by one thread.
#[derive(Debug)]
pub struct HttpClient {
    runtime: Runtime,
    connections: Vec<Connection>,
    request: &'static [u8],
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request to come at fixed times, whether or not the ones before were answered in time.
#[derive(Clone, Copy, Debug)]
pub struct OpenLoop {
    /// Requests a second, over all connections.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
}

/// A `POST /` of `body`.
#[must_use]
pub fn http_request(body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes()
}

impl HttpClient {
    /// Opens `connections` to `address`, which will all send `request`.
    ///
    /// # Errors
    /// When nobody listens there, or what answers is no HTTP.
    pub fn open(address: SocketAddr, connections: usize, request: Vec<u8>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // Clients live as long as the run; leaking their one request spares a count per send.
        let request: &'static [u8] = Vec::leak(request);
        let connections = runtime.block_on(async {
            let mut open = Vec::with_capacity(connections);
            for _ in 0..connections {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let mut connection = Connection { stream, buffer: Vec::with_capacity(64 << 10) };
                connection.exchange(request).await?;
                open.push(connection);
            }
            Ok::<_, io::Error>(open)
        })?;
        Ok(Self { runtime, connections, request })
    }

    /// The body of one answer.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn sample(&mut self) -> io::Result<Vec<u8>> {
        let Self { runtime, connections, request } = self;
        let (length, buffer) = runtime.block_on(async {
            let connection = connections.first_mut().ok_or(io::ErrorKind::NotConnected)?;
            let length = connection.exchange(request).await?;
            Ok::<_, io::Error>((length, connection.buffer.clone()))
        })?;
        Ok(buffer[buffer.len() - length..].to_vec())
    }

    /// Sends `each` requests on every connection, one after the other; returns how long it took.
    ///
    /// # Errors
    /// When a connection is lost or an answer is not of status 200.
    pub fn run(&mut self, each: usize) -> io::Result<Duration> {
        let began = Instant::now();
        let request = self.request;
        self.each(move |mut connection| async move {
            for _ in 0..each {
                connection.exchange(request).await?;
            }
            Ok((connection, ()))
        })?;
        Ok(began.elapsed())
    }

    /// Sends at a fixed rate and measures from when each request was due, so that a server that
    /// falls behind cannot hide it. The histogram is of nanoseconds.
    ///
    /// # Errors
    /// When a connection is lost.
    pub fn run_open(&mut self, open: OpenLoop) -> io::Result<Histogram<u64>> {
        let request = self.request;
        let between = Duration::from_secs_f64(self.connections.len() as f64 / open.rate);
        let histograms = self.each(move |mut connection| async move {
            let mut seen = Histogram::<u64>::new(3).map_err(io::Error::other)?;
            let began = Instant::now();
            let mut due = began;
            while due.duration_since(began) < open.duration {
                tokio::time::sleep_until(due.into()).await;
                connection.exchange(request).await?;
                let took = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
                seen.record(took).map_err(io::Error::other)?;
                due += between;
            }
            Ok((connection, seen))
        })?;
        let mut all = Histogram::<u64>::new(3).map_err(io::Error::other)?;
        for histogram in &histograms {
            all.add(histogram).map_err(io::Error::other)?;
        }
        Ok(all)
    }

    fn each<T, F>(&mut self, work: impl Fn(Connection) -> F) -> io::Result<Vec<T>>
    where
        T: Send + 'static,
        F: Future<Output = io::Result<(Connection, T)>> + Send + 'static,
    {
        let Self { runtime, connections, .. } = self;
        let mut results = Vec::with_capacity(connections.len());
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for connection in connections.drain(..) {
                tasks.spawn(work(connection));
            }
            while let Some(done) = tasks.join_next().await {
                let (connection, result) = done.map_err(io::Error::other)??;
                connections.push(connection);
                results.push(result);
            }
            Ok(results)
        })
    }
}

impl Connection {
    /// Sends one request and reads its answer, which then ends the buffer; returns the length of
    /// its body.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<usize> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((head, body)) = lengths(&self.buffer)?
                && self.buffer.len() >= head + body
            {
                return Ok(body);
            }
        }
    }
}

/// The lengths of the head and of the body that it announces, once the head is whole.
fn lengths(answer: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(None) };
    let head = &answer[..end];
    if !head.starts_with(b"HTTP/1.1 200") {
        let line = String::from_utf8_lossy(head.split(|b| *b == b'\r').next().unwrap_or(head));
        return Err(io::Error::other(format!("answered {line}")));
    }
    let announced = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        name.eq_ignore_ascii_case(b"content-length:").then_some(value)
    });
    let length = announced.and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
    let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
    Ok(Some((end + 4, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_announced_length_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx: y\r\n\r\nok";
        assert_eq!(lengths(answer).unwrap(), Some((answer.len() - 2, 2)));
        assert_eq!(lengths(&answer[..30]).unwrap(), None);
        assert!(lengths(b"HTTP/1.1 404 no\r\ncontent-length: 0\r\n\r\n").is_err());
    }
}
