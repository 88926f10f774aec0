//! Reads the body of a request, within its bound.

use std::{future::poll_fn, pin::pin};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderValue;
use http_body::Body;

use crate::refusal::Refusal;

/// The whole body; a body of one frame is not copied.
///
/// Reading stops where the bound is passed. Memory grows with what has arrived, never with what
/// was announced. Cancel safe in the sense that nothing is left behind.
pub(crate) async fn read<B: Body>(
    body: B,
    announced: Option<&HeaderValue>,
    max: usize,
) -> Result<Bytes, Refusal> {
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(Refusal::TooLarge(max));
    }
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.ok().ok_or(Refusal::BrokenBody)?;
        let Ok(mut data) = frame.into_data() else { continue };
        if whole.len() + data.remaining() > max {
            return Err(Refusal::TooLarge(max));
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data.copy_to_bytes(data.remaining()));
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            whole.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body::Frame;

    use super::*;

    struct Frames(Vec<io::Result<&'static [u8]>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            let next = (!self.0.is_empty()).then(|| self.0.remove(0));
            Poll::Ready(next.map(|frame| frame.map(|data| Frame::data(Bytes::from_static(data)))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    async fn outcome(frames: Vec<io::Result<&'static [u8]>>, announced: &'static str) -> String {
        let announced = HeaderValue::from_static(announced);
        match read(Frames(frames), Some(&announced), 4).await {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Err(refusal) => format!("{refusal:?}"),
        }
    }

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_bound() {
        assert_eq!(outcome(vec![Ok(b"abcd")], "4").await, "abcd");
        assert_eq!(outcome(vec![Ok(b"ab"), Ok(b""), Ok(b"cd")], "").await, "abcd");
        assert_eq!(outcome(vec![], "").await, "");
        assert_eq!(outcome(vec![Ok(b"abcd"), Ok(b"e")], "").await, "TooLarge(4)");
        assert_eq!(outcome(vec![Ok(b"abcde")], "").await, "TooLarge(4)");
        assert_eq!(outcome(vec![Ok(b"a")], "5").await, "TooLarge(4)");
        let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(outcome(vec![Ok(b"ab"), Err(cut)], "").await, "BrokenBody");
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let piece: &'static [u8] = b"abcd";
        let read = read(Frames(vec![Ok(piece)]), None, 4).await.unwrap();
        assert_eq!(read.as_ptr(), piece.as_ptr());
    }
}
