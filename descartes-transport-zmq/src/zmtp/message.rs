//! What is sent and what arrives.

use std::slice;

use bytes::Bytes;

/// A message: one frame or several, in order. Never empty.
#[derive(Clone, Debug)]
pub struct Multipart {
    frames: Frames,
}

/// Most messages are one frame, which needs no list.
#[derive(Clone, Debug)]
enum Frames {
    One(Bytes),
    Several(Vec<Bytes>),
}

impl Multipart {
    /// A message of these frames; `None` when there is none.
    #[must_use]
    pub fn new(frames: Vec<Bytes>) -> Option<Self> {
        (!frames.is_empty()).then_some(Self { frames: Frames::Several(frames) })
    }

    /// A message of one frame.
    #[must_use]
    pub fn single(frame: impl Into<Bytes>) -> Self {
        Self { frames: Frames::One(frame.into()) }
    }

    /// A message of `frames` and then `last`.
    pub(super) fn ending(mut frames: Vec<Bytes>, last: Bytes) -> Self {
        frames.push(last);
        Self { frames: Frames::Several(frames) }
    }

    /// Its frames.
    #[must_use]
    pub fn frames(&self) -> &[Bytes] {
        match &self.frames {
            Frames::One(frame) => slice::from_ref(frame),
            Frames::Several(frames) => frames,
        }
    }

    /// Its frames, to keep.
    #[must_use]
    pub fn into_frames(self) -> Vec<Bytes> {
        match self.frames {
            Frames::One(frame) => vec![frame],
            Frames::Several(frames) => frames,
        }
    }

    /// Bytes of all frames together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames().iter().map(Bytes::len).sum()
    }

    /// Whether its frames have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames().iter().all(Bytes::is_empty)
    }
}

impl PartialEq for Multipart {
    fn eq(&self, other: &Self) -> bool {
        self.frames() == other.frames()
    }
}

impl Eq for Multipart {}

/// What a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A message.
    Message(Multipart),
    /// A message over the bound of its bytes or frames, which was skipped and not kept.
    Oversize,
    /// A long message for which there was no room beside those of other connections; it was skipped
    /// and not kept, and may be sent again.
    Crowded,
    /// A subscriber wants what begins with these bytes (RFC 37, SUBSCRIBE; RFC 23, a message that
    /// begins with 1).
    Subscribe(Bytes),
    /// A subscriber wants it no more.
    Cancel(Bytes),
}
