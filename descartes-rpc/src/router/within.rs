//! What a call is about, as far as it exists for its caller.

use std::sync::Arc;

use descartes_core::agent::{AgentId, Want};
use descartes_core::approval::{Approval, ApprovalId};
use descartes_core::chat::{ChatId, ChatRecord};

use super::Call;
use crate::error::{ErrorKind, RpcError};

impl Call {
    /// The agent that `asked` means.
    pub(crate) fn agent(&self, asked: &str, want: Want) -> Result<AgentId, RpcError> {
        Ok(self.descartes().resolve_within(asked, want, &self.reach)?)
    }

    /// The chat that `asked` names: its identifier, or the last 8 characters of it.
    pub(crate) fn chat(&self, asked: &str) -> Result<Arc<ChatRecord>, RpcError> {
        let descartes = self.descartes();
        let named = asked.parse::<ChatId>().ok();
        match named.or_else(|| descartes.chat_ending(asked, &self.reach)) {
            Some(chat) => Ok(descartes.chat_within(chat, &self.reach)?),
            None => Err(not_found("chat", asked)),
        }
    }

    /// The approval that `asked` names: its identifier, or the last 8 characters of one that waits.
    pub(crate) async fn approval(&self, asked: &str) -> Result<Arc<Approval>, RpcError> {
        let descartes = self.descartes();
        let named = asked.parse::<ApprovalId>().ok();
        match named.or_else(|| descartes.approval_ending(asked, &self.reach)) {
            Some(approval) => Ok(descartes.approval_within(approval, &self.reach).await?),
            None => Err(not_found("approval", asked)),
        }
    }
}

fn not_found(what: &str, asked: &str) -> RpcError {
    RpcError::new(ErrorKind::NotFound, format!("there is no {what} {asked:?}")).with("what", what)
}
