//! Conversations: whatever a program writes, whenever the clock ticks and whatever is done
//! meanwhile, its dialect keeps what every dialect promises ([`Referee`]), does the same again, and
//! remembers no more than is in proportion.

use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use descartes_core::dialect::{
    Acp, Action, ApprovalMode, Basic, Claude, Codex, CodexExec, Decision, Dialect, Gemini,
    Input as Given, LaunchWords, LineTalk, OpenCode, Prompt, PromptPart, SessionSpec, Thinking,
};
use descartes_core::event::StreamName;
use descartes_core::testing::Referee;

use crate::input::Input;

/// What it may remember, and what one line may be built into, beside its bytes.
const BUILT: u64 = 1024 * 1024;
/// A byte of JSON may become a value of a tree.
const BUILT_PER_BYTE: u64 = 256;

macro_rules! targets {
    ($($(#[$meta:meta])* $name:ident: $make:expr, $words:expr;)*) => {
        $(
            $(#[$meta])*
            pub fn $name(data: &[u8]) {
                converse(data, || Box::new($make));
            }
        )*
        /// The words of each target.
        pub(crate) mod words {
            $(
                #[expect(non_upper_case_globals, reason = "named as its target")]
                pub(crate) const $name: &[&str] = $words;
            )*
        }
    };
}

targets! {
    /// An agent that speaks ACP.
    dialect_acp: Acp::new(), &[
        "\n>go\n", "\n!\n", "\n?0\n", "\n~\n", "\n=0\n", "session/update", "sessionUpdate",
        "agent_message_chunk", "tool_call", "tool_call_update", "toolCallId", "stopReason",
        "cancelled", "session/request_permission", "optionId", "\"id\":", "\"params\":", "sessionId",
    ];
    /// The bundled agent.
    dialect_basic: Basic::new(), &[
        "\n>go\n", "\n!\n", "\n?0\n", "\n~\n", "\n=0\n", "ready", "session ", "text ", "think ",
        "tool 1 write {}", "ask 1 x", "result 1 x", "mark", "retract", "failed ", "cancelled",
        "done", "\\n",
    ];
    /// Claude Code.
    dialect_claude: Claude::new(), &[
        "\n>go\n", "\n!\n", "\n?0\n", "\n~\n", "\n=0\n", "stream_event", "content_block_delta",
        "message_start", "\"assistant\"", "\"user\"", "\"result\"", "\"system\"", "init",
        "control_request", "control_response", "control_cancel_request", "can_use_tool",
        "task_notification", "parent_tool_use_id", "tool_use", "tool_result", "is_error",
    ];
    /// `codex app-server`.
    dialect_codex: Codex::new(), &[
        "\n>go\n", "\n!\n", "\n?0\n", "\n~\n", "\n=0\n", "item/started", "item/completed",
        "item/agentMessage/delta", "turn/started", "turn/completed", "thread/status/changed",
        "serverRequest/resolved", "item/commandExecution/requestApproval", "threadId", "turnId",
        "itemId", "commandExecution", "interrupted", "willRetry", "\"id\":",
    ];
    /// `codex exec`.
    dialect_codex_exec: CodexExec::new(), &[
        "\n>go\n", "\n!\n", "\n~\n", "\n=0\n", "thread.started", "turn.completed", "turn.failed",
        "item.started", "item.completed", "agent_message", "command_execution", "reasoning",
    ];
    /// Gemini's JSON lines.
    dialect_gemini: Gemini::new(), &[
        "\n>go\n", "\n!\n", "\n~\n", "\n=0\n", "init", "message", "assistant", "tool_use",
        "tool_result", "tool_id", "result", "success", "error",
    ];
    /// Programs that answer a line with lines.
    dialect_lines: LineTalk::new(), &["\n>go\n", "\n!\n", "\n~\n", "\n=0\n", "\n=k\n", "\n%\n"];
    /// `opencode run`.
    dialect_opencode: OpenCode::new(), &[
        "\n>go\n", "\n!\n", "\n~\n", "\n=0\n", "step_start", "step_finish", "text", "reasoning",
        "tool_use", "callID", "completed", "error", "stop", "sessionID",
    ];
}

/// Byte 0 is what the conversation is asked to be, the rest lines. A line is the program's, unless
/// it begins with one of these: `>` a prompt, `!` a cancel, `?` a decision, `~` time, `#` standard
/// error, `%` a line too long, `^` the end of a stream, `|` a pause, `=` the end.
fn converse(data: &[u8], make: impl Fn() -> Box<dyn Dialect>) {
    let first = talk(data, make());
    assert_eq!(first, talk(data, make()), "it does not do the same again");
}

fn talk(data: &[u8], dialect: Box<dyn Dialect>) -> Vec<Action> {
    let mut input = Input::new(data);
    let mut referee = Referee::new(dialect);
    referee.launch(&session(input.byte()), &mut LaunchWords::default());
    let (now, did) = (Instant::now(), Vec::new());
    let mut talk = Talk { referee, now, did, turn: 0, ended: false };
    let built = measure(|| {
        talk.give(Given::Opened);
        for line in input.rest().split(|byte| *byte == b'\n') {
            talk.line(line);
        }
        talk.end(None);
    });
    let most = BUILT + BUILT_PER_BYTE * data.len() as u64;
    assert!(built.bytes_max <= most, "{} bytes built for {}", built.bytes_max, data.len());
    talk.did
}

fn session(byte: u8) -> SessionSpec {
    let mut session = SessionSpec::new(uuid::Uuid::nil(), "/work");
    session.native = (byte & 1 != 0).then(|| Arc::from("old"));
    session.model = (byte & 2 != 0).then(|| Arc::from("model"));
    session.system_prompt = (byte & 4 != 0).then(|| Arc::from("be kind"));
    session.approvals = ApprovalMode::ALL[usize::from(byte >> 3 & 3)];
    session.thinking = Thinking::ALL[usize::from(byte >> 5) % Thinking::ALL.len()];
    session
}

struct Talk {
    referee: Referee,
    now: Instant,
    did: Vec<Action>,
    turn: u32,
    ended: bool,
}

impl Talk {
    fn give(&mut self, input: Given<'_>) {
        if !self.ended {
            self.referee.handle(self.now, input, &mut self.did);
        }
    }

    fn line(&mut self, line: &[u8]) {
        let (word, rest) = line.split_first().unwrap_or((&0, &[]));
        let (stream, kind) = (StreamName::Stdout, rest.first().copied().unwrap_or_default());
        match word {
            b'>' => self.prompt(rest),
            b'!' => self.give(Given::Cancel { turn: self.turn }),
            b'?' => self.decide(kind),
            b'~' => self.wait(kind),
            b'#' => self.give(Given::Line { stream: StreamName::Stderr, bytes: rest }),
            b'%' => self.give(Given::Oversize { stream, bytes: 2_000_000 }),
            b'^' => self.give(Given::Eof { stream }),
            b'|' => self.give(if kind & 1 == 0 { Given::Pause } else { Given::Resume }),
            b'=' => self.end(Some(kind)),
            _ => self.give(Given::Line { stream, bytes: line }),
        }
    }

    fn prompt(&mut self, text: &[u8]) {
        if self.referee.is_busy() || self.ended {
            return;
        }
        self.turn += 1;
        let text = String::from_utf8_lossy(text);
        let part = match text.strip_prefix('@') {
            Some("") => PromptPart::Image { media_type: "image/png".into(), data: "AA".into() },
            Some(path) => PromptPart::File { path: path.into() },
            None => PromptPart::Text(text.into()),
        };
        let prompt = Prompt::parts(vec![part]);
        self.give(Given::Prompt { turn: self.turn, prompt: &prompt });
    }

    fn decide(&mut self, kind: u8) {
        let Some(ask) = self.referee.asks().nth(usize::from(kind >> 4 & 1)) else { return };
        let decision = match kind % 6 {
            0 => Decision::AllowOnce,
            1 => Decision::AllowSession,
            2 => Decision::Deny { message: Some("no".into()) },
            3 => Decision::Option { id: "once".into() },
            4 => Decision::Answer { text: "{}".into() },
            _ => Decision::Cancel,
        };
        self.give(Given::Decide { ask, decision: &decision });
    }

    /// A tick: when it is wanted, or after a while, or too early.
    fn wait(&mut self, kind: u8) {
        match kind {
            b'0'..=b'6' => self.now += Duration::from_millis(10_u64.pow(u32::from(kind - b'0'))),
            b'-' => self.now = self.now.checked_sub(Duration::from_millis(50)).unwrap_or(self.now),
            _ => self.now = self.referee.deadline().map_or(self.now, |due| due.max(self.now)),
        }
        self.give(Given::Tick);
    }

    fn end(&mut self, kind: Option<u8>) {
        let (code, signal) = match kind {
            Some(digit @ b'0'..=b'9') => (Some(i32::from(digit - b'0')), None),
            Some(_) => (None, Some(9)),
            None => (None, None),
        };
        self.give(Given::Ended { code, signal });
        self.ended = true;
    }
}
