//! A value that is replaced as a whole while others read it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A value that is replaced as a whole while others read it: no reader sees half of a change.
/// Clones share the value.
///
/// ```
/// let limit = descartes_core::Swap::new(30);
/// let reader = limit.clone();
/// let before = reader.load();
/// limit.store(60);
/// assert_eq!((*before, *reader.load()), (30, 60));
/// ```
pub struct Swap<T>(Arc<RwLock<Arc<T>>>);

impl<T> Swap<T> {
    /// Begins with `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value as it is now. What is held of it stays as it was when it is replaced.
    #[must_use]
    pub fn load(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the value.
    pub fn store(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Swap<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Swap<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Swap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Swap").field(&self.load()).finish()
    }
}
