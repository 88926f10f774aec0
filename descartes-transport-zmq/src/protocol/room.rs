//! Room for the long messages that are under way at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use descartes_rpc::error::RpcError;

use crate::limits::{LONG_MESSAGE, LONG_MESSAGES_BYTES, LONG_MESSAGES_KEY};

/// Bytes of the long messages that one connection waits for answers to, whatever conversations
/// they belong to. Those that are no longer than on other transports need none of it, so that a
/// command gets through beside them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Arc<AtomicUsize>);

/// What one message takes up; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Room,
    bytes: usize,
}

impl Room {
    /// Takes room for a message of so many bytes.
    ///
    /// # Errors
    ///
    /// When those that are under way leave none.
    pub(super) fn take(&self, bytes: usize) -> Result<Taken, RpcError> {
        let bytes = if bytes > LONG_MESSAGE { bytes } else { 0 };
        let more = |used: usize| {
            let used = used.saturating_add(bytes);
            (bytes == 0 || used <= LONG_MESSAGES_BYTES).then_some(used)
        };
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Taken { room: self.clone(), bytes }),
            Err(used) => {
                let max = LONG_MESSAGES_BYTES as u64;
                Err(RpcError::exhausted(LONG_MESSAGES_KEY, used as u64, max)
                    .hint("wait for answers before sending more long messages"))
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_share_what_short_ones_need_none_of() {
        let other = Room::default();
        let room = other.clone();
        let half = room.take(LONG_MESSAGES_BYTES / 2).unwrap();
        let rest = other.take(LONG_MESSAGES_BYTES / 2).unwrap();
        let refused = room.take(LONG_MESSAGE + 1).unwrap_err();
        assert_eq!(refused.detail("limit").unwrap(), LONG_MESSAGES_KEY);
        assert!(refused.is_retryable());
        drop(room.take(LONG_MESSAGE).unwrap());
        drop(half);
        drop(room.take(LONG_MESSAGE + 1).unwrap());
        drop(rest);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }
}
