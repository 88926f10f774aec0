//! Where paths of the configuration lead, as far as that can be known before they are used.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Access, access};

use super::private::is_private;
use super::{Config, ConfigError, Place};

/// Looks at the paths that a start would fail with.
pub(super) fn check(config: &Config, made: &[&Path]) -> Result<(), ConfigError> {
    if let Some(path) = &config.logging.file
        && let Err(source) = appendable(path, made)
    {
        return Err(ConfigError::Path { key: "logging.file", path: path.clone(), source });
    }
    // One that is not there may be made in time.
    if let Some(path) = &config.agents.default_dir
        && fs::metadata(path).is_ok_and(|found| !found.is_dir())
    {
        let source = ErrorKind::NotADirectory.into();
        return Err(ConfigError::Path { key: "agents.default_dir", path: path.clone(), source });
    }
    Ok(())
}

/// What may be meant, and is worth a word.
pub(super) fn doubts(config: &Config) -> Vec<String> {
    let of_dir = config.agents.default_dir.as_deref().filter(|path| !path.exists());
    let of_dir = of_dir.map(|path| {
        format!("`agents.default_dir`, {}, is not there: nothing starts in it", path.display())
    });
    of_dir.into_iter().chain(open_secrets(config)).collect()
}

/// A configuration that others can read, with a secret in it.
fn open_secrets(config: &Config) -> Option<String> {
    let file = config.file.as_deref()?;
    let inside = |key: &&str| matches!(config.places.0.get(*key), Some(Place::File { .. }));
    let key = ["auth.jwt_secret", "auth.api_key"].into_iter().find(inside)?;
    let found = fs::metadata(file).ok()?;
    let mode = found.permissions().mode() & 0o777;
    (!is_private(mode, found.uid())).then(|| {
        let file = file.display();
        format!(
            "others can read `{key}` in {file} (mode {mode:04o}); chmod 600 it, or use {key}_file"
        )
    })
}

/// Whether a file could be opened to be appended to, or made. Nothing is opened, so that nobody waits
/// at a pipe that has no reader.
fn appendable(path: &Path, made: &[&Path]) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(_) => return Ok(access(path, Access::WRITE_OK)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let folder = match path.parent() {
        // A name alone is one of the working directory.
        None => path,
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    };
    match fs::metadata(folder) {
        Ok(_) => Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?),
        Err(error) if error.kind() == ErrorKind::NotFound && made.contains(&folder) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Surroundings};

    #[test]
    fn what_a_start_could_not_use_is_told_before_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let (file, none) = (dir.path().join("file"), dir.path().join("none"));
        fs::write(&file, "").unwrap();
        let log = |path: &Path, made: &[&Path]| {
            let mut config = Config::default();
            config.logging.file = Some(path.to_owned());
            check(&config, made).map_err(|error| error.to_string())
        };
        let alone = Path::new("a-name-alone.log");
        for fine in [&file, &dir.path().join("new.log"), Path::new("/dev/full"), alone] {
            log(fine, &[]).unwrap();
        }
        for wrong in [dir.path(), &file.join("x"), &none.join("x")] {
            let told = log(wrong, &[]).unwrap_err();
            assert!(told.starts_with("cannot use `logging.file`, "), "{told}");
        }
        log(&none.join("x"), &[&none]).expect("the daemon makes the folder");
        let names = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 1, "nothing is made by a look");
        let default = |path: &Path| {
            let mut config = Config::default();
            config.agents.default_dir = Some(path.to_owned());
            check(&config, &[])
        };
        assert!(default(&none).is_ok() && default(dir.path()).is_ok() && default(&file).is_err());
    }

    #[test]
    fn a_secret_that_others_can_read_and_a_folder_that_is_not_there_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.toml");
        let flags = Flags { config: Some(path.clone()), ..Flags::default() };
        let told = |file: &str, env: &[(&str, &str)], mode| {
            fs::write(&path, file).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Config::load(&flags, &Surroundings::with(env)).unwrap().doubts()
        };
        for key in ["jwt_secret", "api_key"] {
            let file = format!("[auth]\n{key} = 'a secret of more than thirty-two bytes'\n");
            let open = told(&file, &[], 0o644);
            assert!(open[0].contains(key) && open[0].contains("0644"), "{open:?}");
            assert!(!open[0].contains("thirty"), "{open:?}");
            assert_eq!(told(&file, &[], 0o600), Vec::<String>::new());
        }
        let by_environment = [("DESCARTES_AUTH__API_KEY", "a key of more than twenty letters")];
        assert_eq!(told("", &by_environment, 0o644), Vec::<String>::new());
        let none = told("[agents]\ndefault_dir = '/nowhere'\n", &[], 0o644);
        assert!(none.len() == 1 && none[0].contains("/nowhere"), "{none:?}");
    }
}
