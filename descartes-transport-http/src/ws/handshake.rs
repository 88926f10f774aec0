//! The opening handshake (RFC 6455 section 4), as pure functions over header fields.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};

use crate::response_body::ResponseBody;

/// What is appended to a key before it is hashed (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version there is (section 4.1).
pub(crate) const VERSION: HeaderValue = HeaderValue::from_static("13");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");
/// A key is so many bytes, in Base64 (section 4.1).
const KEY_BYTES: usize = 16;

/// Why a request is no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHandshake {
    /// It does not ask for a WebSocket, or for one of another version.
    UpgradeRequired,
    /// It asks for one and says something that makes no sense.
    Malformed,
}

/// The key that the peer's accept must be made of.
///
/// # Errors
///
/// [`NoHandshake`] when the request asks for something else.
pub(crate) fn read(version: Version, headers: &HeaderMap) -> Result<&HeaderValue, NoHandshake> {
    // Section 4.2.1: HTTP/1.1 or higher; below it there is no upgrade.
    let asked = version >= Version::HTTP_11
        && names(headers, header::CONNECTION, "upgrade")
        && names(headers, header::UPGRADE, "websocket");
    let known = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|found| *found == VERSION);
    if !asked || !known {
        return Err(NoHandshake::UpgradeRequired);
    }
    let key = once(headers, header::SEC_WEBSOCKET_KEY).ok_or(NoHandshake::Malformed)?;
    let decoded = STANDARD.decode(key.as_bytes()).ok();
    let fits = decoded.is_some_and(|decoded| decoded.len() == KEY_BYTES);
    fits.then_some(key).ok_or(NoHandshake::Malformed)
}

/// The answer that makes the connection a WebSocket.
pub(crate) fn accepted(key: &HeaderValue) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept(key));
    response
}

/// Proves that the key was read by somebody who speaks WebSocket (section 4.2.2, point 5.4).
fn accept(key: &HeaderValue) -> HeaderValue {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    let text = STANDARD.encode(hash.digest().bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        .expect("Base64 is made of letters that a field may have")
}

/// Whether one of the words that `field` lists is `word`.
fn names(headers: &HeaderMap, field: HeaderName, word: &str) -> bool {
    headers.get_all(field).iter().any(|value| {
        let mut words = value.as_bytes().split(|byte| *byte == b',');
        words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    })
}

fn once(headers: &HeaderMap, field: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(field).iter();
    values.next().filter(|_| values.next().is_none())
}

/// A client's side of the handshake.
#[cfg(feature = "client")]
pub(super) mod asking {
    use super::{
        HeaderMap, HeaderValue, StatusCode, UPGRADE, VERSION, WEBSOCKET, accept, header, names,
        once,
    };
    use base64::{Engine, engine::general_purpose::STANDARD};

    /// The key for one handshake.
    pub(in crate::ws) fn key(random: [[u8; 8]; 2]) -> HeaderValue {
        let text = STANDARD.encode(random.as_flattened());
        HeaderValue::from_str(&text).expect("Base64 is made of letters that a field may have")
    }

    /// The fields that ask for a WebSocket.
    pub(in crate::ws) fn ask(headers: &mut HeaderMap, key: &HeaderValue) {
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, WEBSOCKET);
        headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(header::SEC_WEBSOCKET_KEY, key.clone());
    }

    /// Whether the answer makes the connection a WebSocket (section 4.1, the client's checks).
    pub(in crate::ws) fn is_granted(
        status: StatusCode,
        headers: &HeaderMap,
        key: &HeaderValue,
    ) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS
            && names(headers, header::CONNECTION, "upgrade")
            && names(headers, header::UPGRADE, "websocket")
            && once(headers, header::SEC_WEBSOCKET_ACCEPT) == Some(&accept(key))
            // What was not offered cannot be chosen.
            && !headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
            && !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn headers(change: Option<(&'static str, &'static str)>) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ] {
            map.insert(name, HeaderValue::from_static(value));
        }
        if let Some((name, value)) = change {
            map.insert(name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn the_accept_is_that_of_the_rfc() {
        // RFC 6455 section 1.3.
        assert_eq!(accept(&HeaderValue::from_static(KEY)), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_handshake_is_told_from_what_is_none() {
        use NoHandshake::{Malformed, UpgradeRequired};
        assert_eq!(read(Version::HTTP_11, &headers(None)).unwrap(), KEY);
        assert_eq!(read(Version::HTTP_10, &headers(None)), Err(UpgradeRequired));
        for (name, value, expected) in [
            ("connection", "keep-alive", UpgradeRequired),
            ("upgrade", "h2c", UpgradeRequired),
            ("sec-websocket-version", "8", UpgradeRequired),
            ("sec-websocket-key", "", Malformed),
            ("sec-websocket-key", "dGhlIHNhbXBsZQ==", Malformed),
            ("sec-websocket-key", "not base 64", Malformed),
        ] {
            let found = read(Version::HTTP_11, &headers(Some((name, value)))).map(|_| ());
            assert_eq!(found, Err(expected), "{name}: {value}");
        }
        let mut twice = headers(None);
        twice.append("sec-websocket-key", HeaderValue::from_static(KEY));
        assert_eq!(read(Version::HTTP_11, &twice), Err(Malformed));
    }

    #[cfg(feature = "client")]
    #[test]
    fn a_server_is_believed_only_if_it_has_read_the_key() {
        let key = asking::key([[1; 8], [2; 8]]);
        let mut request = HeaderMap::new();
        asking::ask(&mut request, &key);
        let (parts, _) = accepted(read(Version::HTTP_11, &request).unwrap()).into_parts();
        assert!(asking::is_granted(parts.status, &parts.headers, &key));
        let other = asking::key([[1; 8], [3; 8]]);
        assert!(!asking::is_granted(parts.status, &parts.headers, &other));
        assert!(!asking::is_granted(StatusCode::OK, &parts.headers, &key));
    }
}
