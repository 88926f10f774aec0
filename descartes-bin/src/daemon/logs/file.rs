//! A file of lines that is put aside when it is large.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::sink::Output;

/// When a file is put aside, and how many of those are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rotation {
    /// Bytes that a file does not grow beyond unless a single line is longer; 0 is never.
    pub(super) bytes: u64,
    /// Old files, `.1` being the youngest.
    pub(super) keep: u32,
}

/// The file that is written, under its name; old ones have a number behind theirs.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    /// Device and number of `file`, by which is seen that somebody moved it.
    identity: (u64, u64),
    /// Only such a file can be put aside: no terminal, no `/dev/null`.
    regular: bool,
    /// Bytes that are in it, as far as we know.
    size: u64,
    /// Half a line is in it that could not be taken back.
    torn: bool,
    /// It could not be put aside.
    trouble: Option<String>,
}

impl LogFile {
    /// Opens the file, or makes it for the owner alone.
    ///
    /// # Errors
    /// When that is not possible.
    pub(super) fn open(path: PathBuf, rotation: Rotation) -> io::Result<Self> {
        let (file, found) = append_to(&path)?;
        Ok(Self {
            path,
            rotation,
            file,
            identity: identity(&found),
            regular: found.is_file(),
            size: found.len(),
            torn: false,
            trouble: None,
        })
    }

    /// Goes on in the file that has the name now, making it when there is none.
    ///
    /// # Errors
    /// When it cannot be opened: the old one is written on.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let (file, found) = append_to(&self.path)?;
        self.file = file;
        self.identity = identity(&found);
        self.regular = found.is_file();
        self.size = found.len();
        self.torn = false;
        Ok(())
    }

    pub(super) fn set_rotation(&mut self, rotation: Rotation) {
        self.rotation = rotation;
    }

    /// Puts the file aside, if it is still the one of that name, and begins another.
    fn rotate(&mut self) -> io::Result<()> {
        let here = fs::metadata(&self.path);
        if here.as_ref().ok().map(identity) != Some(self.identity) {
            // Somebody else has put it aside.
            return self.reopen();
        }
        self.make_room()?;
        match self.rotation.keep {
            0 => fs::remove_file(&self.path)?,
            _ => fs::rename(&self.path, self.numbered(1))?,
        }
        self.reopen()
    }

    /// Moves old files on by one; the oldest is replaced. One that is not there is no trouble.
    fn make_room(&self) -> io::Result<()> {
        for number in (1..self.rotation.keep).rev() {
            ignore_missing(fs::rename(self.numbered(number), self.numbered(number + 1)))?;
        }
        // Those of a time when more were kept.
        let mut beyond = self.rotation.keep + 1;
        while fs::remove_file(self.numbered(beyond)).is_ok() {
            beyond += 1;
        }
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }

    /// Writes all of `bytes`, or nothing of them.
    fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return self.take_back(written, io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.take_back(written, error),
            }
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Cuts half a line off again.
    fn take_back(&mut self, written: usize, error: io::Error) -> io::Result<()> {
        if written > 0 {
            let cut = self.file.metadata().and_then(|found| {
                let whole = found.len().saturating_sub(written as u64);
                self.file.set_len(whole)
            });
            self.torn = cut.is_err();
        }
        Err(error)
    }
}

impl Output for LogFile {
    fn put(&mut self, line: &str) -> io::Result<()> {
        let Rotation { bytes, .. } = self.rotation;
        let full = bytes > 0 && self.size > 0 && self.size + line.len() as u64 > bytes;
        if full && self.regular {
            // What is written is more than what is tidy: it is tried again after as many bytes.
            if let Err(error) = self.rotate() {
                self.trouble = Some(error.to_string());
                self.size = 0;
            }
        }
        if self.torn {
            self.write_whole(b"\n")?;
            self.torn = false;
        }
        self.write_whole(line.as_bytes())
    }

    fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }
}

fn append_to(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let found = file.metadata()?;
    Ok((file, found))
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap_or_default()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut all: Vec<_> = entries.map(|entry| name(entry).into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn as_many_old_files_are_kept_as_is_said_and_lines_stay_whole_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = LogFile::open(path, Rotation { bytes: 30, keep: 3 }).unwrap();
        for number in 0..10 {
            log.put(&format!("line {number:03}\n")).unwrap();
        }
        assert_eq!(names(dir.path()), ["log", "log.1", "log.2", "log.3"]);
        let all = ["log.3", "log.2", "log.1", "log"].map(|name| read(dir.path(), name)).concat();
        let expected: String = (0..10).map(|number| format!("line {number:03}\n")).collect();
        assert_eq!(all, expected);
        let mode = fs::metadata(dir.path().join("log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        log.set_rotation(Rotation { bytes: 30, keep: 1 });
        for number in 10..14 {
            log.put(&format!("line {number:03}\n")).unwrap();
        }
        assert_eq!(names(dir.path()), ["log", "log.1"], "those beyond are gone");
        log.set_rotation(Rotation { bytes: 30, keep: 0 });
        for number in 14..18 {
            log.put(&format!("line {number:03}\n")).unwrap();
        }
        assert_eq!(read(dir.path(), "log"), "line 015\nline 016\nline 017\n");
    }

    #[test]
    fn a_line_longer_than_a_file_has_one_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut log =
            LogFile::open(dir.path().join("log"), Rotation { bytes: 8, keep: 9 }).unwrap();
        for line in ["a\n", "a line that is too long\n", "b\n"] {
            log.put(line).unwrap();
        }
        assert_eq!(names(dir.path()), ["log", "log.1", "log.2"]);
        assert_eq!(read(dir.path(), "log.1"), "a line that is too long\n");
    }

    #[test]
    fn a_file_that_somebody_moved_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, aside) = (dir.path().join("log"), dir.path().join("log-2026"));
        let mut log = LogFile::open(path.clone(), Rotation { bytes: 30, keep: 2 }).unwrap();
        log.put("one\n").unwrap();
        fs::rename(&path, &aside).unwrap();
        log.put("two\n").unwrap();
        log.reopen().unwrap();
        log.put("three\n").unwrap();
        assert_eq!(read(dir.path(), "log-2026"), "one\ntwo\n");
        assert_eq!(read(dir.path(), "log"), "three\n");

        // Also where nobody says so before it is full.
        fs::rename(&path, &aside).unwrap();
        log.put("a line that does not fit there\n").unwrap();
        assert_eq!(names(dir.path()), ["log", "log-2026"]);
        assert_eq!(read(dir.path(), "log"), "a line that does not fit there\n");
    }

    #[test]
    fn where_nothing_can_be_put_aside_everything_is_written_on_and_that_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        // A directory cannot be replaced by a file.
        fs::create_dir_all(dir.path().join("log.1/x")).unwrap();
        let mut log = LogFile::open(path, Rotation { bytes: 8, keep: 1 }).unwrap();
        for line in ["first\n", "second\n"] {
            log.put(line).unwrap();
        }
        assert!(log.trouble().is_some());
        assert_eq!(read(dir.path(), "log"), "first\nsecond\n");
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut log = LogFile::open(path.clone(), Rotation { bytes: 8, keep: 1 }).unwrap();
        assert!(log.put("lost\n").is_err());
        assert!(log.put("a line that would be too long\n").is_err());
        fs::remove_file(&path).unwrap();
        log.reopen().unwrap();
        log.put("there\n").unwrap();
        assert_eq!(read(dir.path(), "log"), "there\n");
    }
}
