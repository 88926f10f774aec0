//! `name[:port]`, as `Host` and `Origin` have it.

/// A host and the port behind it, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// With the brackets of an IPv6 literal.
    pub(super) name: &'a str,
    /// None also where nothing stands behind the colon.
    pub(super) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Narrower than RFC 3986, section 3.2: no user, and of names only what names and addresses in
    /// use are made of. Whatever else could stand there is read differently by different readers; a
    /// backslash, for one, ends a name for a browser.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (name, rest) = if text.starts_with('[') {
            text.split_at(text.find(']')? + 1)
        } else {
            text.split_at(text.find(':').unwrap_or(text.len()))
        };
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return None,
            Some("") => None,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok()?)
            }
            Some(_) => return None,
        };
        is_name(name).then_some(Self { name, port })
    }

    /// Whether both lead to the same place, where `default` is the port of those that name none.
    pub(super) fn is_same(self, other: Self, default: u16) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

fn is_name(name: &str) -> bool {
    let of_address = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(of_address),
        None => !name.is_empty() && name.bytes().all(of_name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_port_are_taken_apart() {
        for (text, name, port) in [
            ("localhost", "localhost", None),
            ("localhost:", "localhost", None),
            ("a-b.c_d.example.:65535", "a-b.c_d.example.", Some(65535)),
            ("127.0.0.1:080", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]", Some(1)),
        ] {
            assert_eq!(Authority::parse(text), Some(Authority { name, port }), "{text}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_none() {
        for text in [
            "",
            ":80",
            "a@localhost",
            "localhost:80x",
            "localhost:65536",
            "localhost:+80",
            "localhost:80:80",
            "[::1",
            "[]",
            "[::1]80",
            "[fe80::7%25eth0]",
            "localhost/x",
            "evil.example\\.localhost",
            "evil.example;.localhost",
            "%6cocalhost",
            "a,b",
            "a b",
        ] {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }
}
