//! Whether a program is logged in, as far as that can be told by looking.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::Login;

/// By what the login of a program is told.
pub(super) struct Signs {
    /// Variables that carry a key.
    pub(super) keys: &'static [&'static str],
    /// Files that it keeps its login in.
    pub(super) files: &'static [Place],
    /// Variables by which it may log in otherwise.
    pub(super) other_keys: &'static [&'static str],
    /// Files that may say how else it logs in.
    pub(super) other_files: &'static [Place],
    /// Whether it can be used without any of these.
    pub(super) is_optional: bool,
}

/// A file of a program.
pub(super) struct Place {
    /// The variable that names its folder.
    pub(super) folder: &'static str,
    /// The folder below the home directory when there is no such variable.
    pub(super) home: &'static str,
    /// The file below either.
    pub(super) file: &'static str,
}

impl Signs {
    /// What they say, where the program has these variables. Looks at files.
    pub(super) fn read(&self, env: &BTreeMap<OsString, OsString>) -> Login {
        let value = |name: &str| env.get(OsStr::new(name)).filter(|value| !value.is_empty());
        let has_one = |names: &[&str]| names.iter().any(|name| value(name).is_some());
        let is_there = |place: &Place| {
            let home = || value("HOME").map(|home| PathBuf::from(home).join(place.home));
            let folder = value(place.folder).map(PathBuf::from).or_else(home);
            folder.is_some_and(|folder| folder.join(place.file).is_file())
        };
        if has_one(self.keys) || self.files.iter().any(is_there) {
            return Login::Ok;
        }
        let otherwise = has_one(self.other_keys) || self.other_files.iter().any(is_there);
        if otherwise || self.is_optional { Login::Unknown } else { Login::Missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNS: Signs = Signs {
        keys: &["A_KEY"],
        files: &[Place { folder: "A_HOME", home: ".a", file: "auth.json" }],
        other_keys: &["A_CLOUD"],
        other_files: &[Place { folder: "A_HOME", home: ".a", file: "settings.json" }],
        is_optional: false,
    };

    fn read(signs: &Signs, env: &[(&str, &str)]) -> Login {
        signs.read(&env.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn a_key_or_a_file_is_a_login_and_what_may_be_one_is_not_told() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().to_str().expect("a path");
        let mine = [("HOME", path)];
        assert_eq!(read(&SIGNS, &mine), Login::Missing);
        assert_eq!(read(&SIGNS, &[]), Login::Missing, "also without a home");
        assert_eq!(read(&SIGNS, &[("A_KEY", "k")]), Login::Ok);
        assert_eq!(read(&SIGNS, &[("A_KEY", "")]), Login::Missing, "an empty key is none");
        assert_eq!(read(&SIGNS, &[("A_CLOUD", "1")]), Login::Unknown);
        assert_eq!(read(&Signs { is_optional: true, ..SIGNS }, &mine), Login::Unknown);
        std::fs::create_dir(home.path().join(".a")).expect("a folder");
        std::fs::write(home.path().join(".a/settings.json"), "{}").expect("a file");
        assert_eq!(read(&SIGNS, &mine), Login::Unknown);
        std::fs::write(home.path().join(".a/auth.json"), "{}").expect("a file");
        assert_eq!(read(&SIGNS, &mine), Login::Ok);
        let elsewhere = [("HOME", path), ("A_HOME", "/nowhere")];
        assert_eq!(read(&SIGNS, &elsewhere), Login::Missing, "a variable says where");
    }
}
