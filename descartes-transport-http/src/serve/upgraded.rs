//! What a connection becomes when it is HTTP no more.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use futures_util::future::BoxFuture;

/// Where a request leaves what the connection does after its answer.
#[derive(Default)]
pub(crate) struct Upgraded(Mutex<Option<BoxFuture<'static, ()>>>);

impl Upgraded {
    /// Does `next` when the answer has been sent; the connection's own task does it, so that it
    /// keeps its place and is part of the shutdown.
    pub(crate) fn go_on_as(&self, next: BoxFuture<'static, ()>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }

    pub(super) fn take(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}
