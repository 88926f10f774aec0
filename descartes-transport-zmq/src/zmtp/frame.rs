//! Heads of frames ("Framing").

use bytes::{BufMut, BytesMut};

use super::ProtocolError;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
/// Flags and a length of eight bytes.
pub(super) const MAX_HEAD: usize = 9;

/// What stands before the body of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Frames of the same message follow.
    pub(super) more: bool,
    /// The frame is a command, and no part of a message.
    pub(super) command: bool,
    pub(super) length: u64,
}

impl Head {
    /// The head that `bytes` begin with, and how long it is; `None` when some of it is missing.
    ///
    /// # Errors
    ///
    /// When no frame begins like this; the flags are looked at before the length has come.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&flags, rest)) = bytes.split_first() else { return Ok(None) };
        if flags & !(MORE | LONG | COMMAND) != 0 {
            return Err(ProtocolError::ReservedFlags);
        }
        let (more, command) = (flags & MORE != 0, flags & COMMAND != 0);
        if more && command {
            return Err(ProtocolError::CommandWithMore);
        }
        if flags & LONG == 0 {
            let head = |length: &u8| (Self { more, command, length: u64::from(*length) }, 2);
            return Ok(rest.first().map(head));
        }
        let Some(length) = rest.first_chunk() else { return Ok(None) };
        let length = u64::from_be_bytes(*length);
        if length > i64::MAX as u64 {
            return Err(ProtocolError::Length);
        }
        Ok(Some((Self { more, command, length }, MAX_HEAD)))
    }

    /// Writes it, as short as it can be.
    pub(super) fn write(self, out: &mut BytesMut) {
        let flags = if self.more { MORE } else { 0 } | if self.command { COMMAND } else { 0 };
        if let Ok(length) = u8::try_from(self.length) {
            out.put_slice(&[flags, length]);
        } else {
            out.put_u8(flags | LONG);
            out.put_u64(self.length);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn head(more: bool, command: bool, length: u64) -> Head {
        Head { more, command, length }
    }

    #[test]
    fn the_six_kinds_of_frames_are_told_apart() {
        // "Formal Grammar": command-size, message-more, message-last.
        for (bytes, expected) in [
            (&b"\x00\x05"[..], (head(false, false, 5), 2)),
            (b"\x01\xff", (head(true, false, 255), 2)),
            (b"\x02\0\0\0\0\0\0\x01\0", (head(false, false, 256), 9)),
            (b"\x03\0\0\0\0\0\0\0\x03", (head(true, false, 3), 9)),
            (b"\x04\x00", (head(false, true, 0), 2)),
            (b"\x06\x7f\xff\xff\xff\xff\xff\xff\xff", (head(false, true, i64::MAX as u64), 9)),
        ] {
            assert_eq!(Head::read(bytes).unwrap(), Some(expected), "{bytes:?}");
            for cut in 0..bytes.len() {
                assert_eq!(Head::read(&bytes[..cut]).unwrap(), None, "{bytes:?} to {cut}");
            }
        }
    }

    #[test]
    fn what_no_frame_begins_with_is_refused_by_its_first_byte() {
        for flags in 8..=255 {
            assert_eq!(Head::read(&[flags]), Err(ProtocolError::ReservedFlags));
        }
        for flags in [5, 7] {
            assert_eq!(Head::read(&[flags]), Err(ProtocolError::CommandWithMore));
        }
        let long = b"\x02\x80\0\0\0\0\0\0\0";
        assert_eq!(Head::read(long), Err(ProtocolError::Length));
    }

    proptest! {
        #[test]
        fn a_head_reads_back_as_it_was_written(
            kind in 0..3_u8,
            length in prop_oneof![0_u64..300, 65_530..65_540_u64, 0..=i64::MAX as u64],
        ) {
            let head = Head { more: kind == 1, command: kind == 2, length };
            let mut out = BytesMut::new();
            head.write(&mut out);
            prop_assert_eq!(out.len(), if length < 256 { 2 } else { MAX_HEAD });
            prop_assert_eq!(Head::read(&out).unwrap(), Some((head, out.len())));
        }
    }
}
