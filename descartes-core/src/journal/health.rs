//! Whether the store works, as those who depend on it see it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::store::StoreError;

/// What keeps the store from working.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// Whether it is space that is missing.
    pub full: bool,
    /// One sentence for people.
    pub reason: Arc<str>,
}

impl Trouble {
    /// What `error` means for the whole store; none when only the one batch was at fault.
    #[must_use]
    pub fn of(error: &StoreError) -> Option<Self> {
        let full = match error {
            StoreError::Full { .. } => true,
            StoreError::Unavailable { .. } | StoreError::Corrupt { .. } => false,
            StoreError::Conflict { .. } | StoreError::Closed => return None,
        };
        Some(Self { full, reason: error.to_string().into() })
    }
}

#[derive(Debug)]
pub(super) struct Health(watch::Sender<Option<Trouble>>);

impl Default for Health {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Health {
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.0.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<Trouble>> {
        self.0.subscribe()
    }

    /// Notes `trouble`; returns whether there was none before.
    pub(super) fn degrade(&self, trouble: Trouble) -> bool {
        self.0.send_replace(Some(trouble)).is_none()
    }

    pub(super) fn recover(&self) {
        self.0.send_replace(None);
    }

    pub(super) async fn works(&self) {
        let mut watch = self.0.subscribe();
        // The sender lives as long as `self`.
        drop(watch.wait_for(Option::is_none).await);
    }
}
