//! One turn: what is asked, what was said so far, how it ends.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::asks::{Asks, Outcome};
use super::peer::{Peer, Purpose};
use super::tools::{Calls, Tools};
use super::usage;
use super::wire::{Failure, Prompted};
use super::{Acp, Action, Stage, Wait, errors};
use crate::agent::Activity;
use crate::dialect::{Prompt, PromptPart, TurnEnd};
use crate::event::{ChunkError, ChunkErrorKind, TurnOutcome};
use crate::limits;

/// A turn that has not ended.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) number: u32,
    /// What is asked, until it is sent.
    prompt: Option<Prompt>,
    /// The agent was asked: what it says is of this turn.
    pub(super) sent: bool,
    pub(super) cancelled: bool,
    /// The agent's name of the message that it says.
    pub(super) message: Option<String>,
    pub(super) passage: Passage,
    pub(super) text: Block,
    pub(super) thinking: Block,
    pub(super) tools: Tools,
    pub(super) asks: Asks,
}

/// What is remembered of the last turn, for what its agent says too late.
#[derive(Debug, Default)]
pub(super) struct TurnPast {
    pub(super) number: u32,
    /// The message in the middle of which it was cancelled.
    pub(super) message: Option<String>,
    pub(super) calls: Calls,
}

/// A block of text or thinking: a new one begins after each tool call.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) number: u32,
    used: bool,
}

impl Block {
    /// The block's number, for a piece that goes into it.
    pub(super) fn piece(&mut self) -> u32 {
        self.used = true;
        self.number
    }

    /// Something else came in between.
    pub(super) fn close(&mut self) {
        if std::mem::take(&mut self.used) {
            self.number += 1;
        }
    }
}

/// Text since the last mark: agents have been seen to say an error as if the model had, and then
/// once more as the error of the turn.
#[derive(Debug, Default)]
pub(super) struct Passage {
    open: bool,
    text: String,
}

impl Passage {
    /// Takes a piece; says whether it is the first.
    pub(super) fn push(&mut self, text: &str) -> bool {
        // Longer than an error is shown: no error.
        if self.text.len() <= limits::ERROR_TEXT_BYTES {
            self.text.push_str(text);
        }
        !std::mem::replace(&mut self.open, true)
    }

    /// The next piece is the first of another.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }
}

