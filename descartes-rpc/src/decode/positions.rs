//! Parameters by position: as many as are declared, however many were sent.

use std::fmt;

use serde::Deserializer;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The first `most` values of an array, and how many there are.
///
/// Those beyond are only counted: an array of a million zeros must not become a million slices.
pub(super) fn read(text: &[u8], most: usize) -> serde_json::Result<(Vec<&RawValue>, usize)> {
    let mut input = serde_json::Deserializer::from_slice(text);
    let read = input.deserialize_seq(First(most))?;
    input.end()?;
    Ok(read)
}

struct First(usize);

impl<'de> Visitor<'de> for First {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::with_capacity(self.0);
        while values.len() < self.0
            && let Some(value) = items.next_element()?
        {
            values.push(value);
        }
        let mut given = values.len();
        // `SeqAccess` is not asked again once it has ended.
        if given == self.0 {
            while items.next_element::<IgnoredAny>()?.is_some() {
                given += 1;
            }
        }
        Ok((values, given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_declared_is_counted_and_not_kept() {
        let of = |text: &'static str, most| {
            let (values, given) = read(text.as_bytes(), most).unwrap();
            (values.iter().map(|value| value.get()).collect::<Vec<_>>(), given)
        };
        assert_eq!(of("[]", 2), (vec![], 0));
        assert_eq!(of("[ 1 ,{\"a\":2}]", 2), (vec!["1", "{\"a\":2}"], 2));
        assert_eq!(of("[1,[],3,4]", 2), (vec!["1", "[]"], 4));
        assert_eq!(of("[1]", 0), (vec![], 1));
        for text in ["[1,]", "[1", "[1] 2", "{}", "[1,2,]"] {
            assert!(read(text.as_bytes(), 1).is_err(), "{text}");
        }
    }
}
