//! Where paths of the configuration lead, as far as that can be known before they are used.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::{Access, access};

use super::{Config, ConfigError};

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

/// Whether a file could be opened to be appended to, or made. Nothing is opened, so that nobody waits
/// at a pipe that has no reader.
fn appendable(path: &Path, made: &[&Path]) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(_) => return Ok(access(path, Access::WRITE_OK)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let folder = path.parent().unwrap_or(path);
    match fs::metadata(folder) {
        Ok(_) => Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?),
        Err(error) if error.kind() == ErrorKind::NotFound && made.contains(&folder) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for fine in [&file, &dir.path().join("new.log"), Path::new("/dev/full")] {
            log(fine, &[]).unwrap();
        }
        for wrong in [dir.path(), &file.join("x"), &none.join("x"), Path::new("/proc/none")] {
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
}
