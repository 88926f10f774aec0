//! What a subscription sends.

use std::{fmt, pin::Pin};

use bytes::{BufMut, Bytes, BytesMut};
use futures_core::Stream;

use super::Text;

/// The notifications that follow a reply. Ends after [`Notification::Ended`]; dropping it
/// unsubscribes.
pub type NotificationStream = Pin<Box<dyn Stream<Item = Notification> + Send>>;

/// One message of a subscription to its reader.
///
/// The event is the text that was encoded once for all readers; only the few bytes around it are
/// written for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notification {
    /// Something happened.
    Event {
        /// Which subscription this belongs to.
        subscription_id: Text,
        /// The position to come back with after this event.
        cursor: Text,
        /// The event object as JSON.
        event: Bytes,
    },
    /// All history has been delivered; what follows is live.
    Synced {
        /// Which subscription this belongs to.
        subscription_id: Text,
        /// The position reached.
        cursor: Text,
    },
    /// History between the reader's position and the next event of `topic` is gone.
    Gap {
        /// Which subscription this belongs to.
        subscription_id: Text,
        /// The topic that lost events.
        topic: Text,
        /// The first offset that is missing.
        from_offset: u64,
        /// The first offset that is there again.
        to_offset: u64,
        /// The position to come back with.
        cursor: Text,
    },
    /// The last message.
    Ended {
        /// Which subscription this belongs to.
        subscription_id: Text,
        /// Why.
        reason: EndReason,
        /// The position to come back with.
        cursor: Text,
    },
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Its reader asked for it.
    Unsubscribed,
    /// The token it was opened with has expired.
    TokenExpired,
    /// Its reader may not see this any longer.
    Forbidden,
    /// The daemon is going down.
    Shutdown,
    /// History could not be read.
    StoreError,
}

impl EndReason {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::Shutdown => "shutdown",
            Self::StoreError => "store_error",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Notification {
    /// The method of the JSON-RPC notification: `event.next`, `event.synced`, `event.gap` or
    /// `event.ended`.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Event { .. } => "event.next",
            Self::Synced { .. } => "event.synced",
            Self::Gap { .. } => "event.gap",
            Self::Ended { .. } => "event.ended",
        }
    }

    /// The method without its prefix: `next`, `synced`, `gap` or `ended`, as server-sent events
    /// name them.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.method().strip_prefix("event.").unwrap_or_default()
    }

    /// The position to come back with after this message.
    #[must_use]
    pub fn cursor(&self) -> &str {
        self.cursor_text()
    }

    /// The same, sharing the bytes of the event.
    #[must_use]
    pub const fn cursor_text(&self) -> &Text {
        match self {
            Self::Event { cursor, .. }
            | Self::Synced { cursor, .. }
            | Self::Gap { cursor, .. }
            | Self::Ended { cursor, .. } => cursor,
        }
    }

    /// Which subscription this belongs to.
    #[must_use]
    pub fn subscription_id(&self) -> &str {
        match self {
            Self::Event { subscription_id, .. }
            | Self::Synced { subscription_id, .. }
            | Self::Gap { subscription_id, .. }
            | Self::Ended { subscription_id, .. } => subscription_id,
        }
    }

    /// The event object as JSON, for an event.
    #[must_use]
    pub const fn event_json(&self) -> Option<&Bytes> {
        match self {
            Self::Event { event, .. } => Some(event),
            Self::Synced { .. } | Self::Gap { .. } | Self::Ended { .. } => None,
        }
    }

    /// Writes the whole JSON-RPC notification.
    pub fn encode_into(&self, out: &mut BytesMut) {
        out.reserve(self.encoded_len());
        out.put_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"");
        out.put_slice(self.method().as_bytes());
        out.put_slice(b"\",\"params\":");
        self.params_into(out);
        out.put_u8(b'}');
    }

    /// The whole JSON-RPC notification in a buffer of its own.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode_into(&mut out);
        out.freeze()
    }

    /// The parameters alone, as a JSON object.
    #[must_use]
    pub fn params_json(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.params_into(&mut out);
        out.freeze()
    }

    /// About how many bytes [`Notification::encode_into`] writes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        const AROUND: usize = 224;
        AROUND + self.event_json().map_or(0, Bytes::len)
    }

    fn params_into(&self, out: &mut BytesMut) {
        out.put_slice(b"{\"subscription_id\":");
        put_text(out, self.subscription_id());
        match self {
            Self::Event { event, .. } => {
                out.put_slice(b",\"event\":");
                out.put_slice(event);
            }
            Self::Synced { cursor, .. } => put_cursor(out, cursor),
            Self::Gap { topic, from_offset, to_offset, cursor, .. } => {
                out.put_slice(b",\"topic\":");
                put_text(out, topic);
                out.put_slice(b",\"from_offset\":");
                out.put_slice(from_offset.to_string().as_bytes());
                out.put_slice(b",\"to_offset\":");
                out.put_slice(to_offset.to_string().as_bytes());
                put_cursor(out, cursor);
            }
            Self::Ended { reason, cursor, .. } => {
                out.put_slice(b",\"reason\":");
                put_text(out, reason.as_str());
                put_cursor(out, cursor);
            }
        }
        out.put_u8(b'}');
    }
}

fn put_cursor(out: &mut BytesMut, cursor: &str) {
    out.put_slice(b",\"cursor\":");
    put_text(out, cursor);
}

/// Writes `text` as a JSON string.
fn put_text(out: &mut BytesMut, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    } else {
        out.put_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notification_is_written_as_the_contract_has_it() {
        let (subscription_id, cursor) = (Text::from("s-1"), Text::from("c-9"));
        let cases = [
            (
                Notification::Event {
                    subscription_id: subscription_id.clone(),
                    cursor: cursor.clone(),
                    event: Bytes::from_static(br#"{"cursor":"c-9","seq":9}"#),
                },
                r#"{"jsonrpc":"2.0","method":"event.next","params":{"subscription_id":"s-1","event":{"cursor":"c-9","seq":9}}}"#,
            ),
            (
                Notification::Synced {
                    subscription_id: subscription_id.clone(),
                    cursor: cursor.clone(),
                },
                r#"{"jsonrpc":"2.0","method":"event.synced","params":{"subscription_id":"s-1","cursor":"c-9"}}"#,
            ),
            (
                Notification::Gap {
                    subscription_id: subscription_id.clone(),
                    topic: Text::from("a\"b"),
                    from_offset: 3,
                    to_offset: 7,
                    cursor: cursor.clone(),
                },
                r#"{"jsonrpc":"2.0","method":"event.gap","params":{"subscription_id":"s-1","topic":"a\"b","from_offset":3,"to_offset":7,"cursor":"c-9"}}"#,
            ),
            (
                Notification::Ended { subscription_id, reason: EndReason::Shutdown, cursor },
                r#"{"jsonrpc":"2.0","method":"event.ended","params":{"subscription_id":"s-1","reason":"shutdown","cursor":"c-9"}}"#,
            ),
        ];
        for (notification, expected) in cases {
            assert_eq!(notification.encode(), expected.as_bytes());
            assert_eq!(notification.cursor(), "c-9");
            assert!(expected.contains(notification.kind()));
        }
    }
}
