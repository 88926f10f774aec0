//! What a browser says of the page that makes a request (Fetch Metadata Request Headers, W3C).
//!
//! Images, scripts, frames and links of other sites send no `Origin` with a `GET`, but every
//! browser of today sends `Sec-Fetch-Site` to a server on this machine or behind TLS, and no page
//! can change it.

use super::Field;

/// Whether a browser says that a page of another site is behind the request.
///
/// Programs say nothing; a person who types the address is `none`. Two sites that differ in their
/// port alone are `same-site` and still strangers here. What is said twice, or in a word that does
/// not exist yet, is not believed to be harmless.
pub(crate) fn is_foreign(fetch_site: Field<'_>) -> bool {
    match fetch_site {
        Field::Absent => false,
        Field::Repeated => true,
        Field::Once(value) => !matches!(value.as_bytes(), b"same-origin" | b"none"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_own_pages_and_typed_addresses_are_let_in() {
        for (word, foreign) in [
            ("same-origin", false),
            ("none", false),
            ("same-site", true),
            ("cross-site", true),
            ("", true),
            ("None", true),
            ("same-origin, cross-site", true),
            ("a-word-of-tomorrow", true),
        ] {
            let value = HeaderValue::from_static(word);
            assert_eq!(is_foreign(Field::Once(&value)), foreign, "{word}");
        }
        assert!(!is_foreign(Field::Absent), "a program says nothing");
        assert!(is_foreign(Field::Repeated));
    }
}
