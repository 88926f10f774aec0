//! The key or token of a request: `Authorization: Bearer` (RFC 6750 section 2.1) or `X-API-Key`.

use descartes_rpc::auth::{Secret, is_foreign};
use http::HeaderValue;

use super::Field;

/// What a request has of credentials.
#[derive(Debug)]
pub(crate) enum Presented {
    Nothing,
    Text(Secret),
    /// Of a scheme that browsers and proxies speak by themselves, and that is none of ours.
    Foreign,
    /// Twice, in two ways at once, or in a way that is not known.
    Unreadable,
}

/// Reads the two fields.
pub(super) fn read(authorization: Field<'_>, api_key: Field<'_>) -> Presented {
    let text = match (authorization, api_key) {
        (Field::Absent, Field::Absent) => return Presented::Nothing,
        (Field::Once(value), Field::Absent) if text(value).is_some_and(is_foreign) => {
            return Presented::Foreign;
        }
        (Field::Once(value), Field::Absent) => text(value).and_then(bearer),
        (Field::Absent, Field::Once(value)) => text(value),
        _ => None,
    };
    text.filter(|text| !text.is_empty())
        .map_or(Presented::Unreadable, |text| Presented::Text(Secret::new(text)))
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().map(str::trim)
}

/// The scheme's name is written as one likes (RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(authorization: Option<&'static str>, api_key: Option<&'static str>) -> String {
        let values = [authorization, api_key].map(|text| text.map(HeaderValue::from_static));
        let [authorization, api_key] =
            values.each_ref().map(|value| value.as_ref().map_or(Field::Absent, Field::Once));
        match read(authorization, api_key) {
            Presented::Nothing => "nothing".to_owned(),
            Presented::Text(secret) => secret.expose().to_owned(),
            Presented::Foreign => "foreign".to_owned(),
            Presented::Unreadable => "unreadable".to_owned(),
        }
    }

    #[test]
    fn a_token_is_read_in_one_way_of_two() {
        for (authorization, api_key, expected) in [
            (None, None, "nothing"),
            (Some("Bearer abc"), None, "abc"),
            (Some("bearer  abc "), None, "abc"),
            (Some("BEARER abc"), None, "abc"),
            (None, Some("abc"), "abc"),
            (None, Some(" a b "), "a b"),
            (Some("Bearer abc"), Some("abc"), "unreadable"),
            (Some("Basic YTpi"), None, "foreign"),
            (Some("NEGOTIATE YTpi"), None, "foreign"),
            (Some("Basic YTpi"), Some("abc"), "unreadable"),
            (Some("Token abc"), None, "unreadable"),
            (Some("Basically abc"), None, "unreadable"),
            (Some("abc"), None, "unreadable"),
            (Some("Bearer"), None, "unreadable"),
            (Some("Bearer "), None, "unreadable"),
            (Some(""), None, "unreadable"),
            (None, Some(""), "unreadable"),
        ] {
            assert_eq!(
                presented(authorization, api_key),
                expected,
                "{authorization:?} {api_key:?}"
            );
        }
        let value = HeaderValue::from_static("x");
        let twice = read(Field::Repeated, Field::Absent);
        assert!(matches!(twice, Presented::Unreadable));
        let bytes = HeaderValue::from_bytes(b"\xff\xfe").unwrap();
        assert!(matches!(read(Field::Absent, Field::Once(&bytes)), Presented::Unreadable));
        assert!(matches!(read(Field::Once(&value), Field::Absent), Presented::Unreadable));
    }
}
