//! Which names this server answers to: the wall against DNS rebinding.
//!
//! A page may point a name of its own at 127.0.0.1 and then is "same origin" with the daemon. It
//! cannot make the browser send another `Host` than that name, so only names that no stranger can
//! own are answered.

use std::net::IpAddr;

use http::{HeaderValue, Uri};

use super::{Field, authority::Authority};

/// What is wrong with the `Host` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostFault {
    /// Absent, repeated or not a host at all.
    Invalid,
    /// A host, but not this one.
    Misdirected,
}

/// Checks the `Host` field and, where the request line has one, the authority there.
///
/// # Errors
///
/// [`HostFault`] with the difference between a broken and a foreign name.
pub(crate) fn check(
    host: Field<'_>,
    uri: &Uri,
    local: Option<IpAddr>,
    allowed: &[String],
) -> Result<(), HostFault> {
    let Field::Once(host) = host else { return Err(HostFault::Invalid) };
    let named = |text: &str| match Authority::parse(text).map(|authority| authority.name) {
        None => Err(HostFault::Invalid),
        Some(name) if is_ours(name, local) || is_allowed(text, name, allowed) => Ok(()),
        Some(_) => Err(HostFault::Misdirected),
    };
    named(text_of(host)?)?;
    uri.authority().map_or(Ok(()), |authority| named(authority.as_str()))
}

fn text_of(host: &HeaderValue) -> Result<&str, HostFault> {
    host.to_str().ok().ok_or(HostFault::Invalid)
}

fn is_ours(name: &str, local: Option<IpAddr>) -> bool {
    if let Some(address) = literal(name) {
        return address.is_loopback() || local.is_some_and(|own| own.to_canonical() == address);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let tail = name.len().checked_sub("localhost".len()).and_then(|at| name.split_at_checked(at));
    tail.is_some_and(|(before, last)| {
        last.eq_ignore_ascii_case("localhost") && (before.is_empty() || before.ends_with('.'))
    })
}

/// The address that a name spells, IPv4-mapped ones as IPv4.
fn literal(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let address: IpAddr = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => IpAddr::V4(name.parse().ok()?),
    };
    Some(address.to_canonical())
}

/// A configured name matches with any port, a configured `name:port` only with that one.
fn is_allowed(text: &str, name: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|entry| entry.eq_ignore_ascii_case(name) || entry.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(host: &'static str, local: &str, allowed: &[&str]) -> Result<(), HostFault> {
        let value = HeaderValue::from_static(host);
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let local = local.parse().ok();
        check(Field::Once(&value), &Uri::from_static("/"), local, &allowed)
    }

    #[test]
    fn loopback_is_answered_under_all_its_names() {
        for host in [
            "localhost",
            "localhost:8080",
            "LocalHost",
            "localhost.",
            "agents.localhost",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert_eq!(judge(host, "127.0.0.1", &[]), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_name_that_a_stranger_can_own_is_misdirected() {
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "0.0.0.0:8080",
            "10.0.0.1",
            "[2001:db8::1]",
            "[::]",
            "127.1",
            "2130706433",
            "::1",
        ] {
            let fault = judge(host, "127.0.0.1", &[]).unwrap_err();
            assert!(matches!(fault, HostFault::Misdirected | HostFault::Invalid), "{host}");
        }
        assert_eq!(judge("evil.example", "127.0.0.1", &[]), Err(HostFault::Misdirected));
    }

    #[test]
    fn what_is_no_host_is_invalid() {
        for host in ["", ":80", "a@localhost", "localhost:80x", "[::1", "localhost/x", "a,b", "a b"]
        {
            assert_eq!(judge(host, "127.0.0.1", &[]), Err(HostFault::Invalid), "{host}");
        }
        let uri = Uri::from_static("/");
        assert_eq!(check(Field::Absent, &uri, None, &[]), Err(HostFault::Invalid));
        assert_eq!(check(Field::Repeated, &uri, None, &[]), Err(HostFault::Invalid));
    }

    #[test]
    fn the_sockets_own_address_and_configured_names_are_answered() {
        assert_eq!(judge("192.168.1.7:8080", "192.168.1.7", &[]), Ok(()));
        assert_eq!(judge("192.168.1.7:8080", "::ffff:192.168.1.7", &[]), Ok(()));
        assert_eq!(judge("[fe80::7]", "fe80::7", &[]), Ok(()));
        assert_eq!(judge("192.168.1.8", "192.168.1.7", &[]), Err(HostFault::Misdirected));
        assert_eq!(judge("Agents.Example:443", "127.0.0.1", &["agents.example"]), Ok(()));
        assert_eq!(judge("a.example:443", "127.0.0.1", &["a.example:443"]), Ok(()));
        assert_eq!(
            judge("a.example:80", "127.0.0.1", &["a.example:443"]),
            Err(HostFault::Misdirected)
        );
    }

    #[test]
    fn an_absolute_request_line_must_name_this_server_too() {
        let host = HeaderValue::from_static("localhost");
        let uri = Uri::from_static("http://evil.example/rpc");
        assert_eq!(check(Field::Once(&host), &uri, None, &[]), Err(HostFault::Misdirected));
        let uri = Uri::from_static("http://localhost:1/rpc");
        assert_eq!(check(Field::Once(&host), &uri, None, &[]), Ok(()));
    }
}
