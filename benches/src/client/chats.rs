//! Whoever follows a conversation, and when its pieces arrive: through the daemon, and straight
//! from the agent's pipe.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::talker::{Stream, now};

/// One chat of the daemon, followed over a connection of its own.
#[derive(Debug)]
pub struct ChatClient {
    stream: BufReader<UnixStream>,
    session: Value,
    calls: u64,
}

impl ChatClient {
    /// Makes a chat at `path` and follows it.
    ///
    /// # Errors
    /// When that is refused.
    pub fn open(path: &Path) -> io::Result<Self> {
        let stream = BufReader::new(UnixStream::connect(path)?);
        let mut client = Self { stream, session: Value::Null, calls: 0 };
        let created = client.call("chat.create", &json!({"backend": "talker"}))?;
        client.session = created["session_id"].clone();
        let follow = json!({"topics": [created["topic"]], "after": created["cursor"]});
        client.call("event.subscribe", &follow)?;
        Ok(client)
    }

    /// Asks for `stream`; for each piece, the nanoseconds from its writing to its arrival.
    ///
    /// # Errors
    /// When the turn does not succeed.
    pub fn turn(&mut self, stream: Stream) -> io::Result<Vec<u64>> {
        let prompt = json!({"session_id": self.session, "prompt": stream.prompt()});
        self.send("chat.prompt", &prompt)?;
        let mut took = Vec::new();
        loop {
            let (message, arrived) = self.message()?;
            let chunk = &message["params"]["event"]["data"];
            match chunk["type"].as_str() {
                Some("text") => took.push(since(&chunk["content"], arrived)?),
                Some("turn_complete") if chunk["outcome"] == "completed" => return Ok(took),
                Some("turn_complete") => return Err(io::Error::other(message.to_string())),
                _ if message.get("error").is_some() => {
                    return Err(io::Error::other(message.to_string()));
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, method: &str, params: &Value) -> io::Result<()> {
        self.calls += 1;
        let call = json!({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params});
        self.stream.get_mut().write_all(format!("{call}\n").as_bytes())
    }

    fn call(&mut self, method: &str, params: &Value) -> io::Result<Value> {
        self.send(method, params)?;
        loop {
            let (mut message, _) = self.message()?;
            if message["id"] == self.calls {
                let result = message["result"].take();
                let error = || io::Error::other(message.to_string());
                return if result.is_null() { Err(error()) } else { Ok(result) };
            }
        }
    }

    /// The next message, and when it was there.
    fn message(&mut self) -> io::Result<(Value, u64)> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let arrived = now();
        Ok((serde_json::from_str(&line)?, arrived))
    }
}

fn since(stamp: &Value, arrived: u64) -> io::Result<u64> {
    let written = stamp.as_str().and_then(|text| text.parse::<u64>().ok());
    let written = written.ok_or_else(|| io::Error::other(format!("no time: {stamp}")))?;
    Ok(arrived.saturating_sub(written))
}

/// The same agent with nothing between. Ends when it is dropped.
#[derive(Debug)]
pub struct Piped {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Piped {
    /// Starts `program talk`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn open(program: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["talk", "--chat", "--session", "piped"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// As [`ChatClient::turn`].
    ///
    /// # Errors
    /// When the agent is gone.
    pub fn turn(&mut self, stream: Stream) -> io::Result<Vec<u64>> {
        writeln!(self.stdin, "prompt {}", stream.prompt())?;
        let (mut took, mut line) = (Vec::new(), String::new());
        while line != "done\n" {
            line.clear();
            if self.stdout.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let arrived = now();
            if let Some(stamp) = line.trim_end().strip_prefix("text ") {
                took.push(since(&stamp.into(), arrived)?);
            }
        }
        Ok(took)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
