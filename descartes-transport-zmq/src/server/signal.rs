//! Which conversations of a connection have something to do.
//!
//! All of them live in the task of their connection. Each has a waker of its own, so that one is
//! not polled because of another, and none wakes a task that is looking already.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The task of a connection.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// It is looking, and will look again before it rests.
    looking: AtomicBool,
    waker: AtomicWaker,
}

impl Task {
    /// The task is polled with `cx`.
    pub(super) fn look(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
        self.looking.store(true, Ordering::SeqCst);
    }

    /// The task ceases to look. After this it has to look at every signal once more, because who
    /// was set in between has woken nobody.
    pub(super) fn rest(&self) {
        self.looking.store(false, Ordering::SeqCst);
    }
}

/// Set when a conversation has something to do.
#[derive(Debug)]
pub(super) struct Signal {
    set: AtomicBool,
    task: Arc<Task>,
}

impl Signal {
    /// A signal that is set, and the waker that sets it.
    pub(super) fn new(task: &Arc<Task>) -> (Arc<Self>, Waker) {
        let signal = Arc::new(Self { set: AtomicBool::new(true), task: Arc::clone(task) });
        let waker = Waker::from(Arc::clone(&signal));
        (signal, waker)
    }

    pub(super) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    /// Whether it was set; it is not any more.
    pub(super) fn take(&self) -> bool {
        self.is_set() && self.set.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let was_set = self.set.swap(true, Ordering::SeqCst);
        if !was_set && !self.task.looking.load(Ordering::SeqCst) {
            self.task.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_that_looks_is_not_woken_and_one_that_rests_is() {
        let task = Arc::new(Task::default());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let (signal, conversation) = Signal::new(&task);
        assert!(signal.take() && !signal.take());

        task.look(&Context::from_waker(&waker));
        conversation.wake_by_ref();
        assert!(!woken.0.load(Ordering::SeqCst));
        task.rest();
        assert!(signal.take());
        conversation.wake_by_ref();
        assert!(woken.0.load(Ordering::SeqCst) && signal.is_set());
    }
}
