//! Files that nobody else may read: keys, secrets and tokens.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use descartes_rpc::auth::Secret;

use super::ConfigError;

/// Bytes of a file with a secret; a longer one is none.
const FILE_BYTES: u64 = 64 * 1024;

/// Reads the file of `key`; a newline at its end is none of the secret.
///
/// # Errors
/// When it cannot be read, or others can.
pub(crate) fn read(key: &str, path: &Path) -> Result<Secret, ConfigError> {
    let unreadable = |source| {
        let (key, path) = (key.to_owned(), path.to_owned());
        ConfigError::SecretFile { key, path, source }
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if !is_private(mode, metadata.uid()) {
        return Err(ConfigError::ExposedSecret {
            key: key.to_owned(),
            path: path.to_owned(),
            mode,
        });
    }
    if !metadata.is_file() || metadata.len() > FILE_BYTES {
        let what = "it is no file of at most 64 KiB";
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(Secret::new(text.trim_end_matches(['\n', '\r'])))
}

/// Whether nobody else can read a file. A group may, of a file that root has given to a service.
pub(super) fn is_private(mode: u32, owner: u32) -> bool {
    let others = if owner == 0 && rustix::process::geteuid().as_raw() != 0 { 0o037 } else { 0o077 };
    mode & others == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_moderate_size_that_is_ones_own_is_read() {
        assert!(is_private(0o400, 1) && !is_private(0o440, 1) && !is_private(0o404, 0));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "text\r\n").unwrap();
        let told = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read("a.b", &path)
        };
        assert!(told(0o644).unwrap_err().is_safety());
        assert_eq!(told(0o600).unwrap().expose(), "text");
        fs::write(&path, "x".repeat(64 * 1024 + 1)).unwrap();
        assert!(!told(0o600).unwrap_err().is_safety());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let error = read("a.b", dir.path()).unwrap_err().to_string();
        assert!(error.contains("a.b") && error.contains("no file"), "{error}");
    }
}
