//! Pages of other sites are refused, whatever they ask for.

use http::HeaderValue;

use super::{Field, authority::Authority};

/// Whether the request was made by a page of another site.
///
/// Programs send no `Origin`; a page of this very server sends the one that its `Host` names.
/// `null` (sandboxed frames, files, redirects) is foreign.
pub(crate) fn is_foreign(origin: Field<'_>, host: Field<'_>, secure: bool) -> bool {
    let origin = match origin {
        Field::Absent => return false,
        Field::Repeated => return true,
        Field::Once(origin) => origin,
    };
    let Some(text) = text_of(origin) else { return true };
    let own = match host {
        Field::Once(host) => text_of(host),
        Field::Absent | Field::Repeated => None,
    };
    own.is_none_or(|host| !is_same(text, host, secure))
}

/// Whether `origin` is one of those that are configured.
pub(crate) fn is_allowed(origin: &HeaderValue, allowed: &[String]) -> bool {
    allowed.iter().any(|entry| entry.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

fn text_of(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Whether `origin` (`scheme://authority`) is served under the authority `host`.
fn is_same(origin: &str, host: &str, secure: bool) -> bool {
    let (authority, default) = match origin.split_once("://") {
        Some(("http", authority)) if !secure => (authority, 80),
        Some(("https", authority)) => (authority, 443),
        _ => return false,
    };
    let (theirs, ours) = (Authority::parse(authority), Authority::parse(host));
    theirs.zip(ours).is_some_and(|(theirs, ours)| theirs.is_same(ours, default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(origin: &'static str, host: &'static str) -> bool {
        judge_over(origin, host, false)
    }

    fn judge_over(origin: &'static str, host: &'static str, secure: bool) -> bool {
        let (origin, host) = (HeaderValue::from_static(origin), HeaderValue::from_static(host));
        is_foreign(Field::Once(&origin), Field::Once(&host), secure)
    }

    #[test]
    fn over_tls_a_page_that_came_without_it_is_foreign() {
        for (origin, host, foreign) in [
            ("https://localhost:8443", "localhost:8443", false),
            ("https://agents.example", "agents.example", false),
            ("https://agents.example", "agents.example:443", false),
            ("https://agents.example:443", "agents.example", false),
            ("http://agents.example", "agents.example", true),
            ("http://agents.example:443", "agents.example:443", true),
            ("http://localhost:8443", "localhost:8443", true),
            ("https://agents.example:444", "agents.example", true),
            ("https://evil.example", "agents.example", true),
        ] {
            assert_eq!(judge_over(origin, host, true), foreign, "{origin} at {host}");
        }
    }

    #[test]
    fn only_the_servers_own_pages_are_let_in() {
        for (origin, host, foreign) in [
            ("http://localhost:8080", "localhost:8080", false),
            ("http://LOCALHOST:8080", "localhost:8080", false),
            ("http://localhost", "localhost", false),
            ("http://localhost", "localhost:80", false),
            ("https://localhost", "localhost:443", false),
            ("http://[::1]:8080", "[::1]:8080", false),
            ("http://localhost:3000", "localhost:8080", true),
            ("http://127.0.0.1:8080", "localhost:8080", true),
            ("https://evil.example", "localhost:8080", true),
            ("http://localhost.evil.example", "localhost", true),
            ("null", "localhost:8080", true),
            ("", "localhost:8080", true),
            ("file://", "localhost:8080", true),
            ("chrome-extension://abc", "localhost:8080", true),
            ("http://localhost:8080 http://evil.example", "localhost:8080", true),
            ("http://localhost:8080:80", "localhost:8080", true),
            ("http://localhost/", "localhost", true),
        ] {
            assert_eq!(judge(origin, host), foreign, "{origin} at {host}");
        }
    }

    #[test]
    fn a_configured_origin_is_the_whole_of_it_and_no_pattern() {
        let allowed = ["https://console.example".to_owned()];
        for (origin, expected) in [
            ("https://console.example", true),
            ("HTTPS://Console.Example", true),
            ("http://console.example", false),
            ("https://console.example:444", false),
            ("https://a.console.example", false),
            ("https://console.example.evil.example", false),
            ("null", false),
        ] {
            assert_eq!(
                is_allowed(&HeaderValue::from_static(origin), &allowed),
                expected,
                "{origin}"
            );
        }
    }

    #[test]
    fn a_program_sends_no_origin_and_two_are_one_too_many() {
        let host = HeaderValue::from_static("localhost");
        assert!(!is_foreign(Field::Absent, Field::Once(&host), false));
        assert!(is_foreign(Field::Repeated, Field::Once(&host), false));
    }
}
