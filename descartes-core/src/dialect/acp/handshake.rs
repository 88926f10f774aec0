//! How a conversation is opened: initialize, authenticate, new or load, and the settings.

use std::collections::VecDeque;
use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;

use super::peer::Purpose;
use super::setup::Setting;
use super::wire::{AuthMethod, Failure, Initialized, Session, read};
use super::{Acp, Action, Stage, Wait, errors};
use crate::agent::Activity;
use crate::dialect::TurnEnd;
use crate::event::{ChunkError, ChunkErrorKind, TurnOutcome};
use crate::limits;

/// The version of the protocol that is spoken.
const VERSION: u64 = 1;

/// How far the opening is.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// What was asked last.
    asked: &'static str,
    authenticated: bool,
    methods: Vec<AuthMethod>,
    /// When history is over at the latest.
    history_ends: Option<Instant>,
    /// What is still to be set, the first one asked for already.
    pub(super) settings: VecDeque<Setting>,
}

impl Opening {
    /// The method that was asked last.
    pub(super) fn name(&self) -> &'static str {
        self.asked
    }
}

/// What is known of the agent.
#[derive(Debug, Default)]
pub(super) struct Agent {
    /// What its program calls itself.
    pub(super) name: Option<String>,
    /// It brings a conversation back, and tells what was said in it.
    pub(super) loads: bool,
    /// It brings a conversation back, and tells nothing.
    pub(super) resumes: bool,
    pub(super) images: bool,
    /// The model can be chosen.
    pub(super) models: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Initialize {
    protocol_version: u64,
    client_capabilities: ClientCapabilities,
    client_info: ClientInfo,
}

#[derive(Serialize)]
struct ClientCapabilities {
    fs: Files,
    terminal: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Files {
    read_text_file: bool,
    write_text_file: bool,
}

#[derive(Serialize)]
struct ClientInfo {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authenticate<'a> {
    method_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Open<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    cwd: &'a str,
    mcp_servers: [(); 0],
}

impl Acp {
    /// The process runs.
    pub(super) fn opened(&mut self, now: Instant, out: &mut Vec<Action>) {
        let words = Initialize {
            protocol_version: VERSION,
            client_capabilities: ClientCapabilities {
                fs: Files { read_text_file: false, write_text_file: false },
                terminal: false,
            },
            client_info: ClientInfo { name: "descartes", version: env!("CARGO_PKG_VERSION") },
        };
        self.ask((now, Purpose::Initialize), "initialize", &words, out);
    }

    /// Asks for the next thing of the opening, and waits for it.
    pub(super) fn ask(
        &mut self,
        (now, purpose): (Instant, Purpose),
        method: &'static str,
        params: &impl Serialize,
        out: &mut Vec<Action>,
    ) {
        self.opening.asked = method;
        self.wait_for(now, Wait::Opening);
        self.peer.request(purpose, method, params, out);
    }

    /// An answer to something that was asked.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        purpose: Purpose,
        answer: Result<Option<&RawValue>, Failure>,
        out: &mut Vec<Action>,
    ) {
        match (purpose, answer) {
            (Purpose::Prompt(turn), Ok(result)) => self.answered_turn(turn, &read(result), out),
            (Purpose::Prompt(turn), Err(failure)) => self.failed_turn(turn, &failure, out),
            // The opening failed before the answer came.
            _ if !matches!(self.stage, Stage::Opening) => {}
            (Purpose::Initialize, Ok(result)) => self.initialized(now, read(result), out),
            (Purpose::Initialize, Err(failure)) => {
                self.break_off(now, errors::error(&failure), out);
            }
            (Purpose::Authenticate, Ok(_)) => {
                self.opening.authenticated = true;
                self.open_session(now, out);
            }
            (Purpose::Authenticate, Err(failure)) => self.refused_login(now, &failure, out),
            (Purpose::Open, Ok(result)) => self.opened_session(now, &read(result), out),
            (Purpose::Open, Err(failure)) => self.refused_session(now, &failure, out),
            (Purpose::Configure, Ok(_)) => self.set_up(now, out),
            (Purpose::Configure, Err(failure)) => self.refused_setting(now, &failure, out),
        }
    }

    /// The opening failed: the process is of no more use.
    pub(super) fn break_off(&mut self, now: Instant, error: ChunkError, out: &mut Vec<Action>) {
        self.wait_for(now, Wait::Leave);
        self.stage = Stage::Broken(error.clone());
        if let Some(turn) = &self.turn {
            let end = TurnEnd::failed(turn.number, error);
            self.end_turn(end, out);
        }
        out.push(Action::CloseStdin);
    }

    fn initialized(&mut self, now: Instant, answer: Initialized, out: &mut Vec<Action>) {
        if answer.protocol_version != Some(VERSION) {
            let version = answer.protocol_version;
            let version =
                version.map_or("no version".into(), |version| format!("version {version}"));
            let text =
                format!("the agent speaks {version} of ACP, and only {VERSION} is understood");
            self.break_off(now, ChunkError::new(ChunkErrorKind::Protocol, text), out);
            return;
        }
        let can = answer.agent_capabilities.unwrap_or_default();
        self.agent = Agent {
            name: answer.agent_info.and_then(|info| info.name),
            loads: can.load_session == Some(true),
            resumes: can.session_capabilities.is_some_and(|session| session.offers_resume()),
            images: can.prompt_capabilities.and_then(|prompt| prompt.image) == Some(true),
            models: false,
        };
        self.opening.methods = answer.auth_methods;
        let configured = self.words.auth_method.clone();
        let offered = |method: &String| self.opening.methods.iter().any(|is| is.id == *method);
        match configured.filter(offered) {
            Some(method) => self.authenticate(now, &method, out),
            None => self.open_session(now, out),
        }
    }

