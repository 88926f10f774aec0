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
        let descartes = self.descartes();
        descartes.resolve_within(asked, want, &self.reach).map_err(|error| {
            let error = RpcError::from(error);
            let hidden = error.kind() == ErrorKind::AgentNotFound
                && !self.reach.is_all()
                && descartes.resolve(asked, Want::Any).is_ok();
            if hidden { self.denied(Some(asked), error) } else { error }
        })
    }

    /// The chat that `asked` names: its identifier, or the last 8 characters of it.
    pub(crate) fn chat(&self, asked: &str) -> Result<Arc<ChatRecord>, RpcError> {
        let descartes = self.descartes();
        let named = asked.parse::<ChatId>().ok();
        match named.or_else(|| descartes.chat_ending(asked, &self.reach)) {
            Some(chat) => descartes.chat_within(chat, &self.reach).map_err(|error| {
                let hidden = descartes.chat(chat).is_ok();
                if hidden { self.denied(Some(asked), error.into()) } else { error.into() }
            }),
            None => Err(not_found("chat", asked)),
        }
    }

    /// The approval that `asked` names: its identifier, or the last 8 characters of one that waits.
    pub(crate) async fn approval(&self, asked: &str) -> Result<Arc<Approval>, RpcError> {
        let descartes = self.descartes();
        let named = asked.parse::<ApprovalId>().ok();
        match named.or_else(|| descartes.approval_ending(asked, &self.reach)) {
            Some(id) => match descartes.approval_within(id, &self.reach).await {
                Ok(approval) => Ok(approval),
                Err(error) if descartes.approval(id).await.is_ok() => {
                    Err(self.denied(Some(asked), error.into()))
                }
                Err(error) => Err(error.into()),
            },
            None => Err(not_found("approval", asked)),
        }
    }

    /// Writes down for audit that the call is refused, or that what it names is out of reach.
    pub(crate) fn denied(&self, resource: Option<&str>, error: RpcError) -> RpcError {
        let who = (Some(&self.cx.principal), &self.cx.peer);
        self.host.audit.denied(who, self.method, resource, &error);
        error
    }
}

fn not_found(what: &str, asked: &str) -> RpcError {
    RpcError::new(ErrorKind::NotFound, format!("there is no {what} {asked:?}")).with("what", what)
}
