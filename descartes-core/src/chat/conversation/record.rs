//! Writing down what the agent and our side say to each other, for those who want to play it again.

use super::Conversation;
use crate::chat::link::Heard;
use crate::dialect::Action;
use crate::event::{ChunkBody, ChunkError, ChunkErrorKind};
use crate::recording::Exit;

impl Conversation {
    /// The agent did something.
    pub(super) fn record_heard(&mut self, heard: &Heard) {
        let Some(recorder) = &mut self.recorder else { return };
        match heard {
            Heard::Begins { start, words, .. } => {
                recorder.begins(start.clone(), words.clone());
            }
            Heard::Line { stream, bytes } => recorder.wrote(*stream, bytes),
            Heard::Oversize { stream, bytes, .. } => recorder.wrote_too_much(*stream, *bytes),
            Heard::Ended { code, signal, killed } => {
                recorder.ended(Exit { code: *code, signal: *signal, killed: *killed });
            }
            Heard::NotStarted => recorder.not_started(),
            Heard::Opened => {}
        }
    }

    /// The dialect does something to it.
    pub(super) fn record_action(&mut self, action: &Action) {
        let Some(recorder) = &mut self.recorder else { return };
        match action {
            Action::Send(bytes) => recorder.sent(bytes),
            Action::CloseStdin => recorder.closed(),
            Action::Signal(signal) => recorder.signalled(*signal),
            _ => {}
        }
    }

    /// Writes what was noted; a recording that cannot go on is given up, and the chat says so.
    pub(super) async fn write_recording(&mut self) {
        let Some(recorder) = &mut self.recorder else { return };
        let Err(error) = recorder.write().await else { return };
        self.recorder = None;
        tracing::warn!(chat = %self.record.id, %error, "a recording ends early");
        let message = format!("the recording ends early: {error}");
        self.say(ChunkBody::Error(ChunkError::new(ChunkErrorKind::Protocol, message)));
    }
}
