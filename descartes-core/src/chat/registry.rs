//! The chats and the open approvals of a host, in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::conversation::Command;
use super::link::Link;
use super::{ChatId, ChatRecord};
use crate::agent::AgentId;
use crate::approval::{Approval, ApprovalId};

/// All chats that are kept.
#[derive(Default)]
pub(crate) struct Chats(Mutex<State>);

#[derive(Default)]
struct State {
    all: BTreeMap<ChatId, Entry>,
    by_agent: HashMap<AgentId, ChatId>,
    pending: BTreeMap<ApprovalId, Arc<Approval>>,
}

struct Entry {
    changes: watch::Sender<Arc<ChatRecord>>,
    link: Option<Arc<Link>>,
    commands: Option<mpsc::Sender<Command>>,
}

impl Chats {
    /// Adds a chat that nobody has seen before.
    pub(crate) fn add(&self, record: ChatRecord) {
        let mut state = self.lock();
        state.by_agent.insert(record.agent, record.id);
        let changes = watch::Sender::new(Arc::new(record));
        let id = changes.borrow().id;
        state.all.insert(id, Entry { changes, link: None, commands: None });
    }

    /// Replaces a record and tells those who watch it.
    pub(crate) fn update(&self, record: ChatRecord) {
        let state = self.lock();
        if let Some(entry) = state.all.get(&record.id) {
            entry.changes.send_replace(Arc::new(record));
        }
    }

    /// Forgets a chat.
    pub(crate) fn remove(&self, id: ChatId) {
        let mut state = self.lock();
        if let Some(entry) = state.all.remove(&id) {
            let agent = entry.changes.borrow().agent;
            state.by_agent.remove(&agent);
        }
    }

    pub(crate) fn get(&self, id: ChatId) -> Option<Arc<ChatRecord>> {
        self.lock().all.get(&id).map(|entry| Arc::clone(&entry.changes.borrow()))
    }

    /// The chat whose agent this is.
    pub(crate) fn of_agent(&self, agent: AgentId) -> Option<ChatId> {
        self.lock().by_agent.get(&agent).copied()
    }

    /// Follows the record of a chat.
    pub(crate) fn watch(&self, id: ChatId) -> Option<watch::Receiver<Arc<ChatRecord>>> {
        self.lock().all.get(&id).map(|entry| entry.changes.subscribe())
    }

    /// Every record, in order of creation.
    pub(crate) fn all(&self) -> Vec<Arc<ChatRecord>> {
        self.lock().all.values().map(|entry| Arc::clone(&entry.changes.borrow())).collect()
    }

    /// What joins the runs of `agent` and its conversation.
    pub(crate) fn link_of(&self, agent: AgentId) -> Option<Arc<Link>> {
        let state = self.lock();
        let id = state.by_agent.get(&agent)?;
        state.all.get(id)?.link.clone()
    }

    /// Where commands for `id` go: to the conversation that works, or to one that `begin` makes.
    /// None when there is no such chat.
    pub(crate) fn commands(
        &self,
        id: ChatId,
        begin: impl FnOnce(Arc<ChatRecord>, mpsc::Receiver<Command>) -> Arc<Link>,
    ) -> Option<mpsc::Sender<Command>> {
        let mut state = self.lock();
        let entry = state.all.get_mut(&id)?;
        if let Some(commands) = &entry.commands
            && !commands.is_closed()
        {
            return Some(commands.clone());
        }
        let (sender, commands) = mpsc::channel(crate::limits::CHAT_COMMANDS);
        let record = Arc::clone(&entry.changes.borrow());
        entry.link = Some(begin(record, commands));
        entry.commands = Some(sender.clone());
        Some(sender)
    }

    /// Takes leave of a conversation that has nothing to do, unless a command is on its way.
    pub(crate) fn rest(
        &self,
        (id, link): (ChatId, &Arc<Link>),
        commands: &mut mpsc::Receiver<Command>,
    ) -> bool {
        let mut state = self.lock();
        // Who holds a sender besides is about to send something, or to begin a process.
        if !commands.is_empty() || commands.sender_strong_count() > 1 {
            return false;
        }
        commands.close();
        if !commands.is_empty() {
            return false;
        }
        // Another may have begun since this one took its leave.
        let own =
            |entry: &&mut Entry| entry.link.as_ref().is_some_and(|known| Arc::ptr_eq(known, link));
        if let Some(entry) = state.all.get_mut(&id).filter(own) {
            entry.commands = None;
            entry.link = None;
        }
        true
    }

    /// An approval that waits for a decision.
    pub(crate) fn pending(&self, id: ApprovalId) -> Option<Arc<Approval>> {
        self.lock().pending.get(&id).cloned()
    }

    /// Every approval that waits, in order of asking.
    pub(crate) fn all_pending(&self) -> Vec<Arc<Approval>> {
        self.lock().pending.values().cloned().collect()
    }

    /// Notes an approval that waits now.
    pub(crate) fn wait_for(&self, approval: Arc<Approval>) {
        self.lock().pending.insert(approval.id, approval);
    }

    /// Notes that an approval waits no more.
    pub(crate) fn resolved(&self, id: ApprovalId) {
        self.lock().pending.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
