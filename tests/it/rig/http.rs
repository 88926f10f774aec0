//! A plain HTTP/1.1 client that can also send what no client should.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::{Caller, PATIENCE, outcome};

/// One connection.
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
    next_id: u64,
}

/// One response, whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.text()))
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

impl Http {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the daemon accepts"))
    }

    /// Over a connection that there is.
    #[track_caller]
    pub(crate) fn over(stream: TcpStream) -> Self {
        let address = stream.peer_addr().expect("it is connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        stream.set_nodelay(true).expect("a socket takes an option");
        Self { stream: BufReader::new(stream), address, next_id: 1 }
    }

    /// Bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).expect("an open socket");
    }

    /// The next response; an error if the connection ends before it is whole.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let (status, headers) = self.head()?;
        self.rest(status, headers)
    }

    /// The response whose head was read.
    pub(crate) fn rest(
        &mut self,
        status: u16,
        headers: Vec<(String, String)>,
    ) -> io::Result<Reply> {
        let mut body = Vec::new();
        if header(&headers, "transfer-encoding") == Some("chunked") {
            Chunked { inner: &mut self.stream, left: 0, ended: false }.read_to_end(&mut body)?;
        } else if let Some(length) = header(&headers, "content-length") {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            self.stream.read_exact(&mut body)?;
        } else if status != 204 {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(Reply { status, headers, body })
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    /// Calls a method under its own path.
    #[track_caller]
    pub(crate) fn bare(&mut self, method: &str, params: &Value) -> Reply {
        let json = [("Content-Type", "application/json")];
        self.request("POST", &format!("/rpc/{method}"), &json, params.to_string().as_bytes())
    }

    #[track_caller]
    pub(crate) fn post(&mut self, body: &[u8]) -> Reply {
        self.request("POST", "/", &[("Content-Type", "application/json")], body)
    }

    /// A well-formed request with `headers`; `Host` is set unless given.
    #[track_caller]
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let bytes = self.format(method, path, headers, body);
        self.send(&bytes).expect("the daemon reads");
        self.reply().expect("the daemon answers")
    }

    pub(crate) fn format(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }

    /// Opens an event stream.
    #[track_caller]
    pub(crate) fn events(self, path: &str, headers: &[(&str, &str)]) -> Events {
        self.stream_of("GET", path, headers, b"")
    }

    /// Opens an answer that comes in pieces.
    #[track_caller]
    pub(crate) fn opened(self, path: &str) -> Box<dyn Read + Send> {
        let opened = self.try_open(path, &[]);
        opened.unwrap_or_else(|reply| panic!("{} {}", reply.status, reply.text()))
    }

    /// The same, or what it was refused with.
    #[track_caller]
    pub(crate) fn try_open(
        mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Box<dyn Read + Send>, Reply> {
        let bytes = self.format("GET", path, headers, b"");
        self.send(&bytes).expect("the daemon reads");
        let (status, headers) = self.head().expect("the daemon answers");
        if status == 200 && header(&headers, "transfer-encoding") == Some("chunked") {
            return Ok(Box::new(Chunked { inner: self.stream, left: 0, ended: false }));
        }
        let reply = self.rest(status, headers).expect("the daemon answers");
        if status == 200 { Ok(Box::new(io::Cursor::new(reply.body))) } else { Err(reply) }
    }

    /// Opens an event stream, or gives what it was refused with.
    #[track_caller]
    pub(crate) fn try_events(self, path: &str, headers: &[(&str, &str)]) -> Result<Events, Reply> {
        self.try_open(path, headers).map(|body| Events { body: BufReader::new(body) })
    }

    /// Sends a request whose answer is an event stream.
    #[track_caller]
    pub(crate) fn stream_of(
        mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Events {
        let bytes = self.format(method, path, headers, body);
        self.send(&bytes).expect("the daemon reads");
        let (status, headers) = self.head().expect("the daemon answers");
        assert_eq!(status, 200, "{headers:?}");
        assert_eq!(header(&headers, "content-type"), Some("text/event-stream"));
        let body = Chunked { inner: self.stream, left: 0, ended: false };
        Events { body: BufReader::new(Box::new(body)) }
    }

    /// What carries it, to be read in another language.
    pub(crate) fn stream(&mut self) -> &mut impl Read {
        &mut self.stream
    }

    /// The head of the next response.
    pub(crate) fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let first = line(&mut self.stream)?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("status line {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let text = line(&mut self.stream)?;
            if text.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = text.split_once(':').unwrap_or((&text, ""));
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

impl Caller for Http {
    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let reply = self.post(request.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{method}: {}", reply.text());
        let response = reply.json();
        assert_eq!(response["id"], id);
        outcome(&response)
    }
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    if stream.read_line(&mut text)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text.trim_end().to_owned())
}

/// The content of a chunked body.
struct Chunked<R> {
    inner: R,
    left: usize,
    ended: bool,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            let size = line(&mut self.inner)?;
            self.left = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
            self.ended = self.left == 0;
            if self.ended {
                line(&mut self.inner)?;
            }
        }
        if self.ended {
            return Ok(0);
        }
        let wanted = buffer.len().min(self.left);
        let read = self.inner.read(&mut buffer[..wanted])?;
        self.left -= read;
        if self.left == 0 {
            line(&mut self.inner)?;
        }
        Ok(read)
    }
}

/// A stream of server-sent events.
pub(crate) struct Events {
    body: BufReader<Box<dyn Read + Send>>,
}

/// One of them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct SentEvent {
    pub(crate) event: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

impl SentEvent {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

impl Iterator for Events {
    type Item = SentEvent;

    /// The next event that carries data; `None` once the stream has ended.
    fn next(&mut self) -> Option<SentEvent> {
        let mut event = SentEvent::default();
        loop {
            let text = line(&mut self.body).ok()?;
            match text.split_once(": ") {
                Some(("event", value)) => event.event = Some(value.to_owned()),
                Some(("id", value)) => event.id = Some(value.to_owned()),
                Some(("data", value)) => event.data += value,
                None if text.is_empty() && !event.data.is_empty() => return Some(event),
                _ => {}
            }
        }
    }
}
