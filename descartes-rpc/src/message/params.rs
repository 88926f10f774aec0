//! Parameters, undecoded.

use bytes::Bytes;

/// The parameters of a call: the slice of the message that holds them, or nothing.
///
/// The slice is valid JSON of bounded depth and an array or an object; only the one method that
/// reads it decodes it. Holding it keeps the message alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Option<Bytes>);

/// How parameters were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamsShape {
    /// Not at all.
    Absent,
    /// By name: an object.
    Named,
    /// By position: an array.
    Positional,
}

impl Params {
    /// No parameters.
    pub const ABSENT: Self = Self(None);

    /// Takes `json`, which must be one valid JSON array or object without space around it.
    #[must_use]
    pub const fn from_json(json: Bytes) -> Self {
        Self(Some(json))
    }

    /// The JSON text, if parameters were given.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    /// The JSON text, if parameters were given, with a share in its buffer.
    #[must_use]
    pub fn into_bytes(self) -> Option<Bytes> {
        self.0
    }

    /// By name, by position or absent.
    #[must_use]
    pub fn shape(&self) -> ParamsShape {
        match self.0.as_deref().and_then(<[u8]>::first) {
            None => ParamsShape::Absent,
            Some(b'[') => ParamsShape::Positional,
            Some(_) => ParamsShape::Named,
        }
    }
}
