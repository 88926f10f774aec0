//! What keys mean.

use super::frame::Order;

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort(Order),
    Up,
    Down,
}

/// Reads keys out of the bytes of a terminal, where an arrow is three of them.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    Escape,
    Sequence,
}

/// What Ctrl-C is without a signal.
const INTERRUPT: u8 = 3;
const ESCAPE: u8 = 0x1b;

impl Decoder {
    /// The key that `byte` ends, if it ends one.
    pub(super) fn key(&mut self, byte: u8) -> Option<Key> {
        match (std::mem::take(&mut self.state), byte) {
            (_, INTERRUPT) => Some(Key::Quit),
            (_, ESCAPE) => {
                self.state = State::Escape;
                None
            }
            (State::Escape, b'[' | b'O') => {
                self.state = State::Sequence;
                None
            }
            (State::Sequence, b'0'..=b'9' | b';') => {
                self.state = State::Sequence;
                None
            }
            (State::Sequence, b'A') | (State::Plain, b'k') => Some(Key::Up),
            (State::Sequence, b'B') | (State::Plain, b'j') => Some(Key::Down),
            (State::Sequence | State::Escape, _) => None,
            (State::Plain, b'q' | b'Q') => Some(Key::Quit),
            (State::Plain, byte) => Order::of_key(char::from(byte)).map(Key::Sort),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|byte| decoder.key(*byte)).collect()
    }

    #[test]
    fn arrows_are_three_bytes_and_no_letter_of_theirs_is_a_key() {
        assert_eq!(keys(b"\x1b[A\x1bOB\x1b[1;5A"), [Key::Up, Key::Down, Key::Up]);
        assert_eq!(keys(b"\x1b[C\x1b[5~x"), []);
        assert_eq!(keys(b"co"), [Key::Sort(Order::Cost), Key::Sort(Order::Output)]);
        assert_eq!(keys(b"\x1b\x03"), [Key::Quit]);
        assert_eq!(keys(b"jkq"), [Key::Down, Key::Up, Key::Quit]);
    }
}
