//! JSON that is carried and not read.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

/// A JSON value as its text: what a program said or will be told, unchanged. Cheap to clone.
///
/// Two are equal when their texts are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// The value that `text` is.
    ///
    /// # Errors
    /// When it is not one JSON value.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(Self::from)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value for a serializer.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        RawValue::from_string(self.0.to_string()).expect("it was a value when it came in")
    }
}

impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Self {
        Self(raw.get().into())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn a_value_keeps_its_text_and_what_is_none_is_refused() {
        let json = Json::from_text(r#"{"a": 1.0}"#).expect("a value");
        assert_eq!(json.as_str(), r#"{"a": 1.0}"#);
        assert_eq!(json.to_raw().get(), r#"{"a": 1.0}"#);
        assert!(Json::from_text("{} {}").is_err());
    }
}
