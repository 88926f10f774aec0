//! `chat.*`

mod ask;
mod read;

use descartes_core::ChatOpened;
use descartes_core::chat::{ChatChange, ChatOptions, ChatSpec, WhenBusy};
use descartes_core::dialect::{ApprovalMode, Thinking};

use crate::auth::ceiling;
use crate::error::RpcError;
use crate::idempotency::Effect;
use crate::wire::chat as wire;
use crate::wire::encode::chat as encode;

pub(crate) use ask::{asked, awaited, prompt, start, wait_limit};
pub(crate) use read::{get, history, list};

/// `chat.create`
pub(crate) async fn create(
    effect: Effect,
    params: wire::CreateParams,
) -> (Effect, Result<wire::Created, RpcError>) {
    let (effect, opened) = opened(effect, params).await;
    let created = opened.map(|opened| created(&effect, &opened));
    (effect, created)
}

/// Makes a chat; an earlier life of the daemon may have made it already.
async fn opened(
    mut effect: Effect,
    params: wire::CreateParams,
) -> (Effect, Result<ChatOpened, RpcError>) {
    if let Some(known) = earlier(&effect) {
        return (effect, Ok(known));
    }
    let spec = match spec(&effect, params) {
        Ok(spec) => spec,
        Err(error) => return (effect, Err(error)),
    };
    let mut caller = effect.caller();
    let opened = effect.descartes().chat_create(spec, &mut caller).await;
    effect.give_back(caller.ticket);
    (effect, opened.map_err(RpcError::from))
}

/// The chat that this very call made in an earlier life of the daemon.
fn earlier(effect: &Effect) -> Option<ChatOpened> {
    let agent = effect.interrupted()??;
    let descartes = effect.descartes();
    let record = descartes.chat(descartes.chat_of(agent)?).ok()?;
    Some(ChatOpened::again(record, descartes))
}

fn created(effect: &Effect, opened: &ChatOpened) -> wire::Created {
    let record = &opened.record;
    wire::Created {
        session_id: record.id.to_string(),
        topic: format!("chat/{}", record.id),
        pub_endpoint: effect.call.host.about.transports.publisher(),
        cursor: opened.cursor.to_string(),
        turn: None,
        agent_id: record.has_agent.then(|| record.agent.to_string()),
    }
}

/// What core is asked for. Core checks the values; here only names change.
fn spec(effect: &Effect, params: wire::CreateParams) -> Result<ChatSpec, RpcError> {
    let mut spec = ChatSpec::default();
    spec.title = params.title;
    let agent = &mut spec.agent;
    agent.backend = params.backend;
    agent.cwd = params.working_dir.map(Into::into);
    agent.env = params.env.unwrap_or_default();
    agent.labels = params.labels.unwrap_or_default();
    agent.command = params.command.map(|command| command.0).unwrap_or_default();
    agent.args = params.args.unwrap_or_default();
    // What an agent begins is below it.
    agent.parent = effect.call.cx.principal.agent();
    let mut options = ChatOptions::default();
    options.model = params.model.map(Into::into);
    options.system_prompt = params.system_prompt.map(Into::into);
    options.thinking = thinking(params.enable_thinking, params.thinking_level);
    options.max_turns = params.max_turns;
    let approvals = params.approvals.map(mode);
    options.approvals = ceiling(&effect.call.cx.principal, approvals, effect.descartes())
        .map_err(|error| effect.call.denied(None, error))?;
    options.when_busy = params.when_busy.map_or_else(WhenBusy::default, when_busy);
    options.turn_timeout = params.turn_timeout_secs.map(|secs| secs.duration());
    options.record = params.record.map(Into::into);
    agent.chat = options;
    Ok(spec)
}

fn thinking(enabled: Option<bool>, level: Option<wire::ThinkingLevel>) -> Thinking {
    match (enabled, level) {
        (Some(false), _) => Thinking::Off,
        (_, Some(wire::ThinkingLevel::Hard)) => Thinking::Hard,
        (_, Some(wire::ThinkingLevel::Harder)) => Thinking::Harder,
        (_, Some(wire::ThinkingLevel::Ultra)) => Thinking::Ultra,
        (_, Some(wire::ThinkingLevel::Normal) | None) => Thinking::Normal,
    }
}

