//! What goes back: nothing, a block of bytes, a stream of events, or pages of bytes.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};

use crate::{serve::AnswerEnd, sse::EventBody};

/// The body of every answer of this transport.
pub struct ResponseBody {
    content: Content,
    /// Dropped with the body, which is how a connection learns that its answer has ended.
    _end: Option<AnswerEnd>,
}

enum Content {
    Block(Bytes),
    Events(Pin<Box<EventBody>>),
    Pages(Pin<Box<dyn Stream<Item = Result<Bytes, Interrupted>> + Send>>),
}

/// Why an answer breaks off. Its connection is cut, so that nobody takes what came for the whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer breaks off: {why}")]
pub struct Interrupted {
    why: String,
}

impl Interrupted {
    pub(crate) fn by(why: impl fmt::Display) -> Self {
        Self { why: why.to_string() }
    }
}

impl ResponseBody {
    pub(crate) const fn empty() -> Self {
        Self::block(Bytes::new())
    }

    pub(crate) const fn block(bytes: Bytes) -> Self {
        Self { content: Content::Block(bytes), _end: None }
    }

    pub(crate) fn events(events: EventBody) -> Self {
        Self { content: Content::Events(Box::pin(events)), _end: None }
    }

    pub(crate) fn pages(
        pages: impl Stream<Item = Result<Bytes, Interrupted>> + Send + 'static,
    ) -> Self {
        Self { content: Content::Pages(Box::pin(pages)), _end: None }
    }

    pub(crate) fn until(self, end: AnswerEnd) -> Self {
        Self { _end: Some(end), ..self }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Block(bytes) => write!(f, "ResponseBody({} bytes)", bytes.len()),
            Content::Events(_) => f.write_str("ResponseBody(events)"),
            Content::Pages(_) => f.write_str("ResponseBody(pages)"),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let bytes = match &mut self.content {
            Content::Block(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Content::Block(bytes) => Poll::Ready(Some(std::mem::take(bytes))),
            Content::Events(events) => events.poll_bytes(cx),
            Content::Pages(pages) => return pages.as_mut().poll_next(cx).map_ok(Frame::data),
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Block(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Block(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Events(_) | Content::Pages(_) => SizeHint::default(),
        }
    }
}
