//! A request that came through a proxy is not the proxy's own: the same-user rule cannot hold.

/// Whether a header field of this lower-case name is one that proxies add.
///
/// `Forwarded` and `Via` have constants of their own and are seen before.
pub(crate) fn is_forwarding(name: &str) -> bool {
    name.starts_with("x-forwarded") || name == "x-real-ip" || name == "x-original-forwarded-for"
}

#[cfg(test)]
mod tests {
    use super::is_forwarding;

    #[test]
    fn only_the_fields_of_proxies_count() {
        for (name, expected) in [
            ("x-forwarded-for", true),
            ("x-forwarded-host", true),
            ("x-forwarded-proto", true),
            ("x-real-ip", true),
            ("x-forward", false),
            ("x-request-id", false),
            ("x-api-key", false),
        ] {
            assert_eq!(is_forwarding(name), expected, "{name}");
        }
    }
}
