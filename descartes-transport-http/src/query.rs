//! The query string of `GET /events`.

use std::borrow::Cow;

use crate::limits::MAX_QUERY_PAIRS;

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("unknown query parameter `{0}`")]
    Unknown(String),
    #[error("query parameter `{0}` is given twice")]
    Repeated(&'static str),
    #[error("query parameter `{0}` is not a number")]
    NotANumber(&'static str),
    #[error("the query is not percent-encoded UTF-8")]
    Encoding,
    #[error("more than {MAX_QUERY_PAIRS} query parameters")]
    TooMany,
}

/// What a reader of events asks for, in the query's own order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EventsQuery<'a> {
    pub(crate) topics: Vec<Cow<'a, str>>,
    pub(crate) types: Vec<Cow<'a, str>>,
    pub(crate) after: Option<Cow<'a, str>>,
    pub(crate) tail: Option<u64>,
}

impl<'a> EventsQuery<'a> {
    /// Reads `topic` (repeatable), `types` (repeatable, or separated by commas), `after`, `tail`.
    pub(crate) fn parse(query: &'a str) -> Result<Self, QueryError> {
        let mut read = Self::default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        for (count, pair) in pairs.enumerate() {
            if count == MAX_QUERY_PAIRS {
                return Err(QueryError::TooMany);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value)?;
            match &*decode(name)? {
                "topic" => read.topics.push(value),
                "types" => read.types.extend(split(value)),
                "after" => once("after", &mut read.after, value)?,
                "tail" => {
                    let tail = value.parse().ok().ok_or(QueryError::NotANumber("tail"))?;
                    once("tail", &mut read.tail, tail)?;
                }
                other => return Err(QueryError::Unknown(other.to_owned())),
            }
        }
        Ok(read)
    }
}

fn once<T>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), QueryError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(QueryError::Repeated(name)),
    }
}

fn split(value: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    if !value.contains(',') {
        return vec![value];
    }
    value.split(',').filter(|part| !part.is_empty()).map(|part| part.to_owned().into()).collect()
}

/// Undoes the form encoding; borrows where nothing was encoded.
fn decode(text: &str) -> Result<Cow<'_, str>, QueryError> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                nibble(*high)? << 4 | nibble(*low)?
            }
            (b'%', _) => return Err(QueryError::Encoding),
            (other, _) => *other,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).ok().ok_or(QueryError::Encoding)
}

fn nibble(digit: u8) -> Result<u8, QueryError> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(QueryError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whole() {
        let read = EventsQuery::parse(
            "topic=agent/a/status&topic=agent%2Fb%2Foutput&after=c.1&types=agent.*,x&types=y&tail=5",
        );
        let read = read.unwrap();
        assert_eq!(read.topics, ["agent/a/status", "agent/b/output"]);
        assert_eq!(read.types, ["agent.*", "x", "y"]);
        assert_eq!(read.after.as_deref(), Some("c.1"));
        assert_eq!(read.tail, Some(5));
        assert_eq!(EventsQuery::parse("").unwrap(), EventsQuery::default());
        assert_eq!(EventsQuery::parse("&&topic=a+b").unwrap().topics, ["a b"]);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (query, expected) in [
            ("topics=a", QueryError::Unknown("topics".to_owned())),
            ("token=secret", QueryError::Unknown("token".to_owned())),
            ("after=a&after=b", QueryError::Repeated("after")),
            ("tail=-1", QueryError::NotANumber("tail")),
            ("tail=", QueryError::NotANumber("tail")),
            ("topic=%", QueryError::Encoding),
            ("topic=%4", QueryError::Encoding),
            ("topic=%zz", QueryError::Encoding),
            ("topic=%ff", QueryError::Encoding),
        ] {
            assert_eq!(EventsQuery::parse(query), Err(expected), "{query}");
        }
        let many = "topic=a&".repeat(MAX_QUERY_PAIRS + 1);
        assert_eq!(EventsQuery::parse(&many), Err(QueryError::TooMany));
    }
}
