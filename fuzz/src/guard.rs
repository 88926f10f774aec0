//! The wall in front of HTTP: whoever is let in names this machine, or a configured name, by the
//! word of an independent parser; and an honest way to name it is let in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use descartes_transport_http::testing::lets_in;
use http::{HeaderMap, HeaderValue, Uri, header};
use url::{Host, Url};

use crate::input::Input;

pub(crate) const WORDS: &[&str] = &[
    "localhost",
    "LOCALHOST",
    "localhost.",
    ".localhost",
    "127.0.0.1",
    "127.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    ":8080",
    ":80",
    ":443",
    ":65536",
    "http://",
    "https://",
    "null",
    "evil.example",
    "agents.example",
    "console.example",
    "192.168.1.7",
    "@",
    "%6c",
    "\\",
    "/",
    "\n",
    "xn--",
    "0x7f000001",
    "2130706433",
    "%25eth0",
];

const HOSTS: &[&str] = &["agents.example", "other.example:8443"];
const ORIGINS: &[&str] = &["https://console.example"];

/// A request as far as it matters here.
struct Asked {
    host: Option<String>,
    origin: Option<String>,
    authority: Option<String>,
    local: Option<IpAddr>,
    configured: bool,
}

/// Byte 0 says what there is: 1 a host, 2 an origin, 4 an authority in the request line, 8 the
/// configuration, 16 a second host, 32 a second origin; byte 1 is the socket's own address. Then
/// the texts, a line each.
pub fn guard(data: &[u8]) {
    let mut input = Input::new(data);
    let (what, local) = (input.byte(), local(input.byte()));
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    let mut lines = text.split('\n');
    let mut line = |bit: u8| lines.next().filter(|_| what & bit != 0).map(str::to_owned);
    let asked = Asked {
        host: line(1),
        origin: line(2),
        authority: line(4),
        local,
        configured: what & 8 != 0,
    };
    let Some((mut headers, uri)) = asked.request() else { return };
    let judged = asked.judged(&headers, &uri);
    if judged {
        asked.is_ours(&uri);
    } else {
        assert!(!asked.is_plainly_ours(), "kept out: {:?} {:?}", asked.host, asked.origin);
    }
    for (bit, name) in [(16, header::HOST), (32, header::ORIGIN)] {
        if let Some(value) = headers.get(&name).filter(|_| what & bit != 0).cloned() {
            headers.append(name, value);
            assert!(!asked.judged(&headers, &uri), "a repeated field is let in");
        }
    }
}

fn local(byte: u8) -> Option<IpAddr> {
    match byte % 5 {
        0 => None,
        1 => Some(Ipv4Addr::LOCALHOST.into()),
        2 => Some(Ipv4Addr::new(192, 168, 1, 7).into()),
        3 => Some(Ipv4Addr::new(192, 168, 1, 7).to_ipv6_mapped().into()),
        _ => Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7).into()),
    }
}

impl Asked {
    /// What hyper would hand on, if it would.
    fn request(&self) -> Option<(HeaderMap, Uri)> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, &self.host), (header::ORIGIN, &self.origin)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
            }
        }
        let uri = match &self.authority {
            None => Uri::from_static("/rpc"),
            Some(authority) => format!("http://{authority}/rpc").parse().ok()?,
        };
        Some((headers, uri))
    }

    fn judged(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let (hosts, origins) = if self.configured { (HOSTS, ORIGINS) } else { (&[][..], &[][..]) };
        let owned = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        lets_in((headers, uri), self.local, &owned(hosts), &owned(origins))
    }

    /// Everything that is named is ours, whatever way it is read.
    fn is_ours(&self, uri: &Uri) {
        let host = self.host.as_ref().expect("without a host nobody is let in");
        let authority = uri.authority().map(|authority| authority.as_str());
        for name in [Some(host.as_str()), authority].into_iter().flatten() {
            match base(name) {
                Some(url) => assert!(self.is_ours_or_configured(&url, name), "{name:?} is let in"),
                None => assert!(is_below_localhost(name), "{name:?} is let in and no host"),
            }
        }
        let Some(origin) = &self.origin else { return };
        if self.configured && ORIGINS.iter().any(|one| one.eq_ignore_ascii_case(origin)) {
            return;
        }
        // A server does not know whether a proxy in front of it speaks TLS: the scheme is theirs.
        let Ok(page) = Url::parse(origin) else {
            assert!(is_below_localhost(host), "{origin:?} is let in and no origin");
            return;
        };
        let here = Url::parse(&format!("{}://{host}/", page.scheme()));
        let here = here.unwrap_or_else(|e| panic!("{host:?} is let in: {e}"));
        assert!(
            page.origin().is_tuple() && page.origin() == here.origin(),
            "{origin:?} at {host:?}"
        );
    }

    fn is_ours_or_configured(&self, url: &Url, text: &str) -> bool {
        let local = |address: IpAddr| {
            let own = self.local.map(|local| local.to_canonical());
            address.is_loopback() || own == Some(address)
        };
        let ours = match url.host() {
            Some(Host::Ipv4(address)) => local(address.into()),
            Some(Host::Ipv6(address)) => local(IpAddr::V6(address).to_canonical()),
            Some(Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                name == "localhost" || name.ends_with(".localhost")
            }
            None => false,
        };
        let port = |entry: &str| entry.contains(':');
        let name = url.host_str().unwrap_or_default();
        let configured = HOSTS.iter().any(|entry| {
            if port(entry) { text.eq_ignore_ascii_case(entry) } else { name == *entry }
        });
        ours || self.configured && configured
    }

    /// Whether this is how a browser or a program names this machine: then it must be let in.
    fn is_plainly_ours(&self) -> bool {
        let plain = |text: &String| {
            // What a parser writes as it stands is how a browser writes it.
            let usual = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
            let url = base(text).filter(|url| usual && written(url) == *text);
            url.is_some_and(|url| self.is_ours_or_configured(&url, text))
        };
        let named = self.host.as_ref().is_some_and(plain) && self.authority.iter().all(plain);
        let own =
            |origin: &String| self.host.as_ref().is_some_and(|h| *origin == format!("http://{h}"));
        named && self.origin.iter().all(own)
    }
}

/// A name that a parser may refuse for its spelling (`xn--`), but whoever resolves it ends here.
fn is_below_localhost(text: &str) -> bool {
    let name = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    plain && name.strip_suffix('.').unwrap_or(&name).ends_with(".localhost")
}

/// The URL that a browser would have loaded to send this `Host`; nothing if it holds more than a
/// host and a port.
fn base(host: &str) -> Option<Url> {
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
    (bare && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

/// The `Host` that a browser sends for `url`.
fn written(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}
