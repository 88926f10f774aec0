//! What joins an agent's runs and the conversation with it.
//!
//! The agent's supervisor tells of its runs here, the output sink of its lines; the conversation
//! takes both in their order. What it has not taken yet is bounded: beyond that the agent's pipes
//! are not read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::SessionMaker;
use crate::agent::Activity;
use crate::cursor::Cursor;
use crate::dialect::{Dialect, LaunchWords, SessionSpec};
use crate::event::StreamName;
use crate::limits::CONVERSATION_UNHEARD_BYTES;
use crate::recording::Start;

/// Something that the conversation has to hear of.
pub(crate) enum Heard {
    /// A run is about to begin; this is how to talk to it.
    Begins { dialect: Box<dyn Dialect>, start: Start, words: LaunchWords },
    /// It can be written to.
    Opened,
    /// It could not be started.
    NotStarted,
    /// It wrote a line (without its newline).
    Line { stream: StreamName, bytes: Vec<u8> },
    /// It wrote a line too long to be shown, which the journal has behind `began`.
    Oversize { stream: StreamName, bytes: u64, began: Option<Cursor> },
    /// It has ended, and everything it wrote was heard; `killed` if somebody wanted that.
    Ended { code: Option<i32>, signal: Option<i32>, killed: bool },
}

impl Heard {
    fn weight(&self) -> usize {
        match self {
            Self::Line { bytes, .. } => bytes.len() + 64,
            _ => 64,
        }
    }
}

/// What joins an agent's runs and the conversation with it.
pub(crate) struct Link {
    state: Mutex<State>,
    news: Notify,
    /// The conversation has taken something, or will take nothing more.
    moved: Notify,
}

struct State {
    session: SessionSpec,
    maker: SessionMaker,
    heard: VecDeque<Heard>,
    bytes: usize,
    deaf: bool,
    activity: Option<watch::Sender<Option<Activity>>>,
}

impl Link {
    pub(crate) fn new(session: SessionSpec, maker: SessionMaker) -> Arc<Self> {
        let state =
            State { session, maker, heard: VecDeque::new(), bytes: 0, deaf: false, activity: None };
        Arc::new(Self { state: Mutex::new(state), news: Notify::new(), moved: Notify::new() })
    }

    /// What run `run` has to be started with. From here on the conversation expects it.
    pub(crate) fn begin_run(&self, run: u32) -> LaunchWords {
        let mut words = LaunchWords::default();
        let mut state = self.lock();
        if state.session.native.is_none() {
            // Some programs refuse a name that was used, also if nothing came of it.
            state.session.fresh = Uuid::now_v7();
        }
        let mut dialect = (state.maker)(run);
        dialect.launch(&state.session, &mut words);
        let SessionSpec { fresh, native, cwd, .. } = state.session.clone();
        drop(state);
        let start = Start { fresh, native, cwd, args: words.args.clone() };
        self.tell(Heard::Begins { dialect, start, words: words.clone() });
        words
    }

    /// Where to say what the agent is busy with, in the run that is under way.
    pub(crate) fn show_activity_at(&self, activity: watch::Sender<Option<Activity>>) {
        self.lock().activity = Some(activity);
    }

    /// What the agent is busy with now.
    pub(crate) fn activity(&self, activity: Option<Activity>) {
        if let Some(shown) = &self.lock().activity {
            shown.send_if_modified(|known| std::mem::replace(known, activity) != activity);
        }
    }

    /// The program's own name of the conversation, for the next run.
    pub(crate) fn resume_as(&self, native: Arc<str>) {
        self.lock().session.native = Some(native);
    }

    pub(crate) fn tell(&self, heard: Heard) {
        let mut state = self.lock();
        if !state.deaf {
            state.bytes += heard.weight();
            state.heard.push_back(heard);
        }
        drop(state);
        self.news.notify_one();
    }

    /// Waits until more may be said to the conversation.
    pub(crate) async fn room(&self) {
        loop {
            let moved = self.moved.notified();
            {
                let state = self.lock();
                if state.deaf || state.bytes <= CONVERSATION_UNHEARD_BYTES {
                    return;
                }
            }
            moved.await;
        }
    }

    /// The next thing to hear, if there is one.
    pub(crate) fn take(&self) -> Option<Heard> {
        let mut state = self.lock();
        let heard = state.heard.pop_front()?;
        state.bytes -= heard.weight();
        let room = state.bytes <= CONVERSATION_UNHEARD_BYTES;
        drop(state);
        if room {
            self.moved.notify_waiters();
        }
        Some(heard)
    }

    /// Whether there is nothing to hear.
    pub(crate) fn is_silent(&self) -> bool {
        self.lock().heard.is_empty()
    }

    /// Waits until there is something to hear. Cancel-safe.
    pub(crate) async fn news(&self) {
        loop {
            let news = self.news.notified();
            if !self.is_silent() {
                return;
            }
            news.await;
        }
    }

    /// Nobody listens any more: the agent is never held up for it.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.deaf = true;
        state.heard.clear();
        state.bytes = 0;
        drop(state);
        self.moved.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
