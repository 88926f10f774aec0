//! Writing a recording while a conversation goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Exit, Lines, Start, What, format};
use crate::dialect::LaunchWords;
use crate::event::StreamName;
use crate::limits::RECORDING_BYTES;
use crate::runner::Signal;
use crate::time::{Clock, Timestamp};

/// Makes the file of a recording of `backend`, which nobody else may read.
///
/// # Errors
/// When it is there already, or cannot be made.
pub(crate) async fn create(
    path: &Path,
    (backend, dialect): (&Arc<str>, &Arc<str>),
) -> io::Result<()> {
    let (path, head) = (path.to_owned(), format::head(backend, dialect));
    blocking(move || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        private(&mut options);
        options.open(path)?.write_all(&head)
    })
    .await
}

/// Removes a recording that was just made and has nothing in it.
pub(crate) async fn discard(path: &Path) {
    let (shown, path) = (path.display().to_string(), path.to_owned());
    if let Err(error) = blocking(move || std::fs::remove_file(path)).await {
        tracing::warn!(path = shown, %error, "an empty recording remains");
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_: &mut OpenOptions) {}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Writes down what a conversation and its agent say to each other.
pub(crate) struct Recorder {
    path: PathBuf,
    clock: Clock,
    /// When the chat was made.
    began: Timestamp,
    file: Option<File>,
    /// Bytes of the file.
    size: u64,
    unwritten: Vec<u8>,
    sent: Lines,
    /// A process that is about to begin.
    begins: Option<(Start, LaunchWords)>,
}

impl Recorder {
    /// Goes on with the recording at `path` of a chat that was made at `began`.
    pub(crate) fn new(path: PathBuf, clock: Clock, began: Timestamp) -> Self {
        let (file, unwritten) = (None, Vec::new());
        let (sent, begins) = (Lines::default(), None);
        Self { path, clock, began, file, size: 0, unwritten, sent, begins }
    }

    /// A process is about to begin.
    pub(crate) fn begins(&mut self, start: Start, words: LaunchWords) {
        self.sent = Lines::default();
        self.begins = Some((start, words));
    }

    /// It could not be started: no run of it is there to be played.
    pub(crate) fn not_started(&mut self) {
        self.begins = None;
    }

    /// It was sent these bytes.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        for line in self.sent.push(bytes) {
            self.note(&What::In(line));
        }
    }

    /// Its standard input was closed.
    pub(crate) fn closed(&mut self) {
        if let Some(line) = self.sent.finish() {
            self.note(&What::In(line));
        }
        self.note(&What::Close);
    }

    /// It was sent a signal.
    pub(crate) fn signalled(&mut self, signal: Signal) {
        self.note(&What::Signal(signal));
    }

    /// It wrote a line.
    pub(crate) fn wrote(&mut self, stream: StreamName, bytes: &[u8]) {
        self.note(&What::Out { stream, bytes: bytes.to_vec() });
    }

    /// It wrote a line too long to be kept.
    pub(crate) fn wrote_too_much(&mut self, stream: StreamName, bytes: u64) {
        self.note(&What::Oversize { stream, bytes });
    }

    /// The dialect was told that its time has come.
    pub(crate) fn waited(&mut self) {
        self.note(&What::Tick);
    }

    /// It ended.
    pub(crate) fn ended(&mut self, exit: Exit) {
        self.note(&What::Exit(exit));
    }

    fn note(&mut self, what: &What) {
        if let Some((start, words)) = self.begins.take() {
            self.note(&What::Start(start));
            self.sent(&words.first_input);
            if words.closes_stdin {
                self.closed();
            }
        }
        let at = self.clock.now().since(self.began).as_millis();
        let row = format::row(u64::try_from(at).unwrap_or(u64::MAX), what);
        self.unwritten.extend(row);
    }

    /// Writes what was noted.
    ///
    /// # Errors
    /// When that cannot be done: the recording ends there.
    pub(crate) async fn write(&mut self) -> Result<(), String> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let (rows, file, path) =
            (std::mem::take(&mut self.unwritten), self.file.take(), self.path.clone());
        let (wrong, size) = (|error| format!("{}: {error}", self.path.display()), self.size);
        let written = blocking(move || {
            let (mut file, size) = match file {
                Some(file) => (file, size),
                None => {
                    let file = OpenOptions::new().append(true).open(path)?;
                    let size = file.metadata()?.len();
                    (file, size)
                }
            };
            let size = size + rows.len() as u64;
            if size > RECORDING_BYTES {
                let what = format!("it would be larger than {RECORDING_BYTES} bytes");
                return Err(io::Error::other(what));
            }
            file.write_all(&rows)?;
            Ok((file, size))
        });
        let (file, size) = written.await.map_err(wrong)?;
        (self.file, self.size) = (Some(file), size);
        Ok(())
    }
}
