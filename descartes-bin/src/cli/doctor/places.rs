//! The configuration, the directories, `PATH` and the ports of this machine.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;

use super::finding::{Finding, Grade};
use crate::cli::reach::Reach;
use crate::config::{Config, FEATURES, Port};
use crate::directories::{DirectoryError, Seen};

/// The configuration of a daemon that runs with `file`, or as one would read it that is started from
/// here.
pub(super) fn configuration(
    reach: &Reach,
    file: Option<&Path>,
    findings: &mut Vec<Finding>,
) -> Option<Config> {
    let check = "configuration";
    match reach.config_of(file) {
        Ok(config) => {
            let from = config.file.as_deref().map(|file| file.display().to_string());
            let from = from.unwrap_or_else(|| "no file; everything has its default".to_owned());
            findings.push(Finding::ok(check, from));
            Some(config)
        }
        Err(error) => {
            let advice = "mend it; `descartes-daemon --check-config` checks it again";
            findings.push(Finding::new(Grade::Broken, check, error.to_string(), advice));
            None
        }
    }
}

/// Where things are kept.
pub(super) fn directories(reach: &Reach, findings: &mut Vec<Finding>) {
    let directories = match reach.directories() {
        Ok(directories) => directories,
        Err(error) => {
            let advice = "set HOME, or pass --data-dir";
            let finding = Finding::new(Grade::Broken, "directories", error.to_string(), advice);
            return findings.push(finding);
        }
    };
    for (what, path, seen) in directories.inspect() {
        findings.push(directory(&format!("{what} directory"), path, seen));
    }
}

fn directory(check: &str, path: &Path, seen: Seen) -> Finding {
    let path = path.display();
    match seen {
        Ok(Some(mode)) => Finding::ok(check, format!("{path} (mode {mode:04o})")),
        Ok(None) => Finding::ok(check, format!("{path} is not there yet; the daemon makes it")),
        Err(error) => {
            let advice = match &error {
                DirectoryError::Open { .. } => format!("chmod go-w {path}"),
                DirectoryError::Foreign { .. } => {
                    "use another one: --data-dir, or DESCARTES_RUNTIME_DIR".to_owned()
                }
                _ => "make it a directory that you may write to, or pass --data-dir".to_owned(),
            };
            Finding::new(Grade::Broken, check, error.to_string(), advice)
        }
    }
}

/// Where programs are looked for.
pub(super) fn path(findings: &mut Vec<Finding>) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    findings.push(match std::env::split_paths(&path).filter(|folder| folder.is_dir()).count() {
        0 => {
            let advice = "set PATH where the daemon is started: agents are looked for there";
            Finding::new(Grade::Warning, "PATH", "it names no directory", advice)
        }
        count => Finding::ok("PATH", format!("{count} directories")),
    });
}

/// The ports that a daemon would listen on.
pub(super) fn ports(config: &Config, findings: &mut Vec<Finding>) {
    for door in config.server.ports() {
        let Port::Number(number @ 1..) = door.port else { continue };
        if !FEATURES.contains(&door.feature) {
            continue;
        }
        let address = format!("{}:{number}", door.address);
        let taken = TcpListener::bind((door.address, number)).err();
        findings.push(match taken.map(|error| error.kind()) {
            None => Finding::ok(door.port_key, format!("{address} is free")),
            Some(ErrorKind::AddrInUse) => {
                let refuses =
                    door.port_key == "http_port" || config.chosen_ports.contains(door.port_key);
                let grade = if refuses { Grade::Broken } else { Grade::Warning };
                let flag = door.port_key.replace('_', "-");
                let advice = format!("end who listens there, or choose another: --{flag} PORT");
                Finding::new(grade, door.port_key, format!("{address} is in use"), advice)
            }
            Some(kind) => {
                let advice = "choose an address and a port that you may listen on";
                let finding = format!("{address} cannot be listened on: {kind}");
                Finding::new(Grade::Broken, door.port_key, finding, advice)
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Surroundings};

    #[test]
    fn a_port_that_is_taken_is_named_and_how_bad_that_is_depends() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let mut config =
            Config::load(&Flags::default(), &Surroundings::default()).expect("the defaults");
        config.server.zmq_port = Port::Off;
        config.server.pub_port = Port::Off;
        config.server.metrics_port = Port::Off;
        config.server.http_port = Port::Off;
        config.server.ws_port = Port::Number(port);
        let found = |config: &Config| {
            let mut findings = Vec::new();
            ports(config, &mut findings);
            findings
        };
        let grades = |config: &Config| -> Vec<Grade> {
            found(config).iter().map(|finding| finding.status).collect()
        };
        let expected = |grade| if FEATURES.contains(&"http") { vec![grade] } else { vec![] };
        assert_eq!(grades(&config), expected(Grade::Warning), "{:?}", found(&config));
        config.chosen_ports.insert("ws_port");
        assert_eq!(grades(&config), expected(Grade::Broken));
        config.server.ws_port = Port::Number(0);
        assert_eq!(found(&config), []);
    }

    #[test]
    fn every_trouble_of_a_directory_has_its_advice() {
        let open = DirectoryError::Open { path: "/d".into(), mode: 0o777 };
        let open = directory("data directory", Path::new("/d"), Err(open));
        assert_eq!((open.status, open.advice.as_deref()), (Grade::Broken, Some("chmod go-w /d")));
        let fine = directory("data directory", Path::new("/d"), Ok(Some(0o700)));
        assert_eq!(fine, Finding::ok("data directory", "/d (mode 0700)"));
        let fresh = directory("data directory", Path::new("/d"), Ok(None));
        assert_eq!(fresh.status, Grade::Ok);
    }
}
