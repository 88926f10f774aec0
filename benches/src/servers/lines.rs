//! The floor of a Unix socket: the same JSON work, and no more system calls than reads.

use std::io;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::Health;

#[derive(Deserialize)]
struct Call<'a> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: Health,
}

pub(super) async fn serve() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("lines.sock");
    let listener = UnixListener::bind(&path)?;
    super::listening(path.display())?;
    tokio::spawn(async move {
        let _folder = folder;
        let began = Instant::now();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, began));
        }
    });
    Ok(())
}

async fn converse(mut stream: UnixStream, began: Instant) -> io::Result<()> {
    let (mut input, mut output) = (BytesMut::with_capacity(64 << 10), Vec::new());
    loop {
        input.reserve(16 << 10);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let Some(end) = memchr::memrchr(b'\n', &input) else { continue };
        output.clear();
        let mut begin = 0;
        for line_end in memchr::memchr_iter(b'\n', &input[..=end]) {
            answer(&input[begin..line_end], began, &mut output)?;
            begin = line_end + 1;
        }
        input.advance(begin);
        stream.write_all(&output).await?;
    }
}

fn answer(line: &[u8], began: Instant, output: &mut Vec<u8>) -> io::Result<()> {
    let call: Call<'_> = serde_json::from_slice(line)?;
    if call.jsonrpc != "2.0" || call.method != "system.health" || call.params.is_some() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let answer = Answer { jsonrpc: "2.0", id: call.id, result: Health::since(began) };
    serde_json::to_writer(&mut *output, &answer)?;
    output.push(b'\n');
    Ok(())
}
