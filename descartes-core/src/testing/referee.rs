//! Watches that a dialect keeps to what every dialect promises.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::backend::Capabilities;
use crate::dialect::{
    Action, ApprovalMode, AskToken, Dialect, Input, LaunchWords, PromptPart, SessionSpec,
};
use crate::event::{ChunkBody, StreamChunk};

/// Actions that one input may cause beyond one for each of its bytes: the end of a turn answers
/// every open question.
const MOST_ACTIONS: usize = 256;
/// What may come out for each byte that went in: a byte that is no text is shown as three, and
/// arguments are told in pieces, whole, and in a question.
const MOST_GROWTH: usize = 12;
/// What may come out for each input besides: requests, and errors in words.
const MOST_WORDS: usize = 4096;

/// A dialect that is watched: it panics when one of the promises of [`dialect`](crate::dialect) is
/// broken, by the dialect or by who uses it.
///
/// Beside what is written there: an input has bounded consequences, a tick that was due moves the
/// [`deadline`](Dialect::deadline), tools are begun before anything else is told of them, only what
/// was marked in the same turn is retracted, and questions are asked in a turn under names of their
/// own.
///
/// ```
/// use std::time::Instant;
/// use descartes_core::dialect::{Basic, Dialect, Input, Prompt};
/// use descartes_core::testing::Referee;
///
/// let (mut dialect, now, mut out) = (Referee::new(Box::new(Basic::new())), Instant::now(), vec![]);
/// dialect.handle(now, Input::Opened, &mut out);
/// dialect.handle(now, Input::Prompt { turn: 1, prompt: &Prompt::text("hello") }, &mut out);
/// dialect.handle(now, Input::Ended { code: Some(0), signal: None }, &mut out);
/// assert!(!dialect.is_busy(), "every turn ends with its process");
/// ```
pub struct Referee {
    dialect: Box<dyn Dialect>,
    /// The turn that is under way.
    open: Option<u32>,
    last: u32,
    marked: bool,
    tools: BTreeSet<Arc<str>>,
    /// Questions that are open, and the last one that was asked.
    asks: BTreeSet<AskToken>,
    asked: BTreeSet<AskToken>,
    ended: bool,
    /// How much may come out still.
    room: usize,
}

impl std::fmt::Debug for Referee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Referee").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Referee {
    /// Watches `dialect`, whose process has not begun.
    #[must_use]
    pub fn new(dialect: Box<dyn Dialect>) -> Self {
        Self {
            dialect,
            open: None,
            last: 0,
            marked: false,
            tools: BTreeSet::new(),
            asks: BTreeSet::new(),
            asked: BTreeSet::new(),
            ended: false,
            room: 0,
        }
    }

    /// Whether a turn is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.open.is_some()
    }

    /// The questions that are open, in the order of their names.
    pub fn asks(&self) -> impl Iterator<Item = AskToken> {
        self.asks.iter().copied()
    }

    fn gives(&mut self, input: &Input<'_>) {
        assert!(!self.ended, "{input:?} comes after the end");
        let bytes = match input {
            Input::Line { bytes, .. } => bytes.len(),
            Input::Prompt { turn, prompt } => {
                assert_eq!(self.open, None, "turn {turn} is asked for in the middle of another");
                assert!(*turn > self.last, "turn {turn} after {}", self.last);
                (self.open, self.last, self.marked) = (Some(*turn), *turn, false);
                self.tools.clear();
                prompt.parts.iter().map(size).sum()
            }
            Input::Decide { ask, .. } => {
                assert!(self.asks.remove(ask), "{ask:?} is not open");
                0
            }
            Input::Ended { .. } => {
                self.ended = true;
                0
            }
            _ => 0,
        };
        self.room += bytes * MOST_GROWTH + MOST_WORDS;
    }

    fn takes(&mut self, action: &Action) {
        let turn = self.open;
        let room = self.room.checked_sub(weight(action));
        self.room = room.unwrap_or_else(|| panic!("more comes out than went in: {action:?}"));
        match action {
            Action::Emit(chunk) => self.hears(chunk),
            Action::TurnEnded(end) => {
                assert_eq!(self.open.take(), Some(end.turn), "the end of no open turn: {end:?}");
                self.asks.clear();
            }
            Action::Mark => self.marked |= turn.is_some(),
            Action::Retract => {
                assert!(turn.is_some() && self.marked, "what was not marked is retracted");
            }
            Action::Ask { ask, request } => {
                assert!(turn.is_some(), "{request:?} is asked in no turn");
                assert!(self.asked.insert(*ask), "{ask:?} was used");
                self.asks.insert(*ask);
            }
            Action::Withdraw { ask } => assert!(self.asks.remove(ask), "{ask:?} is not open"),
            Action::Session(name) => assert!(!name.is_empty(), "a conversation without a name"),
            _ => {}
        }
    }

    fn hears(&mut self, chunk: &StreamChunk) {
        assert_eq!(chunk.turn, self.last, "{chunk:?} is of another turn");
        if let ChunkBody::Raw { .. } | ChunkBody::Oversize { .. } = chunk.body {
            return;
        }
        assert!(self.open.is_some(), "{chunk:?} is of no open turn");
        match &chunk.body {
            ChunkBody::ToolUseStart { tool_id, .. } => {
                self.tools.insert(Arc::clone(tool_id));
            }
            ChunkBody::ToolUseInput { tool_id, .. } | ChunkBody::ToolResult { tool_id, .. } => {
                assert!(self.tools.contains(tool_id), "{tool_id} was not begun: {chunk:?}");
            }
            ChunkBody::Text { .. }
            | ChunkBody::Thinking { .. }
            | ChunkBody::Usage(_)
            | ChunkBody::Error(_) => {}
            other => panic!("{other:?} is not a dialect's to say"),
        }
    }
}