/// What happens when an agent asks, in core's words.
pub(crate) fn mode(mode: wire::ApprovalMode) -> ApprovalMode {
    match mode {
        wire::ApprovalMode::Ask => ApprovalMode::Ask,
        wire::ApprovalMode::AllowEdits => ApprovalMode::AllowEdits,
        wire::ApprovalMode::AllowAll => ApprovalMode::AllowAll,
        wire::ApprovalMode::Deny => ApprovalMode::Deny,
    }
}

fn when_busy(choice: wire::WhenBusy) -> WhenBusy {
    match choice {
        wire::WhenBusy::Queue => WhenBusy::Queue,
        wire::WhenBusy::Reject => WhenBusy::Reject,
        wire::WhenBusy::Interrupt => WhenBusy::Interrupt,
    }
}

/// `chat.cancel`
pub(crate) async fn cancel(
    effect: Effect,
    params: wire::CancelTurnParams,
) -> (Effect, Result<wire::TurnCancelled, RpcError>) {
    let result = cancelled(&effect, params).await;
    (effect, result)
}

async fn cancelled(
    effect: &Effect,
    params: wire::CancelTurnParams,
) -> Result<wire::TurnCancelled, RpcError> {
    let descartes = effect.descartes();
    let chat = effect.call.chat(&params.session_id)?.id;
    Ok(wire::TurnCancelled { cancelled: descartes.chat_cancel(chat, params.turn).await? })
}

/// `chat.stop`
pub(crate) async fn stop(
    effect: Effect,
    params: wire::ChangeParams,
) -> (Effect, Result<wire::ChatStopped, RpcError>) {
    let result = stopped(&effect, &params.session_id).await;
    (effect, result)
}

async fn stopped(effect: &Effect, asked: &str) -> Result<wire::ChatStopped, RpcError> {
    let descartes = effect.descartes();
    let stopped = descartes.chat_stop(effect.call.chat(asked)?.id, effect.by()).await?;
    Ok(wire::ChatStopped { success: true, outcome: stopped.outcome.map(encode::outcome) })
}

/// `chat.update`
pub(crate) async fn update(
    effect: Effect,
    params: wire::UpdateParams,
) -> (Effect, Result<wire::Chat, RpcError>) {
    let result = updated(&effect, params).await;
    (effect, result)
}

async fn updated(effect: &Effect, params: wire::UpdateParams) -> Result<wire::Chat, RpcError> {
    let descartes = effect.descartes();
    let chat = effect.call.chat(&params.session_id)?.id;
    let mut change = ChatChange::default();
    (change.title, change.labels) = (params.title, params.labels);
    let record = descartes.chat_update(chat, change).await?;
    Ok(encode::chat(&record))
}

/// `chat.remove`
pub(crate) async fn remove(
    effect: Effect,
    params: wire::ChangeParams,
) -> (Effect, Result<wire::ChatRemoved, RpcError>) {
    let result = removed(&effect, &params.session_id).await;
    (effect, result)
}

async fn removed(effect: &Effect, asked: &str) -> Result<wire::ChatRemoved, RpcError> {
    let gone = |id: String| wire::ChatRemoved { session_id: id, removed: true };
    let chat = match effect.call.chat(asked) {
        // It was this call that removed it, in an earlier life of the daemon.
        Err(_) if effect.interrupted().is_some() => return Ok(gone(asked.to_owned())),
        resolved => resolved?.id,
    };
    effect.descartes().chat_remove(chat).await?;
    Ok(gone(chat.to_string()))
}

/// `chat.upgrade_to_agent`
pub(crate) async fn upgrade_to_agent(
    effect: Effect,
    params: wire::ChangeParams,
) -> (Effect, Result<wire::Upgraded, RpcError>) {
    let result = upgraded(&effect, &params.session_id).await;
    (effect, result)
}

async fn upgraded(effect: &Effect, asked: &str) -> Result<wire::Upgraded, RpcError> {
    let descartes = effect.descartes();
    let record = descartes.chat_upgrade(effect.call.chat(asked)?.id, effect.by()).await?;
    Ok(wire::Upgraded {
        success: true,
        mode: record.mode.as_str().to_owned(),
        agent_id: record.agent.to_string(),
    })
}
