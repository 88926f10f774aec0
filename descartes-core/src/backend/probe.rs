//! Looks at what is installed: finds programs, asks them for their versions, looks for their logins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as Turn, mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use super::{Backend, BackendStatus, BackendTrouble, Capabilities, Login, Recipe};
use crate::descartes::Core;
use crate::dialect::{Action, Dialect, Input};
use crate::event::StreamName;
use crate::limits::{PROBE_OUTPUT_BYTES, PROBE_WAIT, VERSION_BYTES};
use crate::output::{Observer, OutputSink};
use crate::runner::{
    AgentDriver, AgentRunner, Control, ControlRequest, Launch, LookUp, RunExit, SpawnStage,
};
use crate::store::format::OutputMark;

/// What [`BackendStatus::runner`] says of backends that name no runner.
const DEFAULT_RUNNER: &str = "process";

/// What programs said of their versions, by what they are asked with: as many as there are recipes.
#[derive(Debug, Default)]
pub(crate) struct Probes(Mutex<BTreeMap<Vec<String>, Arc<Answer>>>);

/// The answer of one program; whoever asks for it holds it.
type Answer = Turn<Option<Known>>;

/// What a program said, and which file that was.
#[derive(Debug)]
struct Known {
    file: File,
    version: Option<Arc<str>>,
}

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    path: PathBuf,
    stamp: [u64; 4],
}

impl Backend {
    /// What it can do, and whether it can be used here. Programs are asked once as long as their
    /// files do not change, and again with `refresh`.
    ///
    /// # Cancel safety
    /// A program that is being asked is ended.
    pub(crate) async fn status(&self, core: &Core, refresh: bool) -> BackendStatus {
        let mut status = self.unseen(core);
        let Some(launch) = self.asks_version(core.instance()) else { return status };
        let (runner, signs) = (Arc::clone(core.runners.of(self)), self.program.signs);
        let asked = launch.clone();
        // It looks at files, which may be far away.
        let look = move || {
            let looked = runner.look_up(&asked)?;
            let login = signs.map(|signs| signs.read(&looked.env));
            Some((looked, login))
        };
        let Ok(Some((LookUp { program, stamp, .. }, login))) = spawn_blocking(look).await else {
            return status;
        };
        status.login = login.unwrap_or(status.login);
        match program {
            Err(error) => {
                let denied = error.stage == SpawnStage::Exec;
                let trouble =
                    if denied { BackendTrouble::NotExecutable } else { BackendTrouble::NotFound };
                (status.trouble, status.searched) = (Some(trouble), error.searched);
            }
            Ok(path) => {
                status.program = Some(path.clone());
                if !self.program.version.is_empty() {
                    let runner = core.runners.of(self);
                    let question = Question {
                        core,
                        runner,
                        launch,
                        file: File { path, stamp },
                        wait: PROBE_WAIT,
                    };
                    status.version = core.probes.version(question, refresh).await;
                    let silent = status.version.is_none();
                    status.trouble = silent.then_some(BackendTrouble::ProbeFailed);
                }
            }
        }
        status
    }

    /// What is known of it without a look at its program.
    fn unseen(&self, core: &Core) -> BackendStatus {
        let bundled = match &self.recipe {
            Recipe::Basic(basic) => basic.as_ref().map(|basic| basic.program.clone()),
            _ => None,
        };
        let is_basic = matches!(self.recipe, Recipe::Basic(_));
        let missing = is_basic && !bundled.as_ref().is_some_and(|program| program.exists());
        let install = self.program.install;
        // What is played was said already.
        let converses = self.always_converses() && !matches!(self.recipe, Recipe::Replay(_));
        BackendStatus {
            name: Arc::clone(&self.name),
            dialect: self.dialect_name(),
            runner: self.runner.clone().unwrap_or_else(|| match self.recipe {
                Recipe::Replay(_) => "replay".into(),
                _ => DEFAULT_RUNNER.into(),
            }),
            trouble: missing.then_some(BackendTrouble::NotFound),
            program: bundled.or_else(|| self.program.command.first().map(PathBuf::from)),
            searched: Vec::new(),
            version: is_basic.then(|| Arc::clone(&core.version)),
            // What nobody converses with has no model to log in to, as far as we know.
            login: if converses { Login::Unknown } else { Login::Ok },
            install_hint: (!install.is_empty()).then_some(install),
            capabilities: self.capabilities(),
            models: self.said.models.clone(),
        }
    }
}

