//! Who may be expected to decide: readers that may, and whoever asked lately what there is.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::Approval;
use crate::event::{Topic, TopicFilter};
use crate::limits::ATTENDED_AFTER_LIST;

/// Who may be expected to decide. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Attendance(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    readers: Vec<(u64, Vec<TopicFilter>)>,
    asked_at: Option<Instant>,
}

/// A reader that may decide what it is told of; until it is dropped.
#[derive(Debug)]
pub struct Attending {
    attendance: Attendance,
    number: u64,
}

impl Attendance {
    /// Somebody who may decide, and is no agent, follows `topics` from now on.
    #[must_use]
    pub fn begin(&self, topics: Vec<TopicFilter>) -> Attending {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.readers.push((number, topics));
        drop(state);
        Attending { attendance: self.clone(), number }
    }

    /// Somebody who may decide, and is no agent, asked what there is.
    pub fn asked(&self) {
        self.lock().asked_at = Some(Instant::now());
    }

    /// Whether somebody may be expected to decide `approval`.
    pub(crate) fn covers(&self, approval: &Approval) -> bool {
        let topics = [Topic::approval(approval.id), Topic::chat(approval.chat)];
        let state = self.lock();
        let lately = state.asked_at.is_some_and(|at| at.elapsed() < ATTENDED_AFTER_LIST);
        let covers = |filter: &TopicFilter| topics.iter().any(|topic| filter.matches(topic));
        lately || state.readers.iter().any(|(_, filters)| filters.iter().any(covers))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        self.attendance.lock().readers.retain(|(number, _)| *number != self.number);
    }
}
