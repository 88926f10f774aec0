//! The terminal: taken over for as long as something is shown, and given back whatever happens.

use std::io::{self, IsTerminal, Read, Write};
use std::panic;
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::process::{Signal as Raised, getpid, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::keys::{Decoder, Key};
use crate::cli::failure::Failure;
use crate::exit::Code;
use crate::output::Output;

/// Another screen, without a cursor and without wrapping.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Keys that wait to be looked at; a terminal keeps what comes beyond.
const KEYS: usize = 64;

/// How the terminal was, as long as it is ours.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);

/// How the terminal was.
struct Before {
    /// Of the input, if that is a terminal.
    input: Option<Termios>,
}

/// Columns and rows of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// What has come.
pub(super) enum News {
    Key(Key),
    /// The terminal has another size, or was somebody else's in between.
    Redraw,
    /// A signal ends the program.
    Ended(Code),
    /// The terminal is gone.
    Gone,
}

/// The terminal while it is ours. Dropping it gives the terminal back.
pub(super) struct Screen<'a> {
    output: &'a Output,
    keys: Option<mpsc::Receiver<u8>>,
    decoder: Decoder,
    resized: Signal,
    interrupted: Signal,
    stopped: Signal,
    continued: Signal,
    ends: [Signal; 3],
}

impl<'a> Screen<'a> {
    /// Takes the terminal over.
    pub(super) fn enter(output: &'a Output) -> Result<Self, Failure> {
        let failed = |source| Failure::Local { what: "handle signals".to_owned(), source };
        let of = |kind| signal(kind).map_err(failed);
        let screen = Self {
            output,
            keys: io::stdin().is_terminal().then(read_keys).transpose().map_err(failed)?,
            decoder: Decoder::default(),
            resized: of(SignalKind::window_change())?,
            interrupted: of(SignalKind::interrupt())?,
            stopped: of(SignalKind::from_raw(Raised::TSTP.as_raw()))?,
            continued: of(SignalKind::from_raw(Raised::CONT.as_raw()))?,
            ends: [
                of(SignalKind::terminate())?,
                of(SignalKind::hangup())?,
                of(SignalKind::quit())?,
            ],
        };
        // What a panic says is to be read.
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
        take()?;
        Ok(screen)
    }

    /// How much can be shown.
    #[expect(clippy::unused_self, reason = "only who has the screen may ask")]
    pub(super) fn size(&self) -> Size {
        let found = tcgetwinsize(io::stdout()).ok();
        let found = found.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        // Some terminals do not know.
        let (columns, rows) =
            found.filter(|(columns, rows)| columns * rows > 0).unwrap_or((80, 24));
        Size { columns, rows }
    }

    /// Shows these lines, each of which fits.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let text = lines.join("\x1b[K\r\n");
        self.output.bytes(format!("\x1b[H{text}\x1b[K\x1b[J").as_bytes())
    }

    /// Waits for the next thing that comes. Cancel safe.
    pub(super) async fn news(&mut self) -> News {
        let [terminate, hangup, quit] = &mut self.ends;
        let (keys, decoder) = (&mut self.keys, &mut self.decoder);
        let key = async {
            let Some(keys) = keys else { return std::future::pending().await };
            loop {
                match keys.recv().await.map(|byte| decoder.key(byte)) {
                    Some(Some(key)) => return News::Key(key),
                    Some(None) => {}
                    None => return News::Gone,
                }
            }
        };
        tokio::select! {
            news = key => news,
            _ = self.resized.recv() => News::Redraw,
            _ = self.interrupted.recv() => News::Ended(Code::Cancelled),
            _ = terminate.recv() => News::Ended(Code::Cancelled),
            _ = hangup.recv() => News::Ended(Code::Cancelled),
            _ = quit.recv() => News::Ended(Code::Cancelled),
            _ = self.stopped.recv() => {
                give_back();
                // It returns when somebody lets us go on.
                if let Err(error) = kill_process(getpid(), Raised::STOP) {
                    tracing::debug!(%error, "it cannot stop and goes on");
                }
                retaken()
            }
            _ = self.continued.recv() => retaken(),
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        give_back();
    }
}

fn retaken() -> News {
    if take().is_ok() { News::Redraw } else { News::Gone }
}

/// Takes the terminal over: keys come at once and are not shown.
fn take() -> io::Result<()> {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if before.is_none() {
        let input = io::stdin().is_terminal().then(|| tcgetattr(io::stdin())).transpose()?;
        *before = Some(Before { input });
    }
    if let Some(input) = before.as_ref().and_then(|before| before.input.as_ref()) {
        let mut raw = input.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
    }
    say(ENTER)
}

/// Gives the terminal back as it was, once.
fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(before) = before else { return };
    // Nobody is left to be told that it fails.
    drop(say(LEAVE));
    if let Some(input) = before.input
        && let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, &input)
    {
        tracing::debug!(%error, "the terminal is not as it was");
    }
}

fn say(sequence: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(sequence.as_bytes())?;
    stdout.flush()
}

/// The bytes of the input. A thread of its own, which ends with the program: to read from a terminal
/// without blocking would change it for all who share it.
fn read_keys() -> io::Result<mpsc::Receiver<u8>> {
    let (sender, keys) = mpsc::channel(KEYS);
    let read = move || {
        let mut byte = [0];
        loop {
            match io::stdin().read(&mut byte) {
                Ok(1..) if sender.blocking_send(byte[0]).is_ok() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read)?;
    Ok(keys)
}