impl Turn {
    fn new(number: u32, prompt: Prompt) -> Self {
        Self {
            number,
            prompt: Some(prompt),
            sent: false,
            cancelled: false,
            message: None,
            passage: Passage::default(),
            text: Block::default(),
            thinking: Block::default(),
            tools: Tools::default(),
            asks: Asks::default(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PromptWords<'a> {
    session_id: &'a str,
    prompt: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
enum Part<'a> {
    Text {
        text: &'a str,
    },
    #[serde(rename_all = "camelCase")]
    Image {
        mime_type: &'a str,
        data: &'a str,
    },
    ResourceLink {
        uri: String,
        name: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cancel<'a> {
    session_id: &'a str,
}

impl Acp {
    /// A turn begins; it is kept until the agent can take it.
    pub(super) fn prompt(&mut self, number: u32, prompt: &Prompt, out: &mut Vec<Action>) {
        if self.turn.is_some() {
            let error = ChunkError::new(ChunkErrorKind::Protocol, "another turn is under way");
            out.push(Action::TurnEnded(TurnEnd::failed(number, error)));
            return;
        }
        self.turn = Some(Turn::new(number, prompt.clone()));
        match &self.stage {
            Stage::Ready => self.send_prompt(out),
            Stage::Broken(error) => {
                let end = TurnEnd::failed(number, error.clone());
                self.end_turn(end, out);
            }
            Stage::Opening | Stage::Ended => {}
        }
    }

    /// Asks the agent what is asked of it.
    pub(super) fn send_prompt(&mut self, out: &mut Vec<Action>) {
        let Some(turn) = &mut self.turn else { return };
        let Some(prompt) = turn.prompt.take() else { return };
        let pictures = prompt.parts.iter().any(|part| matches!(part, PromptPart::Image { .. }));
        if pictures && !self.agent.images {
            let error = ChunkError::new(ChunkErrorKind::Protocol, "the agent takes no pictures");
            let end = TurnEnd::failed(turn.number, error);
            self.end_turn(end, out);
            return;
        }
        turn.sent = true;
        self.cost.turn_began();
        let preface = self.preface.take();
        let first = preface.as_deref().map(|text| Part::Text { text });
        let parts = prompt.parts.iter().map(part);
        let words = PromptWords {
            session_id: self.native.as_deref().unwrap_or_default(),
            prompt: first.into_iter().chain(parts).collect(),
        };
        let purpose = Purpose::Prompt(turn.number);
        self.peer.request(purpose, "session/prompt", &words, out);
        self.busy(Some(Activity::Thinking), out);
    }

    /// Somebody cancels the turn.
    pub(super) fn cancel(&mut self, now: Instant, number: u32, out: &mut Vec<Action>) {
        let open = self.turn.as_mut().filter(|turn| turn.number == number && !turn.cancelled);
        let Some(turn) = open else { return };
        turn.cancelled = true;
        if !turn.sent {
            self.end_turn(TurnEnd::new(number, TurnOutcome::Cancelled), out);
            return;
        }
        let session_id = self.native.as_deref().unwrap_or_default();
        Peer::notify("session/cancel", &Cancel { session_id }, out);
        // Some agents end the turn only when what they asked is answered.
        for (ask, request) in turn.asks.take_all() {
            Peer::answer(&request, &Outcome::cancelled(), out);
            out.push(Action::Withdraw { ask });
        }
        if self.wait.is_none() {
            self.wait_for(now, Wait::Cancel);
        }
    }

    /// The agent says that the turn has ended.
    pub(super) fn answered_turn(&mut self, number: u32, said: &Prompted, out: &mut Vec<Action>) {
        if self.turn.as_ref().is_none_or(|turn| turn.number != number) {
            return;
        }
        let mut end = match self.was_cancelled() {
            // Also where the agent says `end_turn`, as OpenCode does when it waited to try again.
            Some(outcome) => TurnEnd::new(number, outcome),
            None => outcome(number, said.stop_reason.as_deref()),
        };
        end.usage = usage::of(said, self.cost.of_turn());
        self.end_turn(end, out);
    }

    /// The agent says that the turn has failed.
    pub(super) fn failed_turn(&mut self, number: u32, failure: &Failure, out: &mut Vec<Action>) {
        let Some(turn) = self.turn.as_ref().filter(|turn| turn.number == number) else { return };
        let error = errors::error(failure);
        let said = turn.passage.text.trim();
        let repeated = !said.is_empty() && error.message.ends_with(said);
        let mut end = match self.was_cancelled() {
            Some(outcome) => TurnEnd::new(number, outcome),
            None => TurnEnd::failed(number, error),
        };
        if repeated {
            out.push(Action::Retract);
        }
        end.usage = usage::of(&Prompted::default(), self.cost.of_turn());
        self.end_turn(end, out);
    }
}

/// What it means that a turn ended for `reason`.
fn outcome(number: u32, reason: Option<&str>) -> TurnEnd {
    let failed = |kind, text: &str| TurnEnd::failed(number, ChunkError::new(kind, text));
    match reason {
        None | Some("end_turn") => TurnEnd::new(number, TurnOutcome::Completed),
        Some("max_tokens") => {
            failed(ChunkErrorKind::Budget, "the model reached its limit of tokens")
        }
        Some("max_turn_requests") => {
            failed(ChunkErrorKind::Budget, "the agent reached its limit of rounds with the model")
        }
        Some("refusal") => failed(ChunkErrorKind::ModelError, "the model refuses to go on"),
        Some("cancelled") => failed(
            ChunkErrorKind::Protocol,
            "the agent says that the turn was cancelled, and nobody cancelled it",
        ),
        Some(other) => {
            let other = crate::dialect::raw::cut(other, limits::ACP_NAME_BYTES);
            failed(
                ChunkErrorKind::Protocol,
                &format!("the turn ended for an unknown reason: {other}"),
            )
        }
    }
}

fn part(part: &PromptPart) -> Part<'_> {
    match part {
        PromptPart::Text(text) => Part::Text { text },
        PromptPart::Image { media_type, data } => Part::Image { mime_type: media_type, data },
        PromptPart::File { path } => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            Part::ResourceLink { uri: file_uri(path), name }
        }
    }
}

/// `path` as a URI (RFC 8089), what may not stand in one as `%XX` (RFC 3986, section 2.1).
fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}
