//! What a request for the page says, and whether it may come from where it comes.

use std::net::IpAddr;

use descartes_rpc::auth::{Secret, is_foreign};
use descartes_rpc::meter::Rejection;

/// What a request has of credentials.
#[derive(Debug)]
pub(super) enum Presented {
    Nothing,
    Text(Secret),
    /// Of a scheme that browsers and proxies speak by themselves, and that is none of ours.
    Foreign,
    /// Twice, in two ways at once, or in a way that is not known.
    Unreadable,
}

/// A request whose head was read.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    path: &'a str,
    hosts: Vec<&'a str>,
    origins: Vec<&'a str>,
    sites: Vec<&'a str>,
    authorizations: Vec<&'a str>,
    api_keys: Vec<&'a str>,
    /// A proxy has passed it on, so who sent it is not who is connected.
    pub(super) forwarded: bool,
}

/// Whom requests may name, and which pages may ask.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    pub(super) hosts: Vec<String>,
    pub(super) origins: Vec<String>,
    /// Who asks does not matter, and so by which name.
    pub(super) by_anyone: bool,
}

/// Why the page is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: &'static str,
    pub(super) why: Rejection,
}

const BAD: Refused = Refused { status: "400 Bad Request", why: Rejection::Malformed };

impl<'a> Asked<'a> {
    /// Reads a head, which ends in an empty line.
    pub(super) fn read(head: &'a [u8]) -> Result<Self, Refused> {
        let head = std::str::from_utf8(head).map_err(|_not_text| BAD)?;
        let mut lines = head.strip_suffix("\r\n\r\n").ok_or(BAD)?.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, path, version) = (words.next(), words.next(), words.next());
        if !version.is_some_and(|version| version.starts_with("HTTP/1.")) || words.next().is_some()
        {
            return Err(BAD);
        }
        let mut asked =
            Self { method: method.ok_or(BAD)?, path: path.ok_or(BAD)?, ..Self::default() };
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(BAD)?;
            asked.field(&name.to_ascii_lowercase(), value.trim());
        }
        Ok(asked)
    }

    fn field(&mut self, name: &str, value: &'a str) {
        match name {
            "host" => self.hosts.push(value),
            "origin" => self.origins.push(value),
            "sec-fetch-site" => self.sites.push(value),
            "authorization" => self.authorizations.push(value),
            "x-api-key" => self.api_keys.push(value),
            "forwarded" | "via" | "x-real-ip" | "x-original-forwarded-for" => self.forwarded = true,
            other => self.forwarded |= other.starts_with("x-forwarded"),
        }
    }

    /// Its key or token, in one way of two.
    pub(super) fn presented(&self) -> Presented {
        let text = match (&self.authorizations[..], &self.api_keys[..]) {
            ([], []) => return Presented::Nothing,
            ([value], []) if is_foreign(value) => return Presented::Foreign,
            ([value], []) => value
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token.trim()),
            ([], [key]) => Some(*key),
            _ => None,
        };
        let text = text.filter(|text| !text.is_empty());
        text.map_or(Presented::Unreadable, |text| Presented::Text(Secret::new(text)))
    }

    /// Whether the page is asked for, by its name and by no page of another site. With `guarded`,
    /// whoever asks has credentials, which no page can know.
    pub(super) fn check(&self, named: &Named, guarded: bool) -> Result<(), Refused> {
        let refused = |status, why| Err(Refused { status, why });
        let [host] = self.hosts[..] else { return Err(BAD) };
        if !named.by_anyone && !guarded && !names(host, &named.hosts) {
            return refused("421 Misdirected Request", Rejection::Host);
        }
        if self.is_foreign(host, &named.origins) {
            return refused("403 Forbidden", Rejection::Origin);
        }
        if !matches!(self.method, "GET" | "HEAD") {
            return refused("405 Method Not Allowed", Rejection::NotServed);
        }
        match self.path.split('?').next() {
            Some("/metrics") => Ok(()),
            _ => refused("404 Not Found", Rejection::NotServed),
        }
    }

    /// Whether a page of another site is behind it: what browsers tell that nobody else does.
    fn is_foreign(&self, host: &str, allowed: &[String]) -> bool {
        let own = |origin: &str| {
            let name = origin.split_once("://").map_or("", |(_, name)| name);
            name.eq_ignore_ascii_case(host) || allowed.iter().any(|entry| entry == origin)
        };
        let foreign = match self.origins[..] {
            [] => false,
            [origin] if own(origin) => return false,
            _ => true,
        };
        foreign || self.sites.iter().any(|site| !matches!(*site, "same-origin" | "none"))
    }
}

