//! Where logs go and what they look like.

mod console;
mod file;
mod line;
mod sink;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogLevel, Logging, Surroundings};
use console::Console;
use file::{LogFile, Rotation};
use line::{Lines, Shape};
use sink::Sink;

/// What can be changed of the logs while they are written.
pub(super) struct Logs {
    set_level: Box<dyn Fn(LogLevel) + Send + Sync>,
    file: Option<Arc<Sink<LogFile>>>,
}

impl Logs {
    /// Begins to log as configured; `RUST_LOG` says more exactly what.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn begin(logging: &Logging, surroundings: &Surroundings) -> io::Result<Self> {
        let shape = Shape::of(logging.format);
        let open = |path| LogFile::open(path, rotation(logging));
        let file = logging.file.clone().map(open).transpose()?;
        let file = file.map(|file| Arc::new(Sink::new(file, shape)));
        let colours = io::stdout().is_terminal() && surroundings.var("NO_COLOR").is_none();
        let console = logging.stdout.then(|| Sink::new(Console::new(io::stdout()), shape));
        if file.is_none() && console.is_none() {
            return Ok(Self { set_level: Box::new(|_| {}), file });
        }
        let rust_log = surroundings.var("RUST_LOG").unwrap_or_default().to_owned();
        let filter = move |given| {
            let filter = EnvFilter::builder().with_default_directive(level(given).into());
            filter.parse_lossy(&rust_log)
        };
        let (reloaded, handle) = reload::Layer::new(filter(logging.level));
        let lines = Lines { shape, colours, console, file: file.clone() };
        tracing_subscriber::registry().with(reloaded).with(lines).init();
        let set_level = Box::new(move |level| {
            if let Err(error) = handle.reload(filter(level)) {
                tracing::warn!(%error, "the level of logs stays as it was");
            }
        });
        Ok(Self { set_level, file })
    }

    /// Goes on in the file of that name: somebody may have moved the one that was written.
    pub(super) fn reopen(&self) {
        let Some(file) = &self.file else { return };
        if let Err(error) = file.with(LogFile::reopen) {
            tracing::warn!(%error, "the log cannot be opened anew: the old file is written on");
        }
    }

    /// Puts in force what does not take a restart.
    pub(super) fn reconfigure(&self, logging: &Logging) {
        (self.set_level)(logging.level);
        if let Some(file) = &self.file {
            file.with(|file| file.set_rotation(rotation(logging)));
        }
    }
}

fn rotation(logging: &Logging) -> Rotation {
    Rotation { bytes: logging.rotate_bytes, keep: logging.keep.0 }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
