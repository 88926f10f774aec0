//! The head of a frame and its mask (RFC 6455 section 5.2 and 5.3), as pure functions.

use bytes::{BufMut, BytesMut};

use super::close::Close;

/// The most that a control frame carries (section 5.5).
pub(super) const MAX_CONTROL: usize = 125;
/// The longest head: two bytes, eight of length, four of mask.
const MAX_HEAD: usize = 14;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum OpCode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

impl OpCode {
    const fn read(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    pub(super) const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) last: bool,
    pub(super) opcode: OpCode,
    pub(super) mask: Option<[u8; 4]>,
    pub(super) length: u64,
}

impl Head {
    /// Reads the head that `bytes` begin with, and how long it is; `None` when some of it is
    /// missing.
    ///
    /// # Errors
    ///
    /// What the peer did wrong, to be answered with.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Close> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Close::protocol("a reserved bit is set"));
        }
        let opcode = OpCode::read(first & 0x0F).ok_or(Close::protocol("an unknown opcode"))?;
        let (last, masked) = (first & 0x80 != 0, second & 0x80 != 0);
        let short = u64::from(second & 0x7F);
        if opcode.is_control() && (!last || short > MAX_CONTROL as u64) {
            return Err(Close::protocol("a control frame is short and in one piece"));
        }
        let Some((length, rest)) = length(short, rest)? else { return Ok(None) };
        let (mask, rest) = match rest.split_first_chunk() {
            Some((mask, rest)) if masked => (Some(*mask), rest),
            None if masked => return Ok(None),
            _ => (None, rest),
        };
        Ok(Some((Self { last, opcode, mask, length }, bytes.len() - rest.len())))
    }

    /// Writes it.
    pub(super) fn write(&self, out: &mut BytesMut) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        out.reserve(MAX_HEAD);
        out.put_u8(self.opcode as u8 | if self.last { 0x80 } else { 0 });
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(length @ 0..=125), _) => out.put_u8(masked | length),
            (_, Ok(length)) => {
                out.put_u8(masked | 126);
                out.put_u16(length);
            }
            _ => {
                out.put_u8(masked | 127);
                out.put_u64(self.length);
            }
        }
        if let Some(mask) = self.mask {
            out.put_slice(&mask);
        }
    }
}

/// The length and what follows it; it must be written as short as it can be.
fn length(short: u64, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Close> {
    let (length, rest, least) = match short {
        126 => match rest.split_first_chunk() {
            Some((long, rest)) => (u64::from(u16::from_be_bytes(*long)), rest, 126),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((long, rest)) => (u64::from_be_bytes(*long), rest, 1 << 16),
            None => return Ok(None),
        },
        _ => (short, rest, 0),
    };
    if length < least || length > i64::MAX as u64 {
        return Err(Close::protocol("a length that is not written as it should be"));
    }
    Ok(Some((length, rest)))
}

/// Masks or unmasks `bytes`, the first of which stands at `at` of the payload.
pub(super) fn apply_mask(bytes: &mut [u8], mask: [u8; 4], at: usize) {
    let mut mask = mask;
    mask.rotate_left(at % 4);
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 6455 section 5.7.
        let single = Head { last: true, opcode: OpCode::Text, mask: None, length: 5 };
        assert_eq!(Head::read(b"\x81\x05Hello").unwrap(), Some((single, 2)));
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        let (head, size) = Head::read(masked).unwrap().unwrap();
        assert_eq!((head, size), (Head { mask: Some(mask), ..single }, 6));
        let mut payload = masked[6..].to_vec();
        apply_mask(&mut payload, mask, 0);
        assert_eq!(payload, b"Hello");
        let (head, size) = Head::read(b"\x82\x7e\x01\x00").unwrap().unwrap();
        assert_eq!((head.opcode, head.length, size), (OpCode::Binary, 256, 4));
        let (head, size) = Head::read(b"\x82\x7f\0\0\0\0\0\x01\0\0").unwrap().unwrap();
        assert_eq!((head.length, size), (65536, 10));
    }

    #[test]
    fn what_no_frame_begins_with_is_refused_at_once() {
        for head in [
            &b"\xc1\x00"[..],
            b"\x83\x00",
            b"\x8b\x00",
            b"\x09\x00",
            b"\x89\x7e",
            b"\x81\x7e\x00\x7d",
            b"\x81\x7f\0\0\0\0\0\0\xff\xff",
            b"\x81\x7f\xff\0\0\0\0\0\0\0",
        ] {
            assert!(Head::read(head).is_err(), "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn a_head_reads_back_as_it_was_written(
            last: bool,
            mask: Option<[u8; 4]>,
            length in prop_oneof![0_u64..130, 65_530..65_540_u64, 0..=i64::MAX as u64],
        ) {
            let head = Head { last, opcode: OpCode::Text, mask, length };
            let mut out = BytesMut::new();
            head.write(&mut out);
            prop_assert_eq!(Head::read(&out).unwrap(), Some((head, out.len())));
            prop_assert_eq!(Head::read(&out[..out.len() - 1]).unwrap(), None);
        }

        #[test]
        fn a_mask_may_be_applied_piece_by_piece(
            bytes: Vec<u8>, mask: [u8; 4], cut in any::<prop::sample::Index>(),
        ) {
            let cut = cut.index(bytes.len() + 1);
            let (mut whole, mut pieces) = (bytes.clone(), bytes.clone());
            apply_mask(&mut whole, mask, 0);
            apply_mask(&mut pieces[..cut], mask, 0);
            apply_mask(&mut pieces[cut..], mask, cut);
            prop_assert_eq!(&whole, &pieces);
            apply_mask(&mut whole, mask, 0);
            prop_assert_eq!(whole, bytes);
        }
    }
}
