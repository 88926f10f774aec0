//! A text that nobody is to see.

use std::{fmt, sync::Arc};

/// Bytes of a secret that is made here.
const RANDOM_BYTES: usize = 32;

/// A password, key or token: never printed, compared without telling by the time it takes where two
/// differ. Cheap to clone; not wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes `text` for a secret.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// A new one: 256 bits of the system's randomness in hexadecimal.
    ///
    /// # Errors
    ///
    /// When the system gives none.
    pub fn random() -> std::io::Result<Self> {
        random_hex(RANDOM_BYTES).map(Self::new)
    }

    /// The text itself. What is done with it must not end in a log, an error or an event.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stands for it where it is kept: it cannot be turned back, because a secret that is kept
    /// so has too many possible values to try.
    pub(crate) fn digest(&self) -> blake3::Hash {
        blake3::hash(self.0.as_bytes())
    }
}

/// What browsers remember and send again by themselves, and proxies are configured with.
const FOREIGN_SCHEMES: [&str; 4] = ["basic", "digest", "negotiate", "ntlm"];

/// Whether what somebody says of who they are (the field `Authorization` of HTTP) is of a scheme that
/// is meant for somebody else: where nobody needs credentials, it is not looked at.
#[must_use]
pub fn is_foreign(authorization: &str) -> bool {
    let scheme = authorization.split(' ').next().unwrap_or_default();
    FOREIGN_SCHEMES.iter().any(|foreign| scheme.eq_ignore_ascii_case(foreign))
}

/// So many random bytes in hexadecimal.
pub(super) fn random_hex(bytes: usize) -> std::io::Result<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(std::io::Error::other)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The digests are compared, in constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed_and_no_two_are_the_same() {
        let secret = Secret::random().unwrap();
        assert_eq!(secret.expose().len(), 2 * RANDOM_BYTES);
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert_eq!(secret, Secret::new(secret.expose()));
        assert_ne!(secret, Secret::random().unwrap());
    }
}
