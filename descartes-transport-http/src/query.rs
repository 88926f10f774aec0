//! Query strings: names and values, percent-encoded.

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
    #[error("query parameter `{0}` is neither 1 nor 0")]
    NeitherYesNorNo(&'static str),
    #[error("the address is not percent-encoded UTF-8")]
    Encoding,
    #[error("more than {MAX_QUERY_PAIRS} query parameters")]
    TooMany,
}

/// A name and its value.
pub(crate) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The pairs of `query` in its own order, decoded; empty ones are nothing.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = Result<Pair<'_>, QueryError>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.enumerate().map(|(count, pair)| {
        if count >= MAX_QUERY_PAIRS {
            return Err(QueryError::TooMany);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(name, true)?, decode(value, true)?))
    })
}

/// Undoes the percent-encoding, and in a form the `+` for a space; borrows where nothing was
/// encoded.
pub(crate) fn decode(text: &str, form: bool) -> Result<Cow<'_, str>, QueryError> {
    let encoded = |byte: u8| byte == b'%' || form && byte == b'+';
    if !text.bytes().any(encoded) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'+', _) if form => b' ',
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

    fn read(query: &str) -> Result<Vec<Pair<'_>>, QueryError> {
        pairs(query).collect()
    }

    #[test]
    fn a_query_is_read_whole() {
        let read = read("&topic=agent%2Fb&topic=a+b&&x&y=1=2").unwrap();
        let read: Vec<(&str, &str)> =
            read.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(read, [("topic", "agent/b"), ("topic", "a b"), ("x", ""), ("y", "1=2")]);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for query in ["topic=%", "topic=%4", "topic=%zz", "topic=%ff", "%=a"] {
            assert_eq!(read(query), Err(QueryError::Encoding), "{query}");
        }
        let many = "topic=a&".repeat(MAX_QUERY_PAIRS + 1);
        assert_eq!(read(&many), Err(QueryError::TooMany));
        assert!(read(&many[8..]).is_ok());
    }

    #[test]
    fn in_a_path_a_plus_is_a_plus() {
        assert_eq!(decode("a+b%20c", false).unwrap(), "a+b c");
        assert_eq!(decode("a+b", true).unwrap(), "a b");
    }
}
