//! What waits to be read by a child.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::limits::STDIN_QUEUE_BYTES;
use crate::runner::StdinError;

/// A bounded queue in front of a pipe. A task moves it, only while there is something to move.
#[derive(Debug)]
pub(super) struct Stdin(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Ours while nobody is writing.
    pipe: Option<pipe::Sender>,
    writer: Option<JoinHandle<()>>,
    /// No more is taken; the pipe is closed when the queue is empty.
    closing: bool,
}

impl Stdin {
    /// Without a pipe it is closed from the start.
    pub(super) fn new(pipe: Option<pipe::Sender>) -> Self {
        let closing = pipe.is_none();
        Self(Arc::new(Mutex::new(State { pipe, closing, ..State::default() })))
    }

    /// Queues `bytes`, and the end of file behind them when `close`.
    pub(super) fn push(&self, bytes: Bytes, close: bool) -> Result<(), StdinError> {
        let mut state = lock(&self.0);
        if state.closing {
            return Err(StdinError::Closed);
        }
        // One write that is larger than the whole bound could never be taken: it is refused too.
        if state.bytes + bytes.len() > STDIN_QUEUE_BYTES {
            return Err(StdinError::Full { queued: state.bytes, max: STDIN_QUEUE_BYTES });
        }
        state.bytes += bytes.len();
        if !bytes.is_empty() {
            state.queue.push_back(bytes);
        }
        state.closing = close;
        if let Some(pipe) = state.pipe.take() {
            state.writer = Some(tokio::spawn(write(Arc::clone(&self.0), pipe).in_current_span()));
        }
        Ok(())
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.closing = true;
        state.pipe = None;
        if let Some(writer) = state.writer.take() {
            writer.abort();
        }
    }
}

/// Moves the queue into the pipe until it is empty or nobody reads any more.
async fn write(shared: Arc<Mutex<State>>, pipe: pipe::Sender) {
    loop {
        let front = {
            let mut state = lock(&shared);
            match state.queue.front().cloned() {
                Some(front) => front,
                None => {
                    if !state.closing {
                        state.pipe = Some(pipe);
                    }
                    return;
                }
            }
        };
        match write_some(&pipe, &front).await {
            Ok(length) => {
                let mut state = lock(&shared);
                state.bytes -= length;
                match state.queue.front_mut() {
                    Some(front) if front.len() > length => front.advance(length),
                    _ => drop(state.queue.pop_front()),
                }
            }
            Err(error) => {
                tracing::debug!(%error, "nobody reads standard input any more");
                let mut state = lock(&shared);
                state.closing = true;
                state.queue.clear();
                state.bytes = 0;
                return;
            }
        }
    }
}

async fn write_some(pipe: &pipe::Sender, bytes: &[u8]) -> io::Result<usize> {
    loop {
        pipe.writable().await?;
        match pipe.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
