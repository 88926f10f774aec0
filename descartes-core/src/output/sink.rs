//! Takes the output of one agent: cuts it, counts it, and has it journalled in order.
//!
//! Two small buffers decide the speed: what a runner gives while a commit is under way gathers
//! here and goes with the next one. A runner waits when too much is uncommitted, so a store that
//! cannot write blocks the agent (its pipe fills) and nobody else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::blocked::Blocked;
use super::chunker::{Chunk, Chunker, advance};
use super::observer::Observer;
use super::pace::Pace;
use crate::agent::AgentId;
use crate::chat::Link;
use crate::event::{EventBody, NewEvent, OutputChunk, StreamName, Topic};
use crate::journal::Journal;
use crate::limits::{
    OUTPUT_CHUNK_BYTES, OUTPUT_UNCOMMITTED_BYTES, PARTIAL_LINE_DELAY, STDERR_TAIL_BYTES,
};
use crate::store::format::{OutputMark, encode_mark};
use crate::store::{Batch, Key, Put, Space, StoreError};
use crate::time::Clock;

/// Bytes of one commit of one agent.
const COMMIT_BYTES: usize = 4 * OUTPUT_CHUNK_BYTES;

/// The output of one agent, through all its runs. Nothing is committed before it is opened.
pub(crate) struct OutputSink {
    agent: AgentId,
    topic: Topic,
    by: Arc<str>,
    journal: Journal,
    clock: Clock,
    state: Mutex<State>,
    /// Something was committed, or given up.
    moved: Notify,
    /// The run has written more than it may.
    over_limit: Notify,
    blocked: Blocked,
}

struct State {
    mark: OutputMark,
    chunkers: [Chunker; 2],
    /// Bytes of each stream that were taken in this run.
    taken: [u64; 2],
    pending: VecDeque<(OutputChunk, Bytes)>,
    pending_bytes: usize,
    committing: bool,
    timer: bool,
    closed: bool,
    stderr_tail: Vec<u8>,
    /// Where the tail ends in this run; what is told again of an adopted run fills it anew.
    tail_end: u64,
    observer: Option<Observer>,
    /// When an agent that somebody converses with is read on.
    pace: Pace,
    /// Bytes that the run may write.
    limit: Option<u64>,
}

