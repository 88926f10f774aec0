//! What is sent and what arrives.

use bytes::Bytes;

/// A message: one frame or several, in order. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    frames: Vec<Bytes>,
}

impl Multipart {
    /// A message of these frames; `None` when there is none.
    #[must_use]
    pub fn new(frames: Vec<Bytes>) -> Option<Self> {
        (!frames.is_empty()).then_some(Self { frames })
    }

    /// A message of one frame.
    #[must_use]
    pub fn single(frame: impl Into<Bytes>) -> Self {
        Self { frames: vec![frame.into()] }
    }

    /// Its frames.
    #[must_use]
    pub fn frames(&self) -> &[Bytes] {
        &self.frames
    }

    /// Its frames, to keep.
    #[must_use]
    pub fn into_frames(self) -> Vec<Bytes> {
        self.frames
    }

    /// Bytes of all frames together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }

    /// Whether its frames have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.iter().all(Bytes::is_empty)
    }
}

/// What a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A message.
    Message(Multipart),
    /// A message over the bound of its bytes or frames, which was skipped and not kept.
    Oversize,
    /// A subscriber wants what begins with these bytes (RFC 37, SUBSCRIBE; RFC 23, a message that
    /// begins with 1).
    Subscribe(Bytes),
    /// A subscriber wants it no more.
    Cancel(Bytes),
}

/// What kind of socket an end is (RFC 23, Socket-Type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketType {
    /// Asks, waits, asks.
    Req,
    /// Answers one at a time.
    Rep,
    /// Asks without waiting.
    Dealer,
    /// Answers many.
    Router,
    /// Publishes.
    Pub,
    /// Publishes and is told of subscriptions.
    XPub,
    /// Subscribes.
    Sub,
    /// Subscribes by messages.
    XSub,
}
