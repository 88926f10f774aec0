//! Turns: asked for, and waited for.

use std::path::PathBuf;
use std::time::Duration;

use descartes_core::chat::{ChatId, TurnResult};
use descartes_core::dialect::{Prompt, PromptPart};
use descartes_core::{Descartes, PromptRequest};
use tokio::sync::oneshot;

use crate::decode::ParamFault;
use crate::error::{ErrorKind, RpcError};
use crate::idempotency::Effect;
use crate::wire::chat as wire;
use crate::wire::encode::chat as encode;

/// How long a wait for a turn lasts unless it is told.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);
/// The longest that it lasts.
const WAIT_MOST: Duration = Duration::from_secs(3600);

/// A turn that was asked for.
pub(crate) struct Asked {
    /// Which, and whether it waits for another one.
    pub(crate) accepted: descartes_core::chat::Accepted,
    /// Where its result will be.
    pub(crate) done: oneshot::Receiver<TurnResult>,
}

/// `chat.start`
pub(crate) async fn start(
    effect: Effect,
    params: wire::StartParams,
) -> (Effect, Result<wire::Created, RpcError>) {
    let request = match request(params.initial_prompt.clone(), None, "initial_prompt") {
        Ok(request) => request,
        Err(error) => return (effect, Err(error)),
    };
    let (mut effect, opened) = super::opened(effect, without_prompt(params)).await;
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return (effect, Err(error)),
    };
    let result = begun(&mut effect, opened, request).await;
    (effect, result)
}

/// Asks the chat its first prompt; a chat that cannot be asked is not kept.
async fn begun(
    effect: &mut Effect,
    opened: descartes_core::ChatOpened,
    request: PromptRequest,
) -> Result<wire::Created, RpcError> {
    let (chat, mut created) = (opened.record.id, super::created(effect, &opened));
    let turn = match opened.record.turns {
        0 => match asked(effect, chat, request).await {
            Ok(asked) => asked.accepted.turn,
            Err(error) => {
                forget(effect, chat).await;
                return Err(error);
            }
        },
        // It was asked in an earlier life of the daemon.
        turns => turns,
    };
    created.turn = Some(turn);
    created.agent_id = Some(opened.record.agent.to_string());
    Ok(created)
}

async fn forget(effect: &Effect, chat: ChatId) {
    let descartes = effect.descartes();
    let stopped = descartes.chat_stop(chat, effect.by()).await;
    if stopped.is_err() || descartes.chat_remove(chat).await.is_err() {
        tracing::warn!(%chat, "a chat that was never asked anything is kept");
    }
}

fn without_prompt(params: wire::StartParams) -> wire::CreateParams {
    wire::CreateParams {
        backend: params.backend,
        working_dir: params.working_dir,
        model: params.model,
        system_prompt: params.system_prompt,
        enable_thinking: params.enable_thinking,
        thinking_level: params.thinking_level,
        max_turns: params.max_turns,
        env: params.env,
        approvals: params.approvals,
        when_busy: params.when_busy,
        turn_timeout_secs: params.turn_timeout_secs,
        title: params.title,
        labels: params.labels,
        command: params.command,
        args: params.args,
        record: params.record,
        idempotency_key: None,
    }
}

/// Asks for a turn, under the call's key.
pub(crate) async fn asked(
    effect: &mut Effect,
    chat: ChatId,
    request: PromptRequest,
) -> Result<Asked, RpcError> {
    let (done, result) = oneshot::channel();
    let mut caller = effect.caller();
    let accepted = effect.descartes().chat_prompt(chat, request, &mut caller, Some(done)).await;
    effect.give_back(caller.ticket);
    effect.call.cx.effect_placed();
    Ok(Asked { accepted: accepted?, done: result })
}

/// `chat.prompt`
pub(crate) async fn prompt(
    mut effect: Effect,
    params: wire::PromptParams,
) -> (Effect, Result<wire::Prompted, RpcError>) {
    let result = prompted(&mut effect, params).await;
    (effect, result)
}

