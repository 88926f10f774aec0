//! Tokens: JSON Web Tokens (RFC 7519) of one kind, HMAC with SHA-256 (RFC 7515, RFC 7518
//! section 3.2), under the rules of RFC 8725.
//!
//! Only that one algorithm is spoken and only two members of the header are known, so that there is
//! nothing to choose for whoever makes a token. The signature is checked before anything is read.

mod claims;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use descartes_core::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::secret::Secret;
use crate::limits::{TOKEN_BYTES, TOKEN_CLOCK_SKEW};

pub(crate) use claims::Claims;

/// The shortest secret that tokens may be signed with: as long as the signature (RFC 7518,
/// section 3.2).
pub const TOKEN_SECRET_BYTES: usize = 32;

/// The header of every token that is made here.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What tokens are signed and checked with.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenKey {
    secret: Secret,
    audience: Arc<str>,
}

/// A secret that is too short to sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret of tokens needs at least {TOKEN_SECRET_BYTES} bytes")]
pub struct ShortSecret;

/// What is wrong with a token: for the log, never for its bearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Longer than [`TOKEN_BYTES`].
    TooLong,
    /// Not three parts of Base64 for URLs.
    Shape,
    /// Signed by somebody else, or not at all.
    Signature,
    /// Another algorithm, or members that nobody asked for.
    Header,
    /// A claim that is needed is missing, twice there, or of another type.
    Claims,
    /// For somebody else.
    Audience,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    Early,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "claims::said")]
    typ: Option<String>,
}

impl TokenKey {
    /// Signs for `audience` with `secret`.
    ///
    /// # Errors
    ///
    /// When the secret is too short.
    pub fn new(secret: Secret, audience: impl Into<Arc<str>>) -> Result<Self, ShortSecret> {
        if secret.expose().len() < TOKEN_SECRET_BYTES {
            return Err(ShortSecret);
        }
        Ok(Self { secret, audience: audience.into() })
    }

    /// The token that says `claims`.
    pub(crate) fn sign(&self, claims: &Claims) -> Secret {
        let payload = claims.write(&self.audience);
        let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
        let message = format!("{}.{}", encode(HEADER), encode(&payload));
        let signature = self.mac(message.as_bytes()).finalize().into_bytes();
        Secret::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What `token` says, if it may be believed at `now`.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Flaw> {
        if token.len() > TOKEN_BYTES {
            return Err(Flaw::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Flaw::Shape)?;
        let (header, payload) = message.split_once('.').ok_or(Flaw::Shape)?;
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        self.mac(message.as_bytes()).verify_slice(&signature).map_err(|_error| Flaw::Signature)?;
        check_header(&header)?;
        let claims = Claims::read(&payload, &self.audience)?;
        let (now, skew) = (now.as_millis() / 1000, TOKEN_CLOCK_SKEW.as_secs().cast_signed());
        if claims.expires_at <= now {
            return Err(Flaw::Expired);
        }
        if claims.begins_at > now + skew {
            return Err(Flaw::Early);
        }
        Ok(claims)
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes());
        let mut mac = mac.expect("HMAC takes keys of any length");
        mac.update(message);
        mac
    }
}

/// One part; only the one way to write its bytes is read.
fn decode(part: &str) -> Result<Vec<u8>, Flaw> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_error| Flaw::Shape)?;
    if bytes.is_empty() { Err(Flaw::Shape) } else { Ok(bytes) }
}

fn check_header(text: &[u8]) -> Result<(), Flaw> {
    if text.first() != Some(&b'{') {
        return Err(Flaw::Header);
    }
    let header: Header = serde_json::from_slice(text).map_err(|_error| Flaw::Header)?;
    let is_token = header.typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
    if header.alg == "HS256" && is_token { Ok(()) } else { Err(Flaw::Header) }
}

#[cfg(test)]
mod tests;
