//! `POST` needs `application/json`: a page can send `text/plain` anywhere without asking.

use super::Field;

/// Whether a body of this type is read as JSON.
///
/// With credentials in a field that needs a preflight any type is.
pub(crate) fn is_json(content_type: Field<'_>, credentials: bool) -> bool {
    credentials
        || match content_type {
            Field::Once(value) => {
                let essence = value.as_bytes().split(|byte| *byte == b';').next();
                essence.unwrap_or_default().trim_ascii().eq_ignore_ascii_case(b"application/json")
            }
            Field::Absent | Field::Repeated => false,
        }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{Field, is_json};

    #[test]
    fn only_json_is_json_unless_credentials_vouch_for_it() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            (" application/json ;charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonp", false),
            ("application/json, text/plain", false),
            ("text/plain;application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=application/json", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(value);
            assert_eq!(is_json(Field::Once(&value), false), expected, "{value:?}");
            assert!(is_json(Field::Once(&value), true));
        }
        assert!(!is_json(Field::Absent, false));
        assert!(!is_json(Field::Repeated, false));
    }
}
