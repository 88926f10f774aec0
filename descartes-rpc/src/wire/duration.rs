//! Seconds of the wire.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in seconds; fractions are allowed, negative numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Secs(f64);

/// Longer than anybody waits, short enough for every clock: a hundred years.
const MOST_SECS: f64 = 3_155_760_000.0;

impl Secs {
    /// The duration, to be computed with.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::try_from_secs_f64(self.0).unwrap_or_default()
    }
}

impl From<Duration> for Secs {
    fn from(duration: Duration) -> Self {
        Self(duration.as_secs_f64().min(MOST_SECS))
    }
}

impl From<u32> for Secs {
    fn from(secs: u32) -> Self {
        Self(f64::from(secs))
    }
}

impl Serialize for Secs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 {
            serializer
                .serialize_u64(Duration::try_from_secs_f64(self.0).unwrap_or_default().as_secs())
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Secs {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let secs = f64::deserialize(input)?;
        if (0.0..=MOST_SECS).contains(&secs) {
            Ok(Self(secs))
        } else {
            let given = serde::de::Unexpected::Float(secs);
            Err(serde::de::Error::invalid_value(given, &"seconds, not negative"))
        }
    }
}

impl schemars::JsonSchema for Secs {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secs".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "minimum": 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::Secs;

    #[test]
    fn seconds_come_back_as_they_were_and_whole_ones_are_whole_numbers() {
        for (text, written) in [
            ("0", "0"),
            ("30.0", "30"),
            ("0.25", "0.25"),
            ("1e-300", "1e-300"),
            ("12.0000000001", "12.0000000001"),
            ("3155760000", "3155760000"),
        ] {
            let secs: Secs = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&secs).unwrap(), written);
            assert_eq!(serde_json::from_str::<Secs>(written).unwrap(), secs);
        }
        assert!(serde_json::from_str::<Secs>("-1").is_err());
        assert!(serde_json::from_str::<Secs>("3155760001").is_err());
    }
}
