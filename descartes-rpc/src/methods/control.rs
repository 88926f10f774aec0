//! `agent.*` that act on live agents.

mod batch;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use descartes_core::agent::{AgentRecord, Want};
use descartes_core::runner::Signal;
use descartes_core::{Caller, Kill};

use crate::decode::ParamFault;
use crate::error::RpcError;
use crate::idempotency::Effect;
use crate::wire::control as wire;
use crate::wire::duration::Secs;
use crate::wire::encode;

pub(crate) use batch::batch;

/// `agent.kill`
pub(crate) async fn kill(
    effect: Effect,
    params: wire::KillParams,
) -> (Effect, Result<wire::Killed, RpcError>) {
    let force = params.force.unwrap_or(false);
    let kill = Kill { grace: params.grace_secs.map(Secs::duration), force };
    let result = killed(&effect, &params.agent_id, kill).await;
    (effect, result)
}

/// `agent.stop`
pub(crate) async fn stop(
    effect: Effect,
    params: wire::StopParams,
) -> (Effect, Result<wire::Killed, RpcError>) {
    let kill = Kill { grace: params.grace_secs.map(Secs::duration), force: false };
    let result = killed(&effect, &params.agent_id, kill).await;
    (effect, result)
}

async fn killed(effect: &Effect, asked: &str, kill: Kill) -> Result<wire::Killed, RpcError> {
    let descartes = effect.descartes();
    let id = effect.call.agent(asked, Want::Any)?;
    let killed = descartes.kill(id, kill, effect.by()).await?;
    let record = &killed.record;
    let how = if killed.already_ended { "had ended already" } else { "is gone" };
    Ok(wire::Killed {
        agent_id: id.to_string(),
        status: encode::status(record.status),
        exit: record.exit.as_ref().map(encode::exit),
        forced: record.exit.as_ref().is_some_and(|exit| exit.forced),
        swept: record.exit.as_ref().map_or(0, |exit| exit.swept),
        recorded: killed.recorded,
        message: format!("agent {} {how} ({})", record.name, record.status),
    })
}

/// `agent.restart`
pub(crate) async fn restart(
    effect: Effect,
    params: wire::StopParams,
) -> (Effect, Result<wire::Restarted, RpcError>) {
    let result = restarted(&effect, params).await;
    (effect, result)
}

async fn restarted(effect: &Effect, params: wire::StopParams) -> Result<wire::Restarted, RpcError> {
    let descartes = effect.descartes();
    let id = effect.call.agent(&params.agent_id, Want::Any)?;
    let grace = params.grace_secs.map(Secs::duration);
    let caller = Caller::new(effect.by()).within(effect.call.cx.peer.trace().cloned());
    let caller = caller.reaching(effect.call.reach.clone());
    let record = descartes.restart_with(id, grace, caller).await?;
    Ok(wire::Restarted {
        agent_id: id.to_string(),
        status: encode::status(record.status),
        run: record.run,
        pid: record.pid,
    })
}

/// `agent.pause`
pub(crate) async fn pause(
    effect: Effect,
    params: wire::PauseParams,
) -> (Effect, Result<wire::Paused, RpcError>) {
    let result = paused(&effect, params).await;
    (effect, result)
}

async fn paused(effect: &Effect, params: wire::PauseParams) -> Result<wire::Paused, RpcError> {
    let descartes = effect.descartes();
    let id = effect.call.agent(&params.agent_id, Want::Live)?;
    let record = descartes.pause(id, params.force.unwrap_or(false), effect.by()).await?;
    let (mode, since) = pause_of(&record);
    Ok(wire::Paused {
        agent_id: id.to_string(),
        status: encode::status(record.status),
        paused_at: since,
        pause_mode: mode,
    })
}

/// How an agent is paused, and since when.
fn pause_of(record: &AgentRecord) -> (wire::PauseMode, String) {
    match record.pause {
        Some((mode, since)) => (wire::PauseMode::from_word(mode.as_str()), encode::stamp(since)),
        None => (wire::PauseMode::Forced, encode::stamp(record.updated_at)),
    }
}

/// `agent.resume`
pub(crate) async fn resume(
    effect: Effect,
    params: wire::ResumeParams,
) -> (Effect, Result<wire::Resumed, RpcError>) {
    let result = resumed(&effect, &params.agent_id).await;
    (effect, result)
}

async fn resumed(effect: &Effect, asked: &str) -> Result<wire::Resumed, RpcError> {
    let descartes = effect.descartes();
    let id = effect.call.agent(asked, Want::Live)?;
    let (before, _) = descartes.agent(id)?;
    let record = descartes.resume(id, effect.by()).await?;
    Ok(wire::Resumed {
        agent_id: id.to_string(),
        status: encode::status(record.status),
        resumed_at: encode::stamp(record.updated_at),
        pause_mode: pause_of(&before.record).0,
    })
}

/// `agent.signal`
pub(crate) async fn signal(
    effect: Effect,
    params: wire::SignalParams,
) -> (Effect, Result<wire::Signalled, RpcError>) {
    let result = signalled(&effect, params).await;
    (effect, result)
}

async fn signalled(
    effect: &Effect,
    params: wire::SignalParams,
) -> Result<wire::Signalled, RpcError> {
    let descartes = effect.descartes();
    let id = effect.call.agent(&params.agent_id, Want::Live)?;
    descartes.signal(id, signal_of(params.signal)).await?;
    Ok(wire::Signalled { agent_id: id.to_string(), signal: params.signal })
}

fn signal_of(name: wire::SignalName) -> Signal {
    match name {
        wire::SignalName::Interrupt => Signal::Interrupt,
        wire::SignalName::Terminate => Signal::Terminate,
        wire::SignalName::Kill => Signal::Kill,
        wire::SignalName::Stop => Signal::Stop,
        wire::SignalName::Continue => Signal::Continue,
        wire::SignalName::Hangup => Signal::Hangup,
        wire::SignalName::Usr1 => Signal::Usr1,
        wire::SignalName::Usr2 => Signal::Usr2,
    }
}

/// `agent.write_stdin`
pub(crate) async fn write_stdin(
    effect: Effect,
    params: wire::WriteParams,
) -> (Effect, Result<wire::Written, RpcError>) {
    let result = written(&effect, params).await;
    (effect, result)
}

async fn written(effect: &Effect, params: wire::WriteParams) -> Result<wire::Written, RpcError> {
    let close = params.close.unwrap_or(false);
    let bytes = match input("", params.text, params.data)? {
        Some(bytes) => bytes,
        None if close => Bytes::new(),
        None => return Err(ParamFault::at("text", "`text`, `data` or `close`").into()),
    };
    let descartes = effect.descartes();
    let id = effect.call.agent(&params.agent_id, Want::Live)?;
    let taken = descartes.write_stdin(id, bytes, close).await?;
    Ok(wire::Written { bytes_written: u64::try_from(taken).unwrap_or(u64::MAX) })
}

/// The bytes that were given, as text or as base64.
fn input(
    path: &str,
    text: Option<String>,
    data: Option<String>,
) -> Result<Option<Bytes>, ParamFault> {
    match (text, data) {
        (Some(_), Some(_)) => {
            Err(ParamFault::at(&format!("{path}data"), "only one of `text` and `data`"))
        }
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(data)) => match STANDARD.decode(data) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(_) => Err(ParamFault::at(&format!("{path}data"), "base64 with padding")),
        },
        (None, None) => Ok(None),
    }
}
