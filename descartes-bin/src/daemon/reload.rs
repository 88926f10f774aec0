//! The configuration is read anew: by SIGHUP, and by `system.reload`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use descartes_core::event;
use descartes_rpc::auth::{AuthSettings, Authenticator};
use descartes_rpc::router::ReloadHook;
use descartes_rpc::wire::audit::AuditEntry;
use descartes_rpc::wire::system::Reloaded;
use futures_util::FutureExt;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::host::Host;
use super::logs::Logs;
use super::manager::Manager;
use super::{checks, credentials, descriptors};
use crate::config::{self, Config, Flags, Surroundings};
use crate::transports::{Change, Prepared};

/// Reloads that may be asked for while one is under way; who asks then waits.
const WAITING: usize = 1;
/// How long files may take to be read: on a disk that hangs, or a pipe that nobody writes into, they
/// take for ever.
const READ: Duration = Duration::from_secs(5);
/// Readings that may hang; each holds a thread.
const HANGING: usize = 4;

/// In whose name a signal is heeded, as events and audit name it.
const SYSTEM: &str = "system";
/// By what it is asked for, as audit names it.
const HANGUP: &str = "signal SIGHUP";

/// A reload that somebody asked for.
pub(super) struct Asked {
    by: Arc<str>,
    answer: oneshot::Sender<Reloaded>,
}

/// What `system.reload` does, and where it is heard.
pub(super) fn hook() -> (ReloadHook, mpsc::Receiver<Asked>) {
    let (ask, asked) = mpsc::channel(WAITING);
    let hook = move |by| {
        let ask = ask.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            let gone = || Reloaded::unchanged("the daemon is about to stop");
            match ask.send(Asked { by, answer }).await {
                Ok(()) => answered.await.unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
        .boxed()
    };
    (Arc::new(hook), asked)
}

/// Where the configuration comes from, each time anew.
pub(super) struct Sources {
    /// What the daemon was started with.
    pub(super) flags: Flags,
    pub(super) surroundings: Surroundings,
    /// Where a secret lies that was made here.
    pub(super) secrets: PathBuf,
    /// One of each transport.
    pub(super) changes: Vec<Change>,
}

/// What the files say.
pub(super) struct Read {
    change: config::Change,
    auth: AuthSettings,
    prepared: Vec<Prepared>,
}

impl Sources {
    /// Reads what is to be in the place of `config`. Nothing has changed by that.
    fn read(&self, config: &Config) -> Result<Read, String> {
        let new = checks::anew(&self.flags, &self.surroundings);
        let change = config.changed_to(new.map_err(|error| error.to_string())?);
        let auth = credentials::settings(&change.config, &self.secrets);
        let auth = auth.map_err(|error| error.to_string())?;
        let prepared = self.changes.iter().map(|prepare| prepare(&change.config));
        let prepared = prepared.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        Ok(Read { change, auth, prepared })
    }
}

/// Reads the configuration anew, one time after the other.
pub(super) struct Reloader {
    pub(super) sources: Arc<Sources>,
    /// What is in force.
    pub(super) config: Config,
    /// How many connections there may be.
    pub(super) connections: u64,
    pub(super) host: Arc<Host>,
    /// What callers are known by.
    pub(super) auth: Authenticator,
    pub(super) logs: Arc<Logs>,
    /// Who is told while it reloads.
    pub(super) manager: Option<Arc<Manager>>,
    /// Readings that were not waited for any longer.
    pub(super) hanging: Vec<JoinHandle<Result<Read, String>>>,
}

impl Reloader {
    /// Reloads whenever that is asked for, by a signal or a call.
    pub(super) async fn work(mut self, mut hangup: Signal, mut asked: mpsc::Receiver<Asked>) {
        loop {
            tokio::select! {
                Some(()) = hangup.recv() => {
                    let reloaded = self.reload(SYSTEM.into()).await;
                    let outcome = if reloaded.errors.is_empty() { "ok" } else { "failed" };
                    self.host.audit(AuditEntry::of_reload(SYSTEM, outcome, HANGUP)).await;
                }
                Some(Asked { by, answer }) = asked.recv() => {
                    let reloaded = self.reload(by).await;
                    // Who asked may have gone; what was done stays done.
                    drop(answer.send(reloaded));
                }
                else => return,
            }
        }
    }

    async fn reload(&mut self, by: Arc<str>) -> Reloaded {
        let manager = self.manager.clone();
        if let Some(manager) = &manager {
            manager.reloading();
        }
        let reloaded = self.read_anew(by).await;
        if let Some(manager) = &manager {
            manager.ready();
        }
        reloaded
    }

    /// Reads the files where that keeps nobody from anything, and waits so long for them.
    async fn read(&mut self) -> Result<Read, String> {
        self.hanging.retain(|reading| !reading.is_finished());
        if self.hanging.len() >= HANGING {
            return Err("files of earlier reloads are still being read".to_owned());
        }
        let (sources, logs) = (Arc::clone(&self.sources), Arc::clone(&self.logs));
        let config = self.config.clone();
        let mut reading = spawn_blocking(move || {
            // Whatever the configuration is worth: who has moved the log wants another one.
            logs.reopen();
            sources.read(&config)
        });
        match timeout(READ, &mut reading).await {
            Ok(read) => read.unwrap_or_else(|error| Err(error.to_string())),
            Err(_) => {
                self.hanging.push(reading);
                Err(format!("its files were not read to their end in {} s", READ.as_secs()))
            }
        }
    }

    async fn read_anew(&mut self, by: Arc<str>) -> Reloaded {
        let refused = |error: String| {
            tracing::warn!(%error, "the configuration was not reloaded");
            Reloaded::refused(vec![error])
        };
        let Read { mut change, auth, prepared } = match self.read().await {
            Ok(read) => read,
            Err(error) => return refused(error),
        };
        if let Err(error) = self.host.reconfigure(&change.config, self.connections) {
            return refused(error.to_string());
        }
        self.logs.reconfigure(&change.config.logging);
        let renewed = self.auth.renew(auth);
        let mut anew: Vec<_> = credentials::anew(&change.config.auth, renewed).collect();
        for prepared in prepared {
            anew.extend(prepared.anew);
            (prepared.take_over)();
        }
        for key in anew {
            if !change.applied.iter().any(|applied| applied == key) {
                change.applied.push(key.to_owned());
            }
        }
        // More agents need more descriptors; that of connections is as it was.
        descriptors::connections(&change.config);
        self.config = change.config;
        let (applied, needs_restart) = (change.applied, change.needs_restart);
        tracing::info!(?applied, ?needs_restart, "the configuration was reloaded");
        let told = event::Reloaded::new(applied.clone(), needs_restart.clone());
        self.host.note_reload(by, told).await;
        Reloaded::applied(applied, needs_restart)
    }
}