impl OutputSink {
    pub(crate) fn new(
        agent: AgentId,
        mark: OutputMark,
        (journal, clock): (Journal, Clock),
        observer: Option<Observer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            agent,
            topic: Topic::agent_output(agent),
            by: agent.to_string().into(),
            journal,
            clock,
            state: Mutex::new(State {
                mark,
                chunkers: Default::default(),
                taken: [0; 2],
                pending: VecDeque::new(),
                pending_bytes: 0,
                committing: true,
                timer: false,
                closed: false,
                stderr_tail: Vec::new(),
                tail_end: 0,
                observer,
                pace: Pace::default(),
                limit: None,
            }),
            moved: Notify::new(),
            over_limit: Notify::new(),
            blocked: Blocked::default(),
        })
    }

    /// Begins run `run`: offsets of the runner begin at zero again.
    pub(crate) fn begin_run(&self, run: u32, limit: Option<u64>) {
        let mut state = self.lock();
        state.taken = [0; 2];
        state.limit = limit;
        state.stderr_tail.clear();
        state.tail_end = 0;
        let extent = state.mark.extent;
        state.mark.run = run;
        state.mark.run_began = [extent.stdout.bytes, extent.stderr.bytes];
    }

    /// Goes on with run `run`: offsets of the runner go on where the journal ends. A run that the
    /// mark does not know yet has written nothing that is journalled.
    pub(crate) fn resume_run(&self, run: u32, limit: Option<u64>) {
        if self.lock().mark.run != run {
            return self.begin_run(run, limit);
        }
        let mut state = self.lock();
        let (extent, began) = (state.mark.extent, state.mark.run_began);
        let written = [extent.stdout.bytes, extent.stderr.bytes];
        state.taken = [0, 1].map(|stream| written[stream].saturating_sub(began[stream]));
        state.limit = limit;
    }

    /// Takes what `stream` wrote at offset `at` of this run, and waits for room.
    pub(crate) async fn output(self: &Arc<Self>, stream: StreamName, at: u64, bytes: &[u8]) {
        self.take(stream, at, bytes);
        if let Some(due) = self.pause() {
            tokio::time::sleep_until(due).await;
        }
        self.room().await;
    }

    /// Until when the agent, which streams words, is best left alone; asked once for each time that
    /// something was taken.
    pub(crate) fn pause(&self) -> Option<Instant> {
        self.lock().pace.due()
    }

    /// Waits until not too much is uncommitted.
    pub(crate) async fn room(&self) {
        loop {
            let moved = self.moved.notified();
            let link = {
                let state = self.lock();
                if state.closed {
                    return;
                }
                let link = state.observer.as_ref().and_then(Observer::link);
                if state.pending_bytes <= OUTPUT_UNCOMMITTED_BYTES {
                    match link {
                        Some(link) => Some(Arc::clone(link)),
                        None => return,
                    }
                } else {
                    None
                }
            };
            match link {
                Some(link) => return self.blocked.during(&self.journal, link.room()).await,
                None => self.blocked.during(&self.journal, moved).await,
            }
        }
    }

    /// Bytes of `stream` that were taken in this run.
    pub(crate) fn taken(&self, stream: StreamName) -> u64 {
        self.lock().taken[index(stream)]
    }

    /// Lets commits begin: an agent's output is never visible before the agent.
    pub(crate) fn open(self: &Arc<Self>) {
        let mut state = self.lock();
        state.committing = false;
        self.commit_soon(&mut state);
    }

    /// Waits until the run has written more than it may; at once when it has.
    pub(crate) async fn over_limit(&self) {
        self.over_limit.notified().await;
    }

    /// No more comes in this run: what waits for the end of its line is given up as it is.
    pub(crate) fn finish(self: &Arc<Self>) {
        let mut state = self.lock();
        for stream in StreamName::ALL {
            state.flush(stream);
        }
        if let Some(observer) = &mut state.observer {
            observer.finish();
        }
        self.commit_soon(&mut state);
    }

    /// Waits until everything taken is committed; returns whether that happened before the store
    /// turned out not to work.
    pub(crate) async fn drained(&self) -> bool {
        let mut trouble = self.journal.watch_trouble();
        loop {
            let moved = self.moved.notified();
            {
                let state = self.lock();
                if state.pending.is_empty() && !state.committing {
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            if trouble.borrow_and_update().is_some() {
                return false;
            }
            tokio::select! {
                () = moved => {}
                changed = trouble.changed() => if changed.is_err() { return false },
            }
        }
    }

    /// The last bytes of standard error of this run.
    pub(crate) fn stderr_tail(&self) -> Bytes {
        Bytes::copy_from_slice(&self.lock().stderr_tail)
    }

    /// Looks at what is written from now on through the agent's dialect, where it has one.
    pub(crate) fn observe<T>(&self, look: impl FnOnce(&mut Observer) -> T) -> Option<T> {
        self.lock().observer.as_mut().map(look)
    }

    /// Shows what is written from now on to the conversation behind `link`.
    pub(crate) fn converse(&self, link: Arc<Link>) {
        self.lock().observer = Some(Observer::conversation(link));
    }

    /// Takes what `stream` wrote at offset `at` of this run.
    pub(crate) fn take(self: &Arc<Self>, stream: StreamName, at: u64, bytes: &[u8]) {
        let mut state = self.lock();
        if stream == StreamName::Stderr {
            state.keep_tail(at, bytes);
        }
        if at > state.taken[index(stream)] {
            // What waits for the end of its line stands before the hole.
            state.flush(stream);
        }
        let bytes = state.fresh(stream, at, bytes);
        if bytes.is_empty() || state.closed {
            return;
        }
        if let Some(observer) = &mut state.observer {
            observer.look(stream, bytes, || self.journal.head());
            if observer.link().is_some() {
                state.pace.read(Instant::now(), bytes.len());
            }
        }
        state.push(stream, bytes);
        let written: u64 = state.taken.iter().sum();
        if state.limit.take_if(|limit| written > *limit).is_some() {
            self.over_limit.notify_one();
        }
        if state.chunkers.iter().any(|chunker| chunker.waiting() > 0) && !state.timer {
            state.timer = true;
            tokio::spawn(flush_after(Arc::clone(self), PARTIAL_LINE_DELAY));
        }
        self.commit_soon(&mut state);
    }

    fn commit_soon(self: &Arc<Self>, state: &mut State) {
        if !state.committing && !state.pending.is_empty() {
            state.committing = true;
            tokio::spawn(commit_pending(Arc::clone(self)));
        }
    }

    /// The next commit, or none when nothing is pending; then nobody is committing any more.
    fn next_batch(&self) -> Option<(Batch, usize)> {
        let mut state = self.lock();
        let mut batch = Batch::output();
        let mut taken = 0;
        let now = self.clock.now();
        let mut end = None;
        for (chunk, bytes) in &state.pending {
            if taken > 0 && taken + bytes.len() > COMMIT_BYTES {
                break;
            }
            taken += bytes.len();
            let body = EventBody::AgentOutput(*chunk);
            let event = NewEvent::new(self.topic.clone(), Arc::clone(&self.by), now, &body);
            batch.events.push(event.with_payload(bytes.clone()));
            end = Some((*chunk, bytes.clone()));
        }
        let Some((last, bytes)) = end else {
            state.committing = false;
            drop(state);
            self.moved.notify_waiters();
            return None;
        };
        let mut mark = OutputMark { extent: last.before, ..state.mark.clone() };
        mark.extent.rows += advance(mark.extent.of_mut(last.stream), &bytes);
        let key = Key::new(Space::OUTPUT, Arc::clone(&self.by));
        let count = batch.events.len();
        Some((batch.put(Put::new(key, Arc::clone(&self.by), encode_mark(&mark))), count))
    }

    fn committed(&self, events: usize) {
        let mut state = self.lock();
        for _ in 0..events {
            if let Some((_, bytes)) = state.pending.pop_front() {
                state.pending_bytes -= bytes.len();
            }
        }
        drop(state);
        self.moved.notify_waiters();
    }

    /// Nothing can be journalled any more.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.committing = false;
        state.pending.clear();
        state.pending_bytes = 0;
        drop(state);
        self.moved.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps the end of what was written to standard error.
    fn keep_tail(&mut self, at: u64, bytes: &[u8]) {
        let known = usize::try_from(self.tail_end.saturating_sub(at)).unwrap_or(usize::MAX);
        let fresh = bytes.get(known..).unwrap_or_default();
        if !fresh.is_empty() {
            self.tail_end = at.max(self.tail_end) + fresh.len() as u64;
            keep_tail(&mut self.stderr_tail, fresh);
        }
    }

    /// The part of `bytes` that was not taken before. A hole is skipped: the stream's own offsets
    /// show it.
    fn fresh<'a>(&mut self, stream: StreamName, at: u64, bytes: &'a [u8]) -> &'a [u8] {
        let taken = &mut self.taken[index(stream)];
        let known = usize::try_from(taken.saturating_sub(at)).unwrap_or(usize::MAX);
        let fresh = bytes.get(known..).unwrap_or_default();
        if fresh.is_empty() {
            return fresh;
        }
        if at > *taken {
            self.mark.extent.of_mut(stream).bytes += at - *taken;
        }
        *taken = at.max(*taken) + fresh.len() as u64;
        fresh
    }

    fn push(&mut self, stream: StreamName, bytes: &[u8]) {
        let mut chunker = std::mem::take(&mut self.chunkers[index(stream)]);
        chunker.push(bytes, |chunk| self.queue(stream, chunk));
        self.chunkers[index(stream)] = chunker;
    }

    fn flush(&mut self, stream: StreamName) {
        if let Some(chunk) = self.chunkers[index(stream)].flush() {
            self.queue(stream, chunk);
        }
    }

    fn queue(&mut self, stream: StreamName, chunk: Chunk) {
        let mut place = OutputChunk::new(stream, self.mark.run, self.mark.extent);
        place.lines = chunk.lines;
        place.partial = chunk.partial;
        let extent = &mut self.mark.extent;
        extent.rows += advance(extent.of_mut(stream), &chunk.bytes);
        self.pending_bytes += chunk.bytes.len();
        self.pending.push_back((place, chunk.bytes));
    }
}