impl Dialect for Referee {
    fn launch(&mut self, session: &SessionSpec, words: &mut LaunchWords) {
        self.dialect.launch(session, words);
    }

    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Action>) {
        self.gives(&input);
        let bytes = if let Input::Line { bytes, .. } = input { bytes.len() } else { 0 };
        let (before, is_tick) = (out.len(), input == Input::Tick);
        self.dialect.handle(now, input, out);
        let did = &out[before..];
        assert!(did.len() <= MOST_ACTIONS + bytes, "{} actions for {bytes} bytes", did.len());
        for action in did {
            self.takes(action);
        }
        if is_tick && let Some(due) = self.dialect.deadline() {
            assert!(due > now, "a tick that was due changes nothing");
        }
        assert!(!(self.ended && self.is_busy()), "turn {} has no end", self.last);
    }

    fn deadline(&self) -> Option<Instant> {
        self.dialect.deadline()
    }

    fn capabilities(&self) -> Capabilities {
        self.dialect.capabilities()
    }

    fn approval_modes(&self) -> &'static [ApprovalMode] {
        self.dialect.approval_modes()
    }
}

fn size(part: &PromptPart) -> usize {
    match part {
        PromptPart::Text(text) => text.len(),
        PromptPart::Image { media_type, data } => media_type.len() + data.len(),
        PromptPart::File { path } => path.as_os_str().len(),
    }
}

/// About how many bytes an action carries.
fn weight(action: &Action) -> usize {
    match action {
        Action::Send(bytes) => bytes.len(),
        Action::Emit(chunk) => match &chunk.body {
            ChunkBody::Text { content, .. } | ChunkBody::Thinking { content, .. } => content.len(),
            ChunkBody::ToolUseStart { tool_name, tool_id } => tool_name.len() + tool_id.len(),
            ChunkBody::ToolUseInput { tool_id, content, input } => {
                let input = input.as_ref().map_or(0, |input| input.as_str().len());
                tool_id.len() + content.len() + input
            }
            ChunkBody::ToolResult { tool_id, result, .. } => tool_id.len() + result.len(),
            ChunkBody::Raw { line } => line.len(),
            ChunkBody::Error(error) => error.message.len(),
            _ => 0,
        },
        Action::Ask { request, .. } => request.title.len() + request.arguments.as_str().len(),
        Action::TurnEnded(end) => end.error.as_ref().map_or(0, |error| error.message.len()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Prompt, TurnEnd};
    use crate::event::TurnOutcome;

    /// Does what it is told for each line, whatever that breaks.
    struct Rogue(Vec<Action>);

    impl Dialect for Rogue {
        fn handle(&mut self, _: Instant, input: Input<'_>, out: &mut Vec<Action>) {
            if let Input::Line { .. } | Input::Ended { .. } = input {
                out.append(&mut self.0);
            }
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities::default()
        }
    }

    /// A conversation in its first turn, whose next line makes it do this.
    fn does(actions: Vec<Action>) {
        let (mut referee, now) = (Referee::new(Box::new(Rogue(actions))), Instant::now());
        let mut out = Vec::new();
        let prompt = Prompt::text("x");
        referee.handle(now, Input::Prompt { turn: 1, prompt: &prompt }, &mut out);
        let stream = crate::event::StreamName::Stdout;
        referee.handle(now, Input::Line { stream, bytes: b"" }, &mut out);
    }

    fn end() -> Action {
        Action::TurnEnded(TurnEnd::new(1, TurnOutcome::Completed))
    }

    fn text() -> Action {
        let body = ChunkBody::Text { content: "x".into(), block: 0 };
        Action::Emit(StreamChunk::new(1, body))
    }

    fn broken(actions: Vec<Action>) -> bool {
        std::panic::catch_unwind(|| does(actions)).is_err()
    }

    #[test]
    fn what_keeps_to_the_promises_passes() {
        does(vec![Action::Mark, text(), Action::Retract, Action::CloseStdin, end()]);
    }

    #[test]
    fn every_promise_that_is_broken_is_seen() {
        let result =
            ChunkBody::ToolResult { tool_id: "t".into(), result: "x".into(), is_error: false };
        let long = ChunkBody::Text { content: "x".repeat(10_000).into(), block: 0 };
        let cases = [
            vec![end(), end()],
            vec![end(), text()],
            vec![Action::Retract],
            vec![Action::Mark, end(), Action::Retract],
            vec![Action::Emit(StreamChunk::new(1, result))],
            vec![Action::Emit(StreamChunk::new(1, long))],
            vec![Action::Emit(StreamChunk::new(2, ChunkBody::Raw { line: "x".into() }))],
            vec![Action::Emit(StreamChunk::new(1, ChunkBody::Status { activity: None }))],
            vec![Action::Withdraw { ask: AskToken(1) }],
            vec![Action::Session("".into())],
            vec![Action::Paused; MOST_ACTIONS + 1],
        ];
        for actions in cases {
            assert!(broken(actions.clone()), "{actions:?}");
        }
    }

    #[test]
    #[should_panic(expected = "turn 1 has no end")]
    fn a_turn_that_outlives_its_process_is_seen() {
        let (mut referee, now) = (Referee::new(Box::new(Rogue(Vec::new()))), Instant::now());
        let (mut out, prompt) = (Vec::new(), Prompt::text("x"));
        referee.handle(now, Input::Prompt { turn: 1, prompt: &prompt }, &mut out);
        referee.handle(now, Input::Ended { code: None, signal: None }, &mut out);
    }
}