async fn prompted(
    effect: &mut Effect,
    params: wire::PromptParams,
) -> Result<wire::Prompted, RpcError> {
    let limit = wait_limit(params.timeout_secs)?;
    let chat = effect.call.chat(&params.session_id)?.id;
    let request = request(params.prompt, params.when_busy, "prompt")?;
    let asked = asked(effect, chat, request).await?;
    let agent = effect.descartes().chat(chat)?.agent.to_string();
    let mut prompted = wire::Prompted {
        success: true,
        turn: asked.accepted.turn,
        queued: asked.accepted.queued,
        agent_id: Some(agent),
        content: None,
        outcome: None,
        usage: None,
        error: None,
    };
    if params.wait.unwrap_or(false) {
        let result = awaited(effect.descartes(), chat, asked, limit).await?;
        prompted.content = Some(result.content.as_ref().to_owned());
        prompted.outcome = Some(encode::outcome(result.outcome));
        prompted.usage = result.usage.as_ref().map(encode::usage);
        prompted.error = result.error.as_ref().map(encode::error);
    }
    Ok(prompted)
}

/// How long somebody wants to wait for a turn.
pub(crate) fn wait_limit(
    asked: Option<crate::wire::duration::Secs>,
) -> Result<Duration, ParamFault> {
    let limit = asked.map_or(WAIT_DEFAULT, |secs| secs.duration());
    if limit > WAIT_MOST {
        return Err(ParamFault::at("timeout_secs", "at most 3600 seconds"));
    }
    Ok(limit)
}

/// What a turn comes to, if that is known within `limit`; the turn goes on either way.
pub(crate) async fn awaited(
    descartes: &Descartes,
    chat: ChatId,
    asked: Asked,
    limit: Duration,
) -> Result<TurnResult, RpcError> {
    match tokio::time::timeout(limit, asked.done).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => {
            Err(RpcError::new(ErrorKind::Unavailable, "the daemon is about to stop")
                .reason("draining"))
        }
        Err(_elapsed) => {
            let status = descartes.chat(chat)?.status.as_str();
            let told = format!("turn {} has not ended: the chat is {status}", asked.accepted.turn);
            Err(RpcError::new(ErrorKind::Timeout, told)
                .with("status", status)
                .with("turn", asked.accepted.turn))
        }
    }
}

/// What core is asked.
fn request(
    prompt: wire::Prompt,
    when_busy: Option<wire::WhenBusy>,
    path: &str,
) -> Result<PromptRequest, RpcError> {
    let parts = match prompt {
        wire::Prompt::Text(text) => vec![PromptPart::Text(text.into())],
        wire::Prompt::Parts(parts) => {
            let parts = parts.into_iter().enumerate();
            let parts = parts.map(|(index, part)| self::part(part, &format!("{path}[{index}]")));
            parts.collect::<Result<_, _>>()?
        }
    };
    let mut request = PromptRequest::new(Prompt::parts(parts));
    request.when_busy = when_busy.map(super::when_busy);
    Ok(request)
}

fn part(part: wire::PromptPart, path: &str) -> Result<PromptPart, ParamFault> {
    let missing = |member: &str, what: &str| ParamFault::at(&format!("{path}.{member}"), what);
    Ok(match part.r#type {
        wire::PartType::Text => {
            let text = part.text.ok_or_else(|| missing("text", "the text"))?;
            PromptPart::Text(text.into())
        }
        wire::PartType::Image => {
            let data = part.data.ok_or_else(|| missing("data", "the image in base64"))?;
            let media_type = part.media_type.unwrap_or_else(|| "image/png".to_owned());
            PromptPart::Image { media_type: media_type.into(), data: data.into() }
        }
        wire::PartType::File => {
            let path = part.path.map(PathBuf::from).filter(|path| path.is_absolute());
            PromptPart::File { path: path.ok_or_else(|| missing("path", "an absolute path"))? }
        }
    })
}
