//! Where logs go and what they look like.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};
use tracing_subscriber::reload::Handle;

use crate::config::{LogFormat, LogLevel, Logging};

/// Has another level logged from now on.
pub(super) type SetLevel = Box<dyn Fn(LogLevel) + Send + Sync>;

/// Begins to log as configured; `rust_log` says more exactly what. What it returns changes the level.
///
/// # Errors
/// When the file cannot be opened.
pub(super) fn begin(logging: &Logging, rust_log: Option<&str>) -> io::Result<SetLevel> {
    let file = logging.file.as_ref().map(|path| {
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(Mutex::new)
    });
    let Some(writer) = writer(logging.stdout, file.transpose()?) else {
        return Ok(Box::new(|_| {}));
    };
    let rust_log = rust_log.unwrap_or_default().to_owned();
    let filter = move |given| {
        let filter = EnvFilter::builder().with_default_directive(level(given).into());
        filter.parse_lossy(&rust_log)
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter(logging.level))
        .with_writer(writer)
        .with_ansi(logging.file.is_none() && io::stdout().is_terminal());
    match logging.format {
        LogFormat::Text => {
            let logs = logs.with_filter_reloading();
            let set = reloading(logs.reload_handle(), filter);
            logs.init();
            Ok(set)
        }
        LogFormat::Json => {
            let logs = logs.json().with_filter_reloading();
            let set = reloading(logs.reload_handle(), filter);
            logs.init();
            Ok(set)
        }
    }
}

fn reloading<S: 'static>(
    handle: Handle<EnvFilter, S>,
    filter: impl Fn(LogLevel) -> EnvFilter + Send + Sync + 'static,
) -> SetLevel {
    Box::new(move |level| {
        if let Err(error) = handle.reload(filter(level)) {
            tracing::warn!(%error, "the level of logs stays as it was");
        }
    })
}

fn writer(stdout: bool, file: Option<Mutex<File>>) -> Option<BoxMakeWriter> {
    match (stdout, file) {
        (true, Some(file)) => Some(BoxMakeWriter::new(file.and(io::stdout))),
        (true, None) => Some(BoxMakeWriter::new(io::stdout)),
        (false, Some(file)) => Some(boxed(file)),
        (false, None) => None,
    }
}

fn boxed(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> BoxMakeWriter {
    BoxMakeWriter::new(writer)
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