/// Whether `host` is a name of this machine, or an allowed one: what a page brings along may be
/// anybody's. An address is nobody's name, so no page can make it mean us.
fn names(host: &str, allowed: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is = |entry: &str| entry.eq_ignore_ascii_case(name) || entry.eq_ignore_ascii_case(host);
    address.is_ok() || is("localhost") || allowed.iter().any(|entry| is(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(request: &str, named: &Named, guarded: bool) -> &'static str {
        let asked = Asked::read(request.as_bytes());
        let judged = asked.and_then(|asked| asked.check(named, guarded));
        judged.map_or_else(|refused| &refused.status[..3], |()| "200")
    }

    #[test]
    fn the_page_is_given_to_those_who_ask_for_it_and_for_nothing_else() {
        for (request, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9090\r\n\r\n", "200"),
            ("HEAD /metrics?x=1 HTTP/1.1\r\nhost: localhost\r\n\r\n", "200"),
            ("GET /metrics HTTP/1.1\r\nHost: [::1]:9090\r\n\r\n", "200"),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "405"),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
            ("GET /metrics HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", "421"),
            ("GET /metrics HTTP/1.1\r\n\r\n", "400"),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", "400"),
            ("GET /metrics HTTP/2\r\nHost: localhost\r\n\r\n", "400"),
            ("GET /metrics HTTP/1.1\r\nHost: localhost\r\n", "400"),
            ("", "400"),
        ] {
            assert_eq!(judge(request, &Named::default(), false), expected, "{request:?}");
        }
    }

    #[test]
    fn names_and_pages_are_those_that_are_configured() {
        let list = |text: &str| vec![text.to_owned()];
        let mut named = Named { hosts: list("daemon.svc"), ..Named::default() };
        named.origins = list("https://board.example");
        let ask = |host: &str, field: &str| {
            format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n{field}\r\n\r\n")
        };
        for (host, field, expected) in [
            ("daemon.svc:9090", "Accept: */*", "200"),
            ("localhost", "Origin: https://board.example", "200"),
            ("localhost", "Origin: http://localhost", "200"),
            ("localhost", "Origin: http://evil.example", "403"),
            ("localhost", "Origin: null", "403"),
            ("localhost", "Sec-Fetch-Site: cross-site", "403"),
            ("localhost", "Sec-Fetch-Site: same-site", "403"),
            ("localhost", "Sec-Fetch-Site: none", "200"),
            ("evil.example", "Sec-Fetch-Site: same-origin", "421"),
        ] {
            assert_eq!(judge(&ask(host, field), &named, false), expected, "{host} {field}");
        }
        assert_eq!(judge(&ask("10.0.0.7:9090", "Accept: */*"), &named, true), "200");
        assert_eq!(judge(&ask("any.example", "Accept: */*"), &named, true), "200");
        named.by_anyone = true;
        assert_eq!(judge(&ask("any.example", "Accept: */*"), &named, false), "200");
        assert_eq!(judge(&ask("any.example", "Origin: http://other"), &named, false), "403");
    }

    #[test]
    fn a_token_is_read_in_one_way_of_two() {
        for (fields, expected) in [
            ("", "nothing"),
            ("Authorization: Bearer abc\r\n", "abc"),
            ("authorization: bearer  abc \r\n", "abc"),
            ("X-API-Key: abc\r\n", "abc"),
            ("Authorization: Basic abc\r\n", "foreign"),
            ("Authorization: Basic abc\r\nX-API-Key: b\r\n", "unreadable"),
            ("Authorization: Token abc\r\n", "unreadable"),
            ("Authorization: Bearer \r\n", "unreadable"),
            ("X-API-Key: a\r\nX-API-Key: b\r\n", "unreadable"),
            ("Authorization: Bearer a\r\nX-API-Key: b\r\n", "unreadable"),
        ] {
            let head = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
            let presented = match Asked::read(head.as_bytes()).expect("a head").presented() {
                Presented::Nothing => "nothing".to_owned(),
                Presented::Text(secret) => secret.expose().to_owned(),
                Presented::Foreign => "foreign".to_owned(),
                Presented::Unreadable => "unreadable".to_owned(),
            };
            assert_eq!(presented, expected, "{fields:?}");
        }
    }
}
