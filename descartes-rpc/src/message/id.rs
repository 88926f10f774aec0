//! Request identifiers, kept as the text they were sent as.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::{BufMut, BytesMut};

/// What a caller named its request; goes back exactly as it came.
///
/// Kept as JSON text, because an integer beyond 2^53 or an escaped character would not survive a
/// number or string type. Floats, booleans, arrays and objects are not identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// An integer of any size.
    Number(IdText),
    /// A string.
    Text(IdText),
    /// `null`: sent by some callers, and the answer to what could not be attributed.
    Null,
}

impl Id {
    /// Reads one JSON value that is already known to be valid JSON; `None` when it may not be an
    /// identifier.
    #[must_use]
    pub fn from_json(raw: &str) -> Option<Self> {
        match raw.as_bytes().first()? {
            b'"' => Some(Self::Text(IdText::new(raw))),
            b'n' => Some(Self::Null),
            b'-' | b'0'..=b'9' if !raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => {
                Some(Self::Number(IdText::new(raw)))
            }
            _ => None,
        }
    }

    /// The identifier `number`.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self::Number(IdText::new(&number.to_string()))
    }

    /// The identifier `text`, which is escaped as JSON wants it.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(IdText::new(&serde_json::Value::from(text).to_string()))
    }

    /// The JSON text, quotes included.
    #[must_use]
    pub fn as_json(&self) -> &str {
        match self {
            Self::Number(text) | Self::Text(text) => text.as_json(),
            Self::Null => "null",
        }
    }

    /// What it says, without quotes and escapes.
    pub(crate) fn meaning(&self) -> Cow<'_, str> {
        match self {
            Self::Number(text) | Self::Text(text) => text.meaning(),
            Self::Null => Cow::Borrowed("null"),
        }
    }

    /// Writes the JSON text.
    pub fn encode_into(&self, out: &mut BytesMut) {
        out.put_slice(self.as_json().as_bytes());
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

/// The JSON text of an identifier. Short ones live inside, so that they neither allocate nor keep
/// the message alive that they came in; clones of long ones share them.
#[derive(Clone)]
pub struct IdText(Repr);

const INLINE: usize = 22;

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Shared(Arc<str>),
}

impl IdText {
    fn new(raw: &str) -> Self {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..raw.len()), u8::try_from(raw.len())) {
            (Some(room), Ok(len)) => {
                room.copy_from_slice(raw.as_bytes());
                Self(Repr::Inline { len, bytes })
            }
            _ => Self(Repr::Shared(raw.into())),
        }
    }

    /// The JSON text, with quotes if it is a string.
    #[must_use]
    pub fn as_json(&self) -> &str {
        match &self.0 {
            Repr::Inline { len, bytes } => {
                std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or("null")
            }
            Repr::Shared(text) => text,
        }
    }

    /// What the text means: escapes resolved, quotes gone.
    fn meaning(&self) -> Cow<'_, str> {
        let raw = self.as_json();
        if raw.contains('\\')
            && let Ok(plain) = serde_json::from_str::<String>(raw)
        {
            return Cow::Owned(plain);
        }
        Cow::Borrowed(raw.trim_matches('"'))
    }
}

/// `"a"` and `"\u0061"` name the same request.
impl PartialEq for IdText {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json() || self.meaning() == other.meaning()
    }
}

impl Eq for IdText {}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_come_back_as_they_were_sent() {
        let long = format!("\"{}\"", "x".repeat(300));
        for raw in ["1", "-1", "9007199254740993", "123456789012345678901234567890", "null"]
            .into_iter()
            .chain(["\"\"", "\"a\"", "\"\\u0061\"", "\"schön\"", long.as_str()])
        {
            assert_eq!(Id::from_json(raw).map(|id| id.to_string()).as_deref(), Some(raw));
        }
    }

    #[test]
    fn floats_booleans_and_containers_are_not_identifiers() {
        for raw in ["1.5", "1e2", "1E2", "1.0", "true", "false", "{}", "[]", ""] {
            assert_eq!(Id::from_json(raw), None, "{raw}");
        }
    }

    #[test]
    fn two_spellings_of_one_text_are_one_identifier() {
        assert_eq!(Id::from_json("\"a\""), Id::from_json("\"\\u0061\""));
        assert_ne!(Id::from_json("\"1\""), Id::from_json("1"));
        assert_eq!(Id::text("a\"b").as_json(), "\"a\\\"b\"");
    }
}
