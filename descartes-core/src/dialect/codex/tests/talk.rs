//! A conversation that a test holds line by line.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::dialect::transcript::script;
use crate::dialect::{
    Action, AskToken, Codex, Decision, Dialect, Input, LaunchWords, Prompt, SessionSpec,
};
use crate::event::StreamName;
use crate::testing::Referee;

/// The thread and the turn of every such conversation.
pub(super) const THREAD: &str = "th";
pub(super) const TURN: &str = "tu";

pub(super) struct Talk<D = Codex> {
    pub(super) codex: D,
    pub(super) now: Instant,
    out: Vec<Action>,
}

impl Talk {
    /// The process runs and was greeted.
    pub(super) fn opened(spec: &SessionSpec) -> Self {
        Self::of(Codex::new(), spec)
    }

    /// It takes prompts; what was done until then is forgotten.
    pub(super) fn ready(spec: &SessionSpec) -> Self {
        Self::opened(spec).greeted()
    }

    /// Turn 1 is under way; what was done until then is forgotten.
    pub(super) fn busy(spec: &SessionSpec) -> Self {
        Self::ready(spec).prompted()
    }
}

impl Talk<Referee> {
    /// The same under the eyes of a referee.
    pub(super) fn watched(spec: &SessionSpec) -> Self {
        Self::of(Referee::new(Box::new(Codex::new())), spec).greeted().prompted()
    }
}

impl<D: Dialect> Talk<D> {
    fn of(codex: D, spec: &SessionSpec) -> Self {
        let mut talk = Self { codex, now: Instant::now(), out: Vec::new() };
        talk.codex.launch(spec, &mut LaunchWords::default());
        talk.input(Input::Opened);
        talk
    }

    fn greeted(mut self) -> Self {
        self.says(&json!({"id": 1, "result": {"userAgent": "x"}}));
        self.says(&json!({"id": 2, "result": {"thread": {"id": THREAD}}}));
        self.did();
        self
    }

    fn prompted(mut self) -> Self {
        self.prompt(1);
        self.says(&json!({"id": 3, "result": {"turn": {"id": TURN}}}));
        self.did();
        self
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        self.codex.handle(self.now, input, &mut self.out);
    }

    pub(super) fn line(&mut self, bytes: &[u8]) {
        self.input(Input::Line { stream: StreamName::Stdout, bytes });
    }

    pub(super) fn complains(&mut self, text: &str) {
        self.input(Input::Line { stream: StreamName::Stderr, bytes: text.as_bytes() });
    }

    pub(super) fn says(&mut self, line: &Value) {
        self.line(line.to_string().as_bytes());
    }

    /// A notification about the turn.
    pub(super) fn tells(&mut self, method: &str, mut params: Value) {
        params["threadId"] = THREAD.into();
        if !method.starts_with("turn/") {
            params["turnId"] = TURN.into();
        }
        self.says(&json!({"method": method, "params": params}));
    }

    /// How the turn ended.
    pub(super) fn completes(&mut self, status: &str, error: &Value) {
        let turn = json!({"id": TURN, "status": status, "error": error, "items": []});
        self.tells("turn/completed", json!({"turn": turn}));
    }

    pub(super) fn asks(&mut self, id: u32, method: &str, mut params: Value) {
        params["threadId"] = THREAD.into();
        params["turnId"] = TURN.into();
        self.says(&json!({"id": id, "method": method, "params": params}));
    }

    pub(super) fn prompt(&mut self, turn: u32) {
        self.input(Input::Prompt { turn, prompt: &Prompt::text("hello") });
    }

    pub(super) fn decide(&mut self, ask: u64, decision: &Decision) {
        self.input(Input::Decide { ask: AskToken(ask), decision });
    }

    /// Time goes on, and the dialect is told when it wanted to be.
    pub(super) fn wait(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        while let Some(due) = self.codex.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = end;
    }

    /// What was done since this was asked last: what was sent as it is, all else as lines.
    pub(super) fn did(&mut self) -> Vec<String> {
        let done = std::mem::take(&mut self.out);
        let line = |action: &Action| match action {
            Action::Send(bytes) => {
                let text = std::str::from_utf8(bytes).expect("text is sent");
                vec![text.strip_suffix('\n').expect("whole lines are sent").to_owned()]
            }
            action => script(std::slice::from_ref(action)),
        };
        done.iter().flat_map(line).collect()
    }
}

/// A conversation of which nothing is asked.
pub(super) fn plain() -> SessionSpec {
    SessionSpec::new(uuid::Uuid::nil(), "/proj")
}
