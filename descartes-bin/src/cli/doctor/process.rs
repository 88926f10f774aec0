//! The daemon's process, as others can see it.

use std::fs;
use std::path::Path;

use super::finding::{Finding, Grade};

/// What the system says of the process whose folder in `/proc` is `place`; nothing where it says
/// nothing.
pub(super) fn look(place: &Path, findings: &mut Vec<Finding>) {
    let arguments = fs::read(place.join("cmdline")).unwrap_or_default();
    if arguments.split(|byte| *byte == 0).any(is_secret) {
        let finding = "--jwt-secret is in the daemon's arguments, which every user can read";
        let advice = "put the secret into a file: --jwt-secret-file, and make another one";
        findings.push(Finding::new(Grade::Broken, "arguments", finding, advice));
    }
    let read = |name| fs::read_to_string(place.join(name)).unwrap_or_default();
    if word(&read("status"), "Uid:") == Some("0") {
        let finding = "the daemon runs as root, and so do its agents";
        let advice = "give it a user of its own: deploy/descartes-daemon.service";
        findings.push(Finding::new(Grade::Warning, "user", finding, advice));
    }
    match word(&read("limits"), "Max core file size") {
        // One byte, as the daemon itself has it, is too little for a file.
        None | Some("0" | "1") => {}
        Some(_) => {
            let finding = "a crash may write the memory of the daemon, secrets too, to a file";
            let advice = "LimitCORE=0 in its unit, or `ulimit -c 0` before it is started";
            findings.push(Finding::new(Grade::Warning, "core dumps", finding, advice));
        }
    }
}

fn is_secret(argument: &[u8]) -> bool {
    argument == b"--jwt-secret" || argument.starts_with(b"--jwt-secret=")
}

/// The first word behind `name` in its line.
fn word<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_shows_too_much_is_told_and_another_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let look = |cmdline: &str, uid: &str, core: &str| {
            fs::write(dir.path().join("cmdline"), cmdline.replace(' ', "\0")).unwrap();
            fs::write(dir.path().join("status"), format!("Name:\td\nUid:\t{uid}\t1\n")).unwrap();
            let limits =
                format!("Limit  Soft Limit\nMax core file size  {core}  unlimited  bytes\n");
            fs::write(dir.path().join("limits"), limits).unwrap();
            let mut findings = Vec::new();
            super::look(dir.path(), &mut findings);
            findings.into_iter().map(|finding| (finding.check, finding.status)).collect::<Vec<_>>()
        };
        let found = |check: &str, grade| vec![(check.to_owned(), grade)];
        for core in ["0", "1"] {
            assert_eq!(look("descartes-daemon --jwt-secret-file /f", "7", core), []);
        }
        for given in ["--jwt-secret x", "--jwt-secret=x"] {
            let line = format!("descartes-daemon {given}");
            assert_eq!(look(&line, "7", "0"), found("arguments", Grade::Broken));
        }
        assert_eq!(look("descartes-daemon", "0", "0"), found("user", Grade::Warning));
        for core in ["unlimited", "1024"] {
            assert_eq!(look("descartes-daemon", "7", core), found("core dumps", Grade::Warning));
        }
        let mut nothing = Vec::new();
        super::look(Path::new("/nowhere"), &mut nothing);
        assert_eq!(nothing, []);
    }
}
