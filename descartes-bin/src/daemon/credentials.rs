//! What the daemon knows its callers by.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use descartes_rpc::auth::{AuthSettings, Authenticator, Renewed, Secret, TokenKey};
use descartes_rpc::meter::Meter;

use super::Failure;
use crate::config::{Auth, Config};

/// The file of a secret that was made here, in the folder of secrets.
const MADE: &str = "jwt_secret";

/// What the daemon knows its callers by. Who is not believed is counted in `meter`.
pub(super) fn authenticator(
    config: &Config,
    folder: &Path,
    meter: &Meter,
) -> Result<Authenticator, Failure> {
    let mut settings = settings(config, folder)?;
    settings.meter = meter.clone();
    Ok(Authenticator::new(settings))
}

/// Reads the secrets of the configuration; where authentication is on and there is none for tokens,
/// one is made and kept in `folder`.
pub(super) fn settings(config: &Config, folder: &Path) -> Result<AuthSettings, Failure> {
    let (auth, secrets) = (&config.auth, config.secrets()?);
    let secret = match secrets.jwt {
        None if auth.enabled => {
            let kept = kept(folder).map_err(Failure::internal("keep the secret of tokens"))?;
            Some(kept)
        }
        secret => secret,
    };
    let tokens = secret.map(|secret| TokenKey::new(secret, auth.audience.as_str()));
    let mut settings = AuthSettings::default();
    settings.required = auth.enabled;
    settings.tokens = tokens.transpose().map_err(Failure::internal("sign tokens"))?;
    settings.token_expiry = Duration::from_secs(auth.token_expiry_secs.0);
    settings.api_key = secrets.api_key;
    Ok(settings)
}

/// The files that say something else than before.
pub(super) fn anew(auth: &Auth, renewed: Renewed) -> impl Iterator<Item = &'static str> {
    let tokens = auth.jwt_secret_file.is_some() && renewed.tokens;
    let api_key = auth.api_key_file.is_some() && renewed.api_key;
    let files = [(tokens, "auth.jwt_secret_file"), (api_key, "auth.api_key_file")];
    files.into_iter().filter_map(|(is_other, key)| is_other.then_some(key))
}

/// The secret that was made here, or a new one. The data directory is this daemon's alone by now.
fn kept(folder: &Path) -> io::Result<Secret> {
    let path = folder.join(MADE);
    let mut text = String::new();
    match OpenOptions::new().read(true).open(&path) {
        Ok(mut file) => {
            file.read_to_string(&mut text)?;
            return Ok(Secret::new(text.trim_end()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let secret = Secret::random()?;
    let new = folder.join(format!("{MADE}.new"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(secret.expose().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_kept_for_us_alone_and_only_with_authentication_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("secrets");
        let meter = Meter::default();
        let mut config = Config::default();
        authenticator(&config, &folder, &meter).unwrap();
        assert!(!folder.exists());
        config.auth.enabled = true;
        assert!(authenticator(&config, &folder, &meter).unwrap().is_required());
        let made = std::fs::read_to_string(folder.join(MADE)).unwrap();
        assert_eq!(made.len(), 64);
        let mode = std::fs::metadata(folder.join(MADE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        authenticator(&config, &folder, &meter).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join(MADE)).unwrap(), made);
    }
}
