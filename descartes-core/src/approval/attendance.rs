//! Who may be expected to decide: readers that may, and whoever asked lately what there is.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::Approval;
use crate::agent::Reach;
use crate::event::{Topic, TopicFilter};
use crate::limits::{ATTENDANTS, ATTENDED_AFTER_LIST};

/// Who may be expected to decide. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Attendance(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    readers: Vec<(u64, Vec<TopicFilter>, Reach)>,
    asked: Vec<(Instant, Reach)>,
}

/// A reader that may decide what it is told of; until it is dropped.
#[derive(Debug)]
pub struct Attending {
    attendance: Attendance,
    number: u64,
}

impl Attendance {
    /// Somebody who may decide what is within `reach`, and is no agent, follows `topics` from now
    /// on.
    #[must_use]
    pub fn begin(&self, topics: Vec<TopicFilter>, reach: Reach) -> Attending {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.readers.push((number, topics, reach));
        drop(state);
        Attending { attendance: self.clone(), number }
    }

    /// Somebody who may decide what is within `reach`, and is no agent, asked what there is.
    pub fn asked(&self, reach: Reach) {
        let mut state = self.lock();
        state.asked.retain(|(at, other)| at.elapsed() < ATTENDED_AFTER_LIST && *other != reach);
        if state.asked.len() >= ATTENDANTS {
            state.asked.remove(0);
        }
        state.asked.push((Instant::now(), reach));
    }

    /// Whether somebody may be expected to decide `approval`.
    pub(crate) fn covers(&self, approval: &Approval) -> bool {
        let topics = [Topic::approval(approval.id), Topic::chat(approval.chat)];
        let state = self.lock();
        let decides = |reach: &Reach| reach.allows_owner(&approval.owner);
        let lately =
            |(at, reach): &(Instant, Reach)| at.elapsed() < ATTENDED_AFTER_LIST && decides(reach);
        let covers = |filter: &TopicFilter| topics.iter().any(|topic| filter.matches(topic));
        let follows = |(_, filters, reach): &(u64, Vec<TopicFilter>, Reach)| {
            decides(reach) && filters.iter().any(covers)
        };
        state.asked.iter().any(lately) || state.readers.iter().any(follows)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        self.attendance.lock().readers.retain(|(number, ..)| *number != self.number);
    }
}
