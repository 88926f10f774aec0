//! What a token says.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, SeqAccess, Visitor},
};

use super::Flaw;
use crate::{
    auth::subject,
    limits::{MAKERS, TOKEN_SCOPES},
};

/// Seconds since the epoch that a time may be: the year 9999.
const LATEST: i64 = 253_402_300_799;

/// What a token says of its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
    /// Seconds since the epoch, as all times here.
    pub(crate) issued_at: i64,
    /// Not to be believed before.
    pub(crate) begins_at: i64,
    pub(crate) expires_at: i64,
    /// By which it can be revoked; one without is revoked by its own text.
    pub(crate) id: Option<String>,
    /// The keys and tokens that it was made through, the first maker first; none where somebody else
    /// has made it.
    pub(crate) makers: Vec<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    scope: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    made_with: &'a [String],
}

/// Members that are not known are ignored (RFC 7519, section 4); a known one twice is an error, and
/// so is `null`, which is not the same as a member that is missing.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    sub: Cow<'a, str>,
    aud: Texts,
    iat: Seconds,
    exp: Seconds,
    #[serde(default, deserialize_with = "said")]
    nbf: Option<Seconds>,
    scope: Texts,
    #[serde(default, deserialize_with = "said")]
    jti: Option<String>,
    #[serde(default, deserialize_with = "said")]
    made_with: Option<Texts>,
}

impl Claims {
    /// As JSON, for `audience`.
    pub(super) fn write(&self, audience: &str) -> String {
        let written = Written {
            sub: &self.subject,
            aud: audience,
            iat: self.issued_at,
            exp: self.expires_at,
            scope: &self.scopes,
            jti: self.id.as_deref(),
            made_with: &self.makers,
        };
        serde_json::to_string(&written).expect("texts and numbers can always be written")
    }

    pub(super) fn read(payload: &[u8], audience: &str) -> Result<Self, Flaw> {
        // What is derived would take an array too.
        if payload.first() != Some(&b'{') {
            return Err(Flaw::Claims);
        }
        let read: Read<'_> = serde_json::from_slice(payload).map_err(|_error| Flaw::Claims)?;
        if !subject::is_valid(&read.sub) || read.jti.as_deref().is_some_and(|id| !is_id(id)) {
            return Err(Flaw::Claims);
        }
        if !read.aud.0.iter().any(|one| one == audience) {
            return Err(Flaw::Audience);
        }
        // One text is all scopes, separated by spaces (RFC 8693, section 4.2).
        let scopes: Vec<String> = read
            .scope
            .0
            .iter()
            .flat_map(|text| text.split_ascii_whitespace())
            .map(str::to_owned)
            .collect();
        if scopes.len() > TOKEN_SCOPES {
            return Err(Flaw::Claims);
        }
        let makers = read.made_with.map_or_else(Vec::new, |texts| texts.0);
        if makers.len() > MAKERS {
            return Err(Flaw::Claims);
        }
        Ok(Self {
            makers,
            subject: read.sub.into_owned(),
            scopes,
            issued_at: read.iat.0,
            begins_at: read.nbf.map_or(read.iat.0, |begins| begins.0.max(read.iat.0)),
            expires_at: read.exp.0,
            id: read.jti,
        })
    }
}

fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && !text.contains(char::is_control)
}

/// A member that may be missing, but is no `null` where it is there.
pub(super) fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    input: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

/// A time as a number; a text that looks like one is none.
struct Seconds(i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Seconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since the epoch")
            }

            fn visit_u64<E: de::Error>(self, secs: u64) -> Result<Seconds, E> {
                let secs = i64::try_from(secs).ok().filter(|secs| *secs <= LATEST);
                secs.map(Seconds).ok_or_else(|| E::custom("too late"))
            }

            /// RFC 7519 section 2 allows fractions.
            fn visit_f64<E: de::Error>(self, secs: f64) -> Result<Seconds, E> {
                #[expect(clippy::cast_precision_loss, reason = "it is far below 2^53")]
                let fits = (0.0..=LATEST as f64).contains(&secs);
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "it is in range, and cut on purpose"
                )]
                let whole = secs as i64;
                if fits { Ok(Seconds(whole)) } else { Err(E::custom("no time")) }
            }
        }

        input.deserialize_any(Number)
    }
}

/// One text, or several.
struct Texts(Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or an array of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = all.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        input.deserialize_any(OneOrMany)
    }
}
