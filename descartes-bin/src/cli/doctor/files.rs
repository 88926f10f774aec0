//! Files that nobody else is to read, and who may.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::{Finding, Grade};
use crate::config::{Config, ConfigError};
use crate::directories::Directories;

/// Permissions of everybody but the owner.
const OTHERS: u32 = 0o077;
/// Permissions of everybody but the owner and its group.
const STRANGERS: u32 = 0o007;
/// The right to write, of everybody but the owner.
const WRITE: u32 = 0o022;
/// Names that are told; of more only how many there are.
const TOLD: usize = 5;

/// What the daemon keeps and what it listens on.
pub(super) fn kept(
    directories: &Directories,
    config: Option<&Config>,
    findings: &mut Vec<Finding>,
) {
    let secrets = directories.secrets();
    for (check, path) in
        [("data directory is private", &directories.data), ("secrets directory", &secrets)]
    {
        findings.extend(guarded(check, path, OTHERS));
    }
    findings.extend(each_guarded("secrets", &secrets));
    let server = config.map(|config| &config.server);
    let group = server.is_some_and(|server| server.unix_socket_group.is_some());
    let socket = server.and_then(|server| server.unix_socket.clone());
    let forbidden = if group { STRANGERS } else { OTHERS };
    let own = socket.unwrap_or_else(|| directories.socket());
    findings.extend(guarded("unix socket", &own, forbidden));
    for (check, path) in [
        ("ZeroMQ socket", directories.zmq_socket()),
        ("publisher's socket", directories.publisher_socket()),
        ("endpoints.json", directories.endpoints()),
    ] {
        findings.extend(guarded(check, &path, OTHERS));
    }
}

/// The configuration's file, and the secrets that are in it or that it names. `in_file`: whether
/// secrets stand in it.
pub(super) fn configured(config: &Config, in_file: bool, findings: &mut Vec<Finding>) {
    if let Some(file) = &config.file {
        let check = "configuration file";
        let written = guarded(check, file, WRITE);
        let read = in_file.then(|| guarded(check, file, OTHERS)).flatten();
        let read = read.filter(|finding| finding.status != Grade::Ok).map(|mut finding| {
            finding.finding.push_str(", and secrets are in it");
            finding.advice = Some(format!(
                "chmod 600 {}, or put them into files of their own (jwt_secret_file, api_key_file)",
                file.display()
            ));
            finding
        });
        findings.extend(read.or(written));
    }
    let check = "secrets of [auth]";
    match config.auth.secrets() {
        Ok(secrets) if secrets.jwt.is_none() && secrets.api_key.is_none() => {}
        Ok(_) => findings.push(Finding::ok(check, "long enough, and no placeholders")),
        Err(error) => {
            let advice = match &error {
                ConfigError::ExposedSecret { path, .. } => format!("chmod 600 {}", path.display()),
                ConfigError::WeakSecret { .. } => {
                    "make one: `openssl rand -hex 32`, in a file of mode 0600".to_owned()
                }
                ConfigError::TwoSecrets { key } => format!("keep `{key}_file` alone"),
                _ => "make the file readable for the daemon's user alone".to_owned(),
            };
            findings.push(Finding::new(Grade::Broken, check, error.to_string(), advice));
        }
    }
}

/// What is found of a file that is to be its owner's; nothing where there is none.
fn guarded(check: &str, path: &Path, forbidden: u32) -> Option<Finding> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            let finding = format!("{}: {error}", path.display());
            let advice = "look at it as the daemon's own user";
            return Some(Finding::new(Grade::Warning, check, finding, advice));
        }
    };
    let (mode, owner, me) = (found.mode() & 0o7777, found.uid(), me());
    let path = path.display();
    // Root looks at the files of a service.
    if owner != me && owner != 0 && me != 0 {
        let finding = format!("{path} belongs to another user (uid {owner})");
        let advice = format!("use one of your own, or: chown {me} {path}");
        return Some(Finding::new(Grade::Broken, check, finding, advice));
    }
    if mode & forbidden != 0 {
        let verb = if mode & forbidden & WRITE != 0 { "write to" } else { "reach" };
        let finding = format!("others may {verb} {path} (mode {mode:04o})");
        // `chmod` of what is forbidden takes nothing else away.
        let advice = format!("chmod {} {path}", taken_away(forbidden));
        return Some(Finding::new(Grade::Broken, check, finding, advice));
    }
    Some(Finding::ok(check, format!("{path} (mode {mode:04o})")))
}

