//! One turn, as it comes: printed, answered, cancelled.

use descartes_rpc::client::{Client, Subscription, Update};
use descartes_rpc::wire::approval::ApprovalOption;
use descartes_rpc::wire::chat::{CancelTurnParams, Prompt, PromptParams};
use descartes_rpc::wire::chunk::{Chunk, ChunkBody, ChunkError, TurnOutcome};
use descartes_rpc::wire::event::Event;

use super::super::{approvals, which};
use crate::cli::failure::Failure;
use crate::output::Output;

/// A turn of a chat that is followed.
pub(super) struct Turn<'a> {
    pub(super) client: &'a Client,
    pub(super) session_id: &'a str,
    pub(super) output: &'a Output,
    /// Whether somebody sits here who can decide.
    pub(super) asks: bool,
}

impl Turn<'_> {
    /// Asks `prompt`, prints what is answered, and tells how it ended. Ctrl-C cancels it.
    pub(super) async fn ask(
        &self,
        chunks: &mut Subscription,
        prompt: String,
    ) -> Result<TurnOutcome, Failure> {
        let params = PromptParams {
            session_id: self.session_id.to_owned(),
            prompt: Prompt::Text(prompt),
            when_busy: None,
            wait: None,
            timeout_secs: None,
            idempotency_key: None,
        };
        let turn = self.client.chat_prompt(params).await?.turn;
        loop {
            tokio::select! {
                update = chunks.next() => match update {
                    Some(update) => {
                        if let Some(outcome) = self.update(update?, turn).await? {
                            return Ok(outcome);
                        }
                    }
                    None => return Ok(TurnOutcome::Interrupted),
                },
                _ = tokio::signal::ctrl_c() => self.cancel(turn).await?,
            }
        }
    }

    async fn cancel(&self, turn: u32) -> Result<(), Failure> {
        let session_id = self.session_id.to_owned();
        let params = CancelTurnParams { session_id, turn: Some(turn), idempotency_key: None };
        self.client.chat_cancel(params).await?;
        Ok(())
    }

    async fn update(&self, update: Update, turn: u32) -> Result<Option<TurnOutcome>, Failure> {
        match update {
            Update::Event(event) => self.event(&event, turn).await,
            Update::Ended { .. } => Ok(Some(TurnOutcome::Interrupted)),
            _ => Ok(None),
        }
    }

    async fn event(&self, event: &Event, turn: u32) -> Result<Option<TurnOutcome>, Failure> {
        if self.output.is_json() {
            self.output.line(event.json())?;
        }
        let Ok(chunk) = event.data::<Chunk>() else { return Ok(None) };
        if chunk.turn != turn {
            return Ok(None);
        }
        match chunk.body {
            ChunkBody::TurnComplete { outcome, error, .. } => {
                self.end(outcome, error.as_ref())?;
                return Ok(Some(outcome));
            }
            ChunkBody::ApprovalRequested { approval_id, tool, title, options, .. } if self.asks => {
                self.decide((approval_id, &tool, &title), &options).await?;
            }
            body if !self.output.is_json() && chunk.parent_tool_id.is_none() => {
                self.print(&body)?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn print(&self, body: &ChunkBody) -> Result<(), Failure> {
        match body {
            ChunkBody::Text { content, .. } => self.output.bytes(content.as_bytes())?,
            ChunkBody::ToolUseStart { tool_name, .. } => {
                self.output.note(format_args!("\n[{tool_name}]"));
            }
            ChunkBody::ToolResult { result, is_error: true, .. } => {
                self.output.note(format_args!("[failed: {result}]"));
            }
            ChunkBody::ApprovalRequested { approval_id, tool, title, .. } => {
                let short = which::short(approval_id);
                self.output.note(format_args!(
                    "\n[asks for {tool}: {title}; `descartes allow {short}` or `descartes deny \
                     {short}` decides]"
                ));
            }
            ChunkBody::Retracted { .. } => {
                self.output.note("\n[what was said last is withdrawn]");
            }
            ChunkBody::Error(error) => self.output.note(format_args!("[{}]", error.message)),
            _ => {}
        }
        Ok(())
    }

    fn end(&self, outcome: TurnOutcome, error: Option<&ChunkError>) -> Result<(), Failure> {
        if self.output.is_json() {
            return Ok(());
        }
        self.output.line("")?;
        if let Some(error) = error {
            self.output.note(format_args!("descartes: {}", error.message));
            if let Some(hint) = &error.hint {
                self.output.note(format_args!("  {hint}"));
            }
        } else if outcome != TurnOutcome::Completed {
            self.output.note(format_args!("descartes: the turn is {outcome}"));
        }
        Ok(())
    }

    /// Asks whoever sits here.
    async fn decide(
        &self,
        (approval_id, tool, title): (String, &str, &str),
        options: &[ApprovalOption],
    ) -> Result<(), Failure> {
        let session = options.iter().any(|option| option.effect == "allow_session");
        let session = if session { ", (s)ession" } else { "" };
        self.output.note(format_args!("\n{tool}: {title}\nallow? (y)es, (N)o{session}, (c)ancel"));
        let line = super::interactive::line().await?.unwrap_or_default();
        let word = match line.trim() {
            "y" | "yes" => "allow_once",
            "s" | "session" => "allow_session",
            "c" | "cancel" => "cancel",
            _ => "deny",
        };
        // Somebody else may have been faster: what they decided is in the chat.
        if let Err(error) =
            self.client.approval_decide(approvals::params(approval_id, word, None)).await
        {
            self.output.note(format_args!("descartes: {error}"));
        }
        Ok(())
    }
}