    fn authenticate(&mut self, now: Instant, method: &str, out: &mut Vec<Action>) {
        let words = Authenticate { method_id: method };
        self.ask((now, Purpose::Authenticate), "authenticate", &words, out);
    }

    fn open_session(&mut self, now: Instant, out: &mut Vec<Action>) {
        let session = self.session.clone();
        let cwd = session.as_ref().map_or("/".into(), |session| session.cwd.to_string_lossy());
        let native = session.as_ref().and_then(|session| session.native.as_deref());
        let method = match native {
            None => "session/new",
            Some(_) if self.agent.loads => "session/load",
            Some(_) if self.agent.resumes => "session/resume",
            Some(_) => {
                let text = "the agent cannot bring a conversation back";
                self.break_off(now, ChunkError::new(ChunkErrorKind::Protocol, text), out);
                return;
            }
        };
        let words = Open { session_id: native, cwd: &cwd, mcp_servers: [] };
        self.ask((now, Purpose::Open), method, &words, out);
    }

    /// `session/new` and its like were refused: for want of a login, or for good.
    fn refused_session(&mut self, now: Instant, failure: &Failure, out: &mut Vec<Action>) {
        if errors::wants_login(failure) {
            match self.only_method().filter(|_| !self.opening.authenticated) {
                Some(method) => self.authenticate(now, &method, out),
                None => self.refused_login(now, failure, out),
            }
            return;
        }
        let mut error = errors::error(failure);
        if let Some(native) = self.session.as_ref().and_then(|session| session.native.clone()) {
            // Agents say it in as many ways as there are agents.
            error.kind = ChunkErrorKind::Protocol;
            error.message =
                format!("the conversation {native} was not brought back: {}", error.message).into();
        }
        self.break_off(now, error, out);
    }

    /// The one method that works without a person in front of it; none where there are more.
    fn only_method(&self) -> Option<String> {
        let mut alone = self.opening.methods.iter().filter(|method| errors::works_alone(method));
        let first = alone.next()?;
        alone.next().is_none().then(|| first.id.clone())
    }

    fn refused_login(&mut self, now: Instant, failure: &Failure, out: &mut Vec<Action>) {
        let mut error = errors::error(failure);
        error.kind = ChunkErrorKind::AgentAuth;
        let methods = self.opening.methods.iter().map(|method| {
            let name = method.name.as_deref().unwrap_or(&method.id);
            format!("{name} (`{}`)", method.id)
        });
        let methods = methods.collect::<Vec<_>>().join(", ");
        if !methods.is_empty() {
            let hint = format!("log in with the agent's own program; it offers {methods}");
            error = error.with_hint(crate::dialect::raw::cut(&hint, limits::ERROR_TEXT_BYTES));
        }
        self.break_off(now, error, out);
    }

    fn opened_session(&mut self, now: Instant, answer: &Session, out: &mut Vec<Action>) {
        let native = self.session.as_ref().and_then(|session| session.native.as_deref());
        // The answer to `session/load` need not name it again.
        let Some(id) = answer.session_id.clone().or_else(|| native.map(ToOwned::to_owned)) else {
            let text = "the agent opened a conversation without a name";
            self.break_off(now, ChunkError::new(ChunkErrorKind::Protocol, text), out);
            return;
        };
        self.cost.opened(native.is_none());
        if native.is_none() {
            self.preface = self.session.as_ref().and_then(|session| session.system_prompt.clone());
        }
        out.push(Action::Session(id.as_str().into()));
        self.opening.settings = self.settings(answer, &id);
        self.native = Some(id);
        if let Err(error) = self.check_model(answer) {
            self.break_off(now, error, out);
        } else if self.opening.asked == "session/load" {
            self.opening.history_ends = Some(now + limits::ACP_HISTORY);
            self.wait_for(now, Wait::History);
        } else {
            self.set_up_first(now, out);
        }
    }

    /// Something was told: while history may come, it is not over. Gemini tells most of it after
    /// it has answered, and nothing tells that from an answer to the first prompt.
    pub(super) fn history_goes_on(&mut self, now: Instant) {
        if let (Some((_, Wait::History)), Some(end)) = (self.wait, self.opening.history_ends) {
            self.wait = Some((end.min(now + limits::ACP_HISTORY_QUIET), Wait::History));
        }
    }

    /// The conversation is open.
    pub(super) fn ready(&mut self, out: &mut Vec<Action>) {
        self.wait = None;
        self.stage = Stage::Ready;
        out.push(Action::Ready(crate::dialect::Dialect::capabilities(self)));
        self.busy(Some(Activity::Idle), out);
        if self.turn.is_some() {
            self.send_prompt(out);
        }
    }

    /// The outcome of a turn that is not what the agent claims, because somebody cancelled it.
    pub(super) fn was_cancelled(&self) -> Option<TurnOutcome> {
        let cancelled = self.turn.as_ref().is_some_and(|turn| turn.cancelled);
        cancelled.then_some(TurnOutcome::Cancelled)
    }
}