fn taken_away(forbidden: u32) -> &'static str {
    match forbidden {
        OTHERS => "go-rwx",
        STRANGERS => "o-rwx",
        _ => "go-w",
    }
}

/// The same of all files of a folder, in one finding.
fn each_guarded(check: &str, folder: &Path) -> Option<Finding> {
    let entries = fs::read_dir(folder).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found = paths.filter_map(|path| Some((guarded(check, &path, OTHERS)?, path)));
    let (fine, wrong): (Vec<_>, Vec<_>) =
        found.partition(|(finding, _)| finding.status == Grade::Ok);
    if wrong.is_empty() {
        return Some(Finding::ok(check, format!("{} files, for their owner alone", fine.len())));
    }
    let names = wrong.iter().take(TOLD).filter_map(|(_, path)| path.file_name()?.to_str());
    let names = names.collect::<Vec<_>>().join(", ");
    let finding = format!("others may reach {} of them: {names}", wrong.len());
    let advice = format!("chmod go-rwx {}/*, and make anew what lay open", folder.display());
    Some(Finding::new(Grade::Broken, check, finding, advice))
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use descartes_rpc::auth::Secret;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// The findings that are not as they should be: of what, how bad, and what to do.
    fn wrong(look: impl FnOnce(&mut Vec<Finding>)) -> Vec<(String, Grade)> {
        let mut findings = Vec::new();
        look(&mut findings);
        let wrong = findings.into_iter().filter(|finding| finding.status != Grade::Ok);
        wrong
            .map(|finding| {
                assert!(finding.advice.is_some(), "{finding:?}");
                (finding.check, finding.status)
            })
            .collect()
    }

    #[test]
    fn what_lies_open_is_told_file_by_file() {
        let dir = tempfile::tempdir().unwrap();
        let both = Directories { data: dir.path().join("d"), runtime: dir.path().join("d/run") };
        both.prepare().unwrap();
        fs::create_dir(both.secrets()).unwrap();
        let (secret, socket) = (both.secrets().join("jwt_secret"), both.socket());
        for path in [&secret, &socket] {
            fs::write(path, "").unwrap();
            chmod(path, 0o600);
        }
        chmod(&both.secrets(), 0o700);
        let look = |config: Option<&Config>| wrong(|findings| kept(&both, config, findings));
        assert_eq!(look(None), []);
        for (path, open, closed, check) in [
            (both.data.clone(), 0o750, 0o700, "data directory is private"),
            (both.secrets(), 0o711, 0o700, "secrets directory"),
            (secret, 0o640, 0o600, "secrets"),
            (socket.clone(), 0o660, 0o600, "unix socket"),
        ] {
            chmod(&path, open);
            assert_eq!(look(None), [(check.to_owned(), Grade::Broken)]);
            chmod(&path, closed);
        }
        // A group that was chosen may come in; strangers may not.
        let mut config = Config::default();
        config.server.unix_socket_group = crate::config::Group::of_number(0);
        chmod(&socket, 0o660);
        assert_eq!(look(Some(&config)), []);
        chmod(&socket, 0o666);
        assert_eq!(look(Some(&config)).len(), 1);
    }

    #[test]
    fn secrets_of_the_configuration_are_neither_open_nor_weak() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("daemon.toml");
        fs::write(&file, "").unwrap();
        let mut config = Config { file: Some(file.clone()), ..Config::default() };
        let look = |config: &Config, inside| wrong(|findings| configured(config, inside, findings));
        chmod(&file, 0o644);
        assert_eq!(look(&config, false), []);
        let broken = |check: &str| vec![(check.to_owned(), Grade::Broken)];
        assert_eq!(look(&config, true), broken("configuration file"));
        chmod(&file, 0o620);
        assert_eq!(look(&config, false), broken("configuration file"));
        chmod(&file, 0o600);
        assert_eq!(look(&config, true), []);
        for weak in ["change-me-in-production-change-me-in-production", "short"] {
            config.auth.jwt_secret = Some(Secret::new(weak));
            assert_eq!(look(&config, true), broken("secrets of [auth]"));
        }
        config.auth.jwt_secret = None;
        let key = dir.path().join("key");
        fs::write(&key, "a key of more than twenty letters").unwrap();
        chmod(&key, 0o644);
        config.auth.api_key_file = Some(key);
        assert_eq!(look(&config, true), broken("secrets of [auth]"));
    }
}
