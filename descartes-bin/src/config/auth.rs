//! `[auth]`: who is let in, and the secrets that say so.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use descartes_rpc::auth::{Secret, TOKEN_SECRET_BYTES};

use super::setting::{Expected, Setting, Value};
use super::{ConfigError, private};

/// Characters of a configured API key.
const API_KEY_CHARS: std::ops::RangeInclusive<usize> = 20..=256;
/// What stands in examples and is a secret nowhere.
const PLACEHOLDERS: [&str; 6] =
    ["change-me", "changeme", "your-secret", "your-api-key", "replace-me", "example-secret"];

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Whether everybody over TCP needs credentials, the same user too.
    pub enabled: bool,
    /// Whether being the same user is enough over TCP also in a container, where it proves little.
    pub trust_loopback: bool,
    /// What tokens are signed with.
    pub jwt_secret: Option<Secret>,
    /// A file with what tokens are signed with.
    pub jwt_secret_file: Option<PathBuf>,
    /// For whom tokens must be.
    pub audience: String,
    /// Seconds that a token lasts that is made here unless somebody says.
    pub token_expiry_secs: TokenAge,
    /// A key that may do everything.
    pub api_key: Option<Secret>,
    /// A file with a key that may do everything.
    pub api_key_file: Option<PathBuf>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            enabled: false,
            trust_loopback: false,
            jwt_secret: None,
            jwt_secret_file: None,
            audience: "descartes".to_owned(),
            token_expiry_secs: TokenAge(3600),
            api_key: None,
            api_key_file: None,
        }
    }
}

/// Seconds that a token may last: at most a year, as the daemon has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenAge(pub u64);

impl Setting for TokenAge {
    fn read(value: &Value) -> Result<Self, Expected> {
        let most = descartes_rpc::limits::TOKEN_AGE.as_secs();
        let number = u64::read(value).ok().filter(|secs| (1..=most).contains(secs));
        number.map(Self).ok_or("a whole number from 1 to 31622400")
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

/// Never shown as itself: what is written is only that there is one.
impl Setting for Secret {
    fn read(value: &Value) -> Result<Self, Expected> {
        String::read(value).map(Self::new)
    }

    fn show(&self) -> Option<String> {
        Some(String::new())
    }
}

/// The secrets of `[auth]`, wherever they were.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// What tokens are signed with.
    pub jwt: Option<Secret>,
    /// A key that may do everything.
    pub api_key: Option<Secret>,
}

impl Auth {
    /// Reads the files, and checks what was given.
    ///
    /// # Errors
    /// When a file cannot be read or others can, and when a secret is none.
    pub fn secrets(&self) -> Result<Secrets, ConfigError> {
        let jwt =
            one("auth.jwt_secret", self.jwt_secret.as_ref(), self.jwt_secret_file.as_deref())?;
        let api_key = one("auth.api_key", self.api_key.as_ref(), self.api_key_file.as_deref())?;
        if let Some(secret) = &jwt
            && let Some(why) = weakness(secret.expose(), TOKEN_SECRET_BYTES)
        {
            return Err(ConfigError::WeakSecret { key: "auth.jwt_secret", why });
        }
        if let Some(key) = &api_key {
            let (text, least) = (key.expose(), *API_KEY_CHARS.start());
            if let Some(why) = weakness(text, least) {
                return Err(ConfigError::WeakSecret { key: "auth.api_key", why });
            }
            if text.chars().count() > *API_KEY_CHARS.end() {
                let why = "at most 256 characters".to_owned();
                return Err(ConfigError::WeakSecret { key: "auth.api_key", why });
            }
        }
        Ok(Secrets { jwt, api_key })
    }

    /// Whether a port on `address` may be listened at, which strangers may reach.
    pub(crate) fn guards(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.enabled
    }
}

fn one(
    key: &'static str,
    text: Option<&Secret>,
    file: Option<&Path>,
) -> Result<Option<Secret>, ConfigError> {
    match (text, file) {
        (Some(_), Some(_)) => Err(ConfigError::TwoSecrets { key }),
        (Some(text), None) => Ok(Some(text.clone())),
        (None, Some(path)) => private::read(&format!("{key}_file"), path).map(Some),
        (None, None) => Ok(None),
    }
}

/// What is wrong with a secret, which is not told itself.
fn weakness(text: &str, least: usize) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if PLACEHOLDERS.iter().any(|placeholder| lower.starts_with(placeholder)) {
        return Some("it is a placeholder of an example".to_owned());
    }
    (text.len() < least).then(|| format!("it needs at least {least} bytes"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const GOOD: &str = "a secret of more than thirty-two bytes";

    #[test]
    fn placeholders_and_short_secrets_are_refused_and_not_told() {
        for weak in [
            "change-me-in-production-change-me-in-production",
            "your-secret-key-your-secret-key-your-secret-key",
            "Changeme changeme changeme changeme",
            "short",
        ] {
            let auth = Auth { jwt_secret: Some(Secret::new(weak)), ..Auth::default() };
            let error = auth.secrets().unwrap_err();
            assert!(error.is_safety() && !error.to_string().contains(weak), "{error}");
            let auth = Auth { api_key: Some(Secret::new(weak)), ..Auth::default() };
            assert!(auth.secrets().unwrap_err().is_safety());
        }
        let long = Secret::new("x".repeat(257));
        let auth =
            Auth { api_key: Some(long), jwt_secret: Some(Secret::new(GOOD)), ..Auth::default() };
        assert!(auth.secrets().is_err());
        let auth = Auth { api_key: Some(Secret::new("x".repeat(20))), ..auth };
        assert_eq!(auth.secrets().unwrap().jwt, Some(Secret::new(GOOD)));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_its_newline_is_no_part_of_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, format!("{GOOD}\n")).unwrap();
        let auth = Auth { jwt_secret_file: Some(path.clone()), ..Auth::default() };
        for mode in [0o604, 0o640, 0o666, 0o644] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = auth.secrets().unwrap_err();
            assert!(error.is_safety(), "{mode:o}: {error}");
            assert!(error.to_string().contains(&path.display().to_string()));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(auth.secrets().unwrap().jwt.unwrap().expose(), GOOD);
        let both = Auth { jwt_secret: Some(Secret::new(GOOD)), ..auth.clone() };
        assert!(both.secrets().is_err());
        fs::remove_file(&path).unwrap();
        assert!(!auth.secrets().unwrap_err().is_safety());
    }

    #[test]
    fn a_port_may_be_reached_from_afar_only_with_authentication() {
        let (near, far) = ("127.0.0.1".parse().unwrap(), "0.0.0.0".parse().unwrap());
        let (off, on) = (Auth::default(), Auth { enabled: true, ..Auth::default() });
        assert!(off.guards(near) && on.guards(near));
        assert!(on.guards(far) && !off.guards(far));
    }
}
