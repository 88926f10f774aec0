//! Positions in the journal, and the opaque text that a reader comes back with.

use std::fmt;
use std::str::FromStr;

/// The place of one event in the journal: 1 for the first, growing, never used twice.
///
/// As a reader's place it means "everything up to and including this one was seen"; zero is the
/// place before all history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The place before the first event.
    pub const START: Self = Self(0);

    /// The next place.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A reader's place in one store's history; opaque text for everybody outside.
///
/// `byte` is 0 when the event at `position` was read whole. Pages of `agent.logs` may end inside
/// an output event; then `byte` tells how much of that event was read, and a reader of events is
/// given that event again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Which store this belongs to.
    pub store: u32,
    /// Which epoch of that store: a new one begins when history may have been shortened.
    pub epoch: u32,
    /// The last event that was read, or begun.
    pub position: Position,
    /// How many bytes of that event were read, when not all of it.
    pub byte: u32,
}

impl Cursor {
    /// The last position whose event was read whole.
    #[must_use]
    pub const fn read_whole(self) -> Position {
        if self.byte == 0 { self.position } else { Position(self.position.0.saturating_sub(1)) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{}.{}", self.store, self.epoch, self.position)?;
        if self.byte > 0 { write!(f, ".{}", self.byte) } else { Ok(()) }
    }
}

/// The text is not one that a cursor was ever given out as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this interface")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(NotACursor);
        let store = next().and_then(store_id)?;
        let epoch = next().and_then(decimal)?;
        let position = Position(next().and_then(decimal)?);
        let byte = match parts.next() {
            None => 0,
            Some(text) => match decimal(text)? {
                0 => return Err(NotACursor),
                byte => byte,
            },
        };
        match parts.next() {
            None => Ok(Self { store, epoch, position, byte }),
            Some(_) => Err(NotACursor),
        }
    }
}

fn store_id(text: &str) -> Result<u32, NotACursor> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != 8 || !plain {
        return Err(NotACursor);
    }
    u32::from_str_radix(text, 16).or(Err(NotACursor))
}

/// Only the form that [`Cursor`] itself writes: no sign, no leading zero.
fn decimal<N: FromStr + fmt::Display>(text: &str) -> Result<N, NotACursor> {
    let number: N = text.parse().or(Err(NotACursor))?;
    if number.to_string() == text { Ok(number) } else { Err(NotACursor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text() {
        for (position, byte) in [(0, 0), (1, 0), (u64::MAX, 0), (77, 1), (77, u32::MAX)] {
            let cursor = Cursor { store: 0xc0_ffee, epoch: 3, position: Position(position), byte };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn text_that_was_never_given_out_is_refused() {
        for text in ["", ".", "1.2.3", "00c0ffee.1", "00c0ffee.1.2.0", "00c0ffee.1.2.3.4"] {
            assert_eq!(text.parse::<Cursor>(), Err(NotACursor), "{text}");
        }
        for text in ["00C0FFEE.1.2", "00c0ffee.01.2", "00c0ffee.+1.2", "00c0ffee.1.-2"] {
            assert_eq!(text.parse::<Cursor>(), Err(NotACursor), "{text}");
        }
    }
}
