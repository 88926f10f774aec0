//! The values of MessagePack, one after the other.

use super::MsgPackError;

/// One value, or the beginning of one that has others inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'m> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// Not yet known to be text.
    Text(&'m [u8]),
    Bytes(&'m [u8]),
    /// So many values follow.
    Array(u32),
    /// So many pairs follow.
    Map(u32),
    Extension {
        kind: u8,
        data: &'m [u8],
    },
}

/// Reads a message from its beginning.
#[derive(Debug)]
pub(super) struct Reader<'m> {
    rest: &'m [u8],
}

impl<'m> Reader<'m> {
    pub(super) const fn new(message: &'m [u8]) -> Self {
        Self { rest: message }
    }

    /// Whether everything was read.
    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn token(&mut self) -> Result<Token<'m>, MsgPackError> {
        let [marker] = self.array()?;
        Ok(match marker {
            0x00..=0x7f => Token::Unsigned(marker.into()),
            0x80..=0x8f => Token::Map((marker & 0x0f).into()),
            0x90..=0x9f => Token::Array((marker & 0x0f).into()),
            0xa0..=0xbf => Token::Text(self.take((marker & 0x1f).into())?),
            0xc0 => Token::Nil,
            0xc1 => return Err(MsgPackError::Reserved),
            0xc2 | 0xc3 => Token::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                Token::Bytes(self.take(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                self.extension(length)?
            }
            0xca => Token::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.array()?)),
            0xcc..=0xce => Token::Unsigned(self.length(marker - 0xcc)?.into()),
            0xcf => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => Token::Signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Token::Signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Token::Signed(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Token::Signed(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                Token::Text(self.take(length)?)
            }
            0xdc | 0xdd => Token::Array(self.length(marker - 0xdb)?),
            0xde | 0xdf => Token::Map(self.length(marker - 0xdd)?),
            0xe0..=0xff => Token::Signed(i8::from_be_bytes([marker]).into()),
        })
    }

    /// Leaves out one value with all that is in it, whatever its depth.
    pub(super) fn skip(&mut self) -> Result<(), MsgPackError> {
        let mut left: u64 = 1;
        while left > 0 {
            left -= 1;
            left += match self.token()? {
                Token::Array(count) => count.into(),
                Token::Map(count) => u64::from(count) * 2,
                _ => 0,
            };
        }
        Ok(())
    }

    /// An unsigned number of 1, 2 or 4 bytes.
    fn length(&mut self, size: u8) -> Result<u32, MsgPackError> {
        Ok(match size {
            0 => u8::from_be_bytes(self.array()?).into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?),
        })
    }

    fn extension(&mut self, length: u32) -> Result<Token<'m>, MsgPackError> {
        let [kind] = self.array()?;
        Ok(Token::Extension { kind, data: self.take(length)? })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MsgPackError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(MsgPackError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn take(&mut self, length: u32) -> Result<&'m [u8], MsgPackError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(MsgPackError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}