/// A program to be asked for its version.
struct Question<'a> {
    core: &'a Core,
    runner: &'a Arc<dyn AgentRunner>,
    launch: Launch,
    file: File,
    /// How long it may take.
    wait: Duration,
}

impl Probes {
    /// The version that a program says it has. Whoever asks the same meanwhile waits for the answer.
    async fn version(&self, question: Question<'_>, refresh: bool) -> Option<Arc<str>> {
        let known = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(question.launch.argv.clone()).or_default())
        };
        let mut known = known.lock().await;
        match &*known {
            Some(known) if known.file == question.file && !refresh => known.version.clone(),
            _ => {
                let file = question.file.clone();
                let version = question.ask().await;
                *known = Some(Known { file, version: version.clone() });
                version
            }
        }
    }
}

impl Question<'_> {
    /// Starts it, hears what it says, and has nothing of it left.
    async fn ask(self) -> Option<Arc<str>> {
        let (controls, requests) = mpsc::channel(1);
        let (ended, exit) = oneshot::channel();
        let heard = Arc::new(Mutex::new(None));
        let listener = Observer::new(Box::new(Listener(Arc::clone(&heard))));
        let journal = (self.core.journal.clone(), self.core.clock.clone());
        // Never opened: nothing of it comes into the journal.
        let sink =
            OutputSink::new(self.launch.agent, OutputMark::default(), journal, Some(listener));
        sink.begin_run(self.launch.run, Some(PROBE_OUTPUT_BYTES));
        let driver =
            AgentDriver::new(requests, Arc::clone(&sink), (ended, watch::Sender::new(None)));
        let program = self.launch.argv.first().cloned().unwrap_or_default();
        let answer = async {
            if let Err(error) = self.runner.spawn(self.launch, driver).await {
                tracing::debug!(program, %error, "it could not be asked for its version");
                return None;
            }
            tokio::select! {
                exit = exit => exit.ok(),
                () = sink.over_limit() => None,
            }
        };
        let exit = tokio::time::timeout(self.wait, answer).await.unwrap_or_default();
        if exit.is_none() {
            sink.give_up();
            let (request, reply) = ControlRequest::new(Control::Kill { grace: Duration::ZERO });
            if controls.send(Box::new(request)).await.is_ok() {
                drop(reply.wait().await);
            }
        }
        let line = heard.lock().unwrap_or_else(PoisonError::into_inner).take();
        let version = exit.filter(|exit: &RunExit| exit.code == Some(0)).and(line);
        if version.is_none() {
            tracing::info!(program, ?exit, "it did not say its version");
        }
        version
    }
}

/// Hears a version.
struct Listener(Arc<Mutex<Option<Arc<str>>>>);

impl Dialect for Listener {
    fn handle(&mut self, _now: Instant, input: Input<'_>, _out: &mut Vec<Action>) {
        if let Input::Line { stream: StreamName::Stdout, bytes } = input {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.is_none() {
                *heard = std::str::from_utf8(bytes).ok().and_then(version);
            }
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}

/// The version in a line such as `codex-cli 0.169.0` or `2.1.197 (Claude Code)`.
fn version(line: &str) -> Option<Arc<str>> {
    let is_version = |word: &&str| {
        let of_version = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
        word.len() <= VERSION_BYTES
            && word.starts_with(|letter: char| letter.is_ascii_digit())
            && word.contains('.')
            && word.bytes().all(of_version)
    };
    let words = line.split_whitespace().map(|word| word.strip_prefix('v').unwrap_or(word));
    words.filter(|word| is_version(word)).map(Arc::from).next()
}

#[cfg(test)]
mod tests;
