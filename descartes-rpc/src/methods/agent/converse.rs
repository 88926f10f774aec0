//! `agent.send` and `agent.cancel`: turns of the chat that an agent has.

use descartes_core::PromptRequest;
use descartes_core::agent::{AgentError, Want};
use descartes_core::chat::ChatId;
use descartes_core::dialect::Prompt;

use crate::error::RpcError;
use crate::idempotency::Effect;
use crate::methods::chat;
use crate::wire::agent as wire;
use crate::wire::encode::chat as encode;

/// `agent.send`
pub(crate) async fn send(
    mut effect: Effect,
    params: wire::SendParams,
) -> (Effect, Result<wire::Sent, RpcError>) {
    let result = sent(&mut effect, params).await;
    (effect, result)
}

async fn sent(effect: &mut Effect, params: wire::SendParams) -> Result<wire::Sent, RpcError> {
    let limit = chat::wait_limit(params.timeout_secs)?;
    let chat = chat_of(effect, &params.agent_id)?;
    let request = PromptRequest::new(Prompt::text(params.content));
    let asked = chat::asked(effect, chat, request).await?;
    let turn = asked.accepted.turn;
    let request_id = params.request_id.unwrap_or_else(|| turn.to_string());
    let host = std::sync::Arc::clone(&effect.call.host);
    let _named = host.requests.name(chat, &request_id, turn);
    let result = chat::awaited(effect.descartes(), chat, asked, limit).await?;
    Ok(wire::Sent {
        content: result.content.as_ref().to_owned(),
        request_id,
        outcome: encode::outcome(result.outcome),
        usage: result.usage.as_ref().map(encode::usage),
        error: result.error.as_ref().map(encode::error),
    })
}

/// `agent.cancel`
pub(crate) async fn cancel(
    effect: Effect,
    params: wire::CancelSendParams,
) -> (Effect, Result<wire::SendCancelled, RpcError>) {
    let result = cancelled(&effect, params).await;
    (effect, result)
}

async fn cancelled(
    effect: &Effect,
    params: wire::CancelSendParams,
) -> Result<wire::SendCancelled, RpcError> {
    let chat = chat_of(effect, &params.agent_id)?;
    let turn = match &params.request_id {
        None => None,
        Some(id) => match effect.call.host.requests.turn(chat, id) {
            Some(turn) => Some(turn),
            None => return Ok(not_found(params.request_id)),
        },
    };
    let cancelled = effect.descartes().chat_cancel(chat, turn).await?;
    if !cancelled {
        return Ok(not_found(params.request_id));
    }
    Ok(wire::SendCancelled { cancelled, request_id: params.request_id, reason: None })
}

fn not_found(request_id: Option<String>) -> wire::SendCancelled {
    let reason = Some("not_found_or_completed".to_owned());
    wire::SendCancelled { cancelled: false, request_id, reason }
}

/// The chat of an agent.
fn chat_of(effect: &Effect, asked: &str) -> Result<ChatId, RpcError> {
    let descartes = effect.descartes();
    let agent = effect.call.agent(asked, Want::Any)?;
    Ok(descartes.chat_of(agent).ok_or(AgentError::NoTurns { id: agent })?)
}
