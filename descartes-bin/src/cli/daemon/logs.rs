//! `daemon logs`: the file that a daemon writes its log to.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use descartes_rpc::wire::system::NoParams;
use serde_json::json;

use super::kept_log;
use crate::cli::failure::Failure;
use crate::cli::reach::Reach;
use crate::exit::Code;
use crate::output::Output;

/// How often a log that is followed is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// How long a daemon may take to say of which configuration it is: somebody may look at its log
/// because it says nothing.
const ASKED: Duration = Duration::from_secs(2);
/// Bytes that are read at once.
const BLOCK: u64 = 64 * 1024;
/// The longest line that is printed as one JSON text; longer ones come in pieces.
const LINE: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub(in crate::cli) struct DaemonLogs {
    /// Go on with what is written
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last so many lines
    #[arg(long, value_name = "COUNT")]
    tail: Option<u64>,
    /// The configuration of a daemon that does not run, when it is not the usual one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn logs(
    reach: &Reach,
    asked: DaemonLogs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let path = place(reach, asked.config, output).await?;
    let failed = |source| Failure::Local { what: format!("read {}", path.display()), source };
    let mut file = File::open(&path).map_err(failed)?;
    if let Some(lines) = asked.tail {
        let from = beginning_of_last(&mut file, lines).map_err(failed)?;
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
    }
    let mut printer = Printer { output, line: Vec::new() };
    loop {
        print_rest(&mut file, &mut printer, &path)?;
        if !asked.follow {
            printer.end()?;
            return Ok(Code::Done.into());
        }
        tokio::time::sleep(EVERY).await;
        if let Some(next) = next(&file, &path).map_err(failed)? {
            // What was written before it was put aside.
            print_rest(&mut file, &mut printer, &path)?;
            file = next;
        }
    }
}

/// The file that the daemon logs to: the configured one, else that of `daemon start`.
async fn place(
    reach: &Reach,
    config: Option<PathBuf>,
    output: &Output,
) -> Result<PathBuf, Failure> {
    let config = match config {
        Some(file) => Some(file),
        None => file_of_daemon(reach).await,
    };
    match reach.config_of(config.as_deref()) {
        Ok(config) => {
            if let Some(file) = config.logging.file {
                return Ok(file);
            }
        }
        // Perhaps that is why somebody looks at the log.
        Err(error) => output.note(format_args!("descartes: {error}")),
    }
    let path = kept_log(&reach.directories()?);
    let told = match reach.endpoints()?.map(|it| (it.pid, printed_to(it.pid))) {
        Some((pid, Some(printed_to))) if printed_to != path => format!(
            "the daemon (pid {pid}) logs to its standard output alone, which is {}; [logging] file \
             names a file for it",
            printed_to.display()
        ),
        _ if path.exists() => return Ok(path),
        _ => format!(
            "there is no {}: a daemon logs to its standard output alone unless \
             `descartes daemon start` has started it or [logging] file names a file",
            path.display()
        ),
    };
    Err(Failure::NoLog(told))
}

/// The configuration file of the daemon that runs, if it says one.
async fn file_of_daemon(reach: &Reach) -> Option<PathBuf> {
    let client = reach.client_of(&reach.endpoints().ok()??).ok()?;
    let asked = tokio::time::timeout(ASKED, client.system_info(NoParams {})).await;
    asked.ok()?.ok()?.config_file.map(PathBuf::from)
}

/// Where the standard output of a process goes, if that can be seen.
fn printed_to(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/fd/1")).ok()
}

/// Where the last so many lines begin.
fn beginning_of_last(file: &mut (impl Read + Seek), lines: u64) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    let (mut at, mut missing) = (end, lines);
    let mut block = Vec::new();
    while at > 0 && missing > 0 {
        let length = at.min(BLOCK);
        at -= length;
        file.seek(SeekFrom::Start(at))?;
        block.clear();
        file.by_ref().take(length).read_to_end(&mut block)?;
        let mut behind = at + length;
        for byte in block.iter().rev() {
            // The one at the end ends the last line and begins none.
            if *byte == b'\n' && behind < end {
                missing -= 1;
                if missing == 0 {
                    return Ok(behind);
                }
            }
            behind -= 1;
        }
    }
    Ok(if lines == 0 { end } else { 0 })
}