/// Commits until nothing is pending. There is at most one of these for an agent.
async fn commit_pending(sink: Arc<OutputSink>) {
    while let Some((batch, events)) = sink.next_batch() {
        match sink.journal.commit(batch).await {
            Ok(_) => sink.committed(events),
            Err(StoreError::Closed) => return sink.give_up(),
            Err(error) => {
                tracing::debug!(agent_id = %sink.agent, %error, "output waits for the store");
                tokio::time::sleep(Duration::from_millis(10)).await;
                sink.journal.works().await;
            }
        }
    }
}

/// Gives up unfinished lines as partial ones when they have waited long enough.
async fn flush_after(sink: Arc<OutputSink>, delay: Duration) {
    tokio::time::sleep(delay).await;
    let mut state = sink.lock();
    state.timer = false;
    for stream in StreamName::ALL {
        state.flush(stream);
    }
    sink.commit_soon(&mut state);
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    let fresh = &bytes[bytes.len().saturating_sub(STDERR_TAIL_BYTES)..];
    let excess = (tail.len() + fresh.len()).saturating_sub(STDERR_TAIL_BYTES);
    tail.drain(..excess.min(tail.len()));
    tail.extend_from_slice(fresh);
}

fn index(stream: StreamName) -> usize {
    match stream {
        StreamName::Stdout => 0,
        StreamName::Stderr => 1,
    }
}

impl std::fmt::Debug for OutputSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutputSink").field("agent", &self.agent).finish_non_exhaustive()
    }
}