/// The file that has the name now, if it is another one, or was cut.
fn next(file: &File, path: &Path) -> io::Result<Option<File>> {
    let (ours, there) = (file.metadata()?, fs::metadata(path));
    let there = match there {
        Ok(there) => there,
        // Between the old one and the new one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let same = (ours.dev(), ours.ino()) == (there.dev(), there.ino());
    let read = (&mut &*file).stream_position()?;
    if same && there.len() >= read { Ok(None) } else { File::open(path).map(Some) }
}

fn print_rest(file: &mut File, printer: &mut Printer<'_>, path: &Path) -> Result<(), Failure> {
    let failed = |source| Failure::Local { what: format!("read {}", path.display()), source };
    let mut block = Vec::new();
    loop {
        block.clear();
        file.by_ref().take(BLOCK).read_to_end(&mut block).map_err(failed)?;
        if block.is_empty() {
            return Ok(());
        }
        printer.print(&block)?;
    }
}

/// Prints bytes as they are, or each line as JSON.
struct Printer<'a> {
    output: &'a Output,
    /// The beginning of a line that is not whole yet.
    line: Vec<u8>,
}

impl Printer<'_> {
    fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.output.is_json() {
            return self.output.bytes(bytes);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.end()?;
            } else if self.line.len() >= LINE {
                let part = first_part(&mut self.line);
                let part = String::from_utf8_lossy(&part);
                self.output.json(&json!({ "line": part, "partial": true }))?;
            }
        }
        Ok(())
    }

    /// Prints the line that was begun, if one was.
    fn end(&mut self) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&self.line);
        self.output.json(&json!({ "line": line.trim_end_matches('\n') }))?;
        self.line.clear();
        Ok(())
    }
}

/// Takes what there is of a line, up to the beginning of its last character.
fn first_part(line: &mut Vec<u8>) -> Vec<u8> {
    const CONTINUES: std::ops::RangeInclusive<u8> = 0x80..=0xbf;
    let end = line.iter().rposition(|byte| !CONTINUES.contains(byte)).filter(|end| *end > 0);
    let rest = line.split_off(end.unwrap_or(line.len()));
    std::mem::replace(line, rest)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_last_lines_begin_behind_the_line_before_them() {
        let long = format!("{}\nend\n", "x".repeat(3 * usize::try_from(BLOCK).unwrap()));
        let behind_long = u64::try_from(long.len()).unwrap() - 4;
        for (text, lines, from) in [
            ("a\nb\nc\n", 1, 4),
            ("a\nb\nc\n", 2, 2),
            ("a\nb\nc\n", 3, 0),
            ("a\nb\nc\n", 9, 0),
            ("a\nb\nc\n", 0, 6),
            ("a\nb\nhalf", 1, 4),
            ("a\nb\nhalf", 2, 2),
            ("\n\n", 1, 1),
            ("", 5, 0),
            (&*long, 1, behind_long),
            (&*long, 2, 0),
        ] {
            let found = beginning_of_last(&mut Cursor::new(text), lines).unwrap();
            assert_eq!(found, from, "{lines} of {:?}", text.get(..9));
        }
    }

    #[test]
    fn a_line_is_cut_between_characters() {
        for (text, part, rest) in [
            ("abc".as_bytes(), "ab".as_bytes(), "c".as_bytes()),
            ("a€".as_bytes(), b"a", "€".as_bytes()),
            (&"a€".as_bytes()[..3], b"a", &"€".as_bytes()[..2]),
            (&[0x80; 3], &[0x80; 3], b""),
        ] {
            let mut line = text.to_vec();
            assert_eq!((&*first_part(&mut line), &*line), (part, rest));
        }
    }

    #[test]
    fn a_file_that_was_put_aside_or_cut_is_left_for_the_one_that_has_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "one\n").unwrap();
        let mut file = File::open(&path).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        assert!(next(&file, &path).unwrap().is_none());
        fs::write(&path, "").unwrap();
        assert!(next(&file, &path).unwrap().is_some(), "cut");
        fs::rename(&path, dir.path().join("log.1")).unwrap();
        assert!(next(&file, &path).unwrap().is_none(), "there is none yet");
        fs::write(&path, "two\n").unwrap();
        let mut text = String::new();
        next(&file, &path).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "two\n");
    }
}
