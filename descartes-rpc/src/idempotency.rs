//! A call with a key takes effect once, however often it is made.
//!
//! A call without one is given one, so that a caller whose patience ends can come back for the
//! outcome; that key is written down only if it was needed.

mod digest;
mod outcome;
mod running;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use descartes_core::agent::AgentId;
use descartes_core::idempotency::{Begin, Ticket};
use descartes_core::store::Batch;
use descartes_core::{Caller, Descartes};
use serde::Serialize;
use tracing::Instrument;

use crate::audit::{Act, named};
use crate::decode::{ParamFault, decode};
use crate::error::{ErrorKind, RpcError};
use crate::message::Params;
use crate::method::{Method, MethodParams};
use crate::methods::encode;
use crate::router::Call;

pub(crate) use digest::DigestKey;
pub(crate) use running::Running;

type Answer = Result<Bytes, RpcError>;

/// The part of a call that its idempotency is about.
pub(crate) struct Effect {
    /// What the method runs under.
    pub(crate) call: Call,
    /// The right to finish the call's key; a method hands it to core, and gives it back.
    ticket: Option<Ticket>,
    /// The agent that an earlier life of the daemon was about to make, or worked on.
    interrupted: Option<Option<AgentId>>,
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effect").field("call", &self.call).finish_non_exhaustive()
    }
}

impl Effect {
    /// The agents behind this service.
    pub(crate) fn descartes(&self) -> &Descartes {
        self.call.descartes()
    }

    /// The name that records and events carry for the caller.
    pub(crate) fn by(&self) -> Arc<str> {
        self.call.by()
    }

    /// For whom core acts; the key goes along.
    pub(crate) fn caller(&mut self) -> Caller {
        let mut caller = Caller::new(self.call.by()).for_owner(self.owner());
        caller.trace = self.call.cx.peer.trace().cloned();
        caller.reach = self.call.reach.clone();
        caller.ticket = self.ticket.take();
        caller
    }

    /// Whose it is what the call makes: an agent makes for its owner.
    fn owner(&self) -> Arc<str> {
        let principal = &self.call.cx.principal;
        let agent = principal.agent();
        let owner = agent.and_then(|agent| self.descartes().owner_of(agent));
        owner.unwrap_or_else(|| Arc::clone(principal.subject()))
    }

    /// Whether the owner of what the call begins may spend more; that it may not is written down,
    /// with what the call is `about`.
    pub(crate) fn afford(&self, about: impl FnOnce() -> Option<String>) -> Result<(), RpcError> {
        let spent = self.descartes().afford(&self.owner());
        spent.map_err(|reached| self.call.denied(about().as_deref(), reached.into()))
    }

    /// Takes back what [`Self::caller`] gave away, to write the outcome under it.
    pub(crate) fn give_back(&mut self, ticket: Option<Ticket>) {
        self.ticket = ticket;
    }

    /// Whether the daemon died while this call was under way, and the agent it was about.
    pub(crate) fn interrupted(&self) -> Option<Option<AgentId>> {
        self.interrupted
    }
}

/// Runs the effect of `M` in a task of its own and waits for it; whoever leaves may come back.
pub(crate) async fn once<M, F>(
    call: Call,
    raw: Params,
    run: impl FnOnce(Effect, M::Params) -> F + Send + 'static,
) -> Answer
where
    M: Method,
    F: Future<Output = (Effect, Result<M::Result, RpcError>)> + Send + 'static,
{
    let mut params: M::Params = decode(&raw)?;
    let given = params.take_idempotency_key();
    if given.as_deref().is_some_and(|key| !(1..=128).contains(&key.chars().count())) {
        let fault = ParamFault::at("idempotency_key", "1 to 128 characters");
        return Err(fault.into());
    }
    let method = M::DECLARATION.name;
    let act = Act::of::<M>(&call, &raw);
    match given {
        Some(key) => {
            call.cx.announce_key(&key);
            let digest = call.host.digest.of(call.descartes(), &params).await?;
            let run = move |effect, params| {
                afforded::<M, _>(effect, raw, |effect| noted(act, run(effect, params)))
            };
            let effect = keyed::<M, _>(call, key, digest, params, run);
            let task = tokio::spawn(effect.in_current_span());
            task.await.unwrap_or_else(|lost| Err(RpcError::internal(&lost)))
        }
        None => {
            let key = uuid::Uuid::new_v4().to_string();
            call.cx.announce_key(&key);
            let left = running::Left { host: Arc::clone(&call.host), by: call.by(), method, key };
            let given = raw.clone();
            running::attended::<M>(left, raw, async move {
                let effect = Effect { call, ticket: None, interrupted: None };
                let run = |effect| noted(act, run(effect, params));
                let (_effect, result) = afforded::<M, _>(effect, given, run).await;
                result.and_then(|result| encode(&result))
            })
            .await
        }
    }
}

/// The effect, unless it costs and its owner has spent what may be spent in a day. What an earlier
/// life of the daemon has begun is not begun again.
async fn afforded<M, F>(
    effect: Effect,
    given: Params,
    run: impl FnOnce(Effect) -> F,
) -> (Effect, Result<M::Result, RpcError>)
where
    M: Method,
    F: Future<Output = (Effect, Result<M::Result, RpcError>)>,
{
    if M::DECLARATION.costs && effect.interrupted.is_none() {
        let about = || named(M::Params::MEMBERS, &given);
        if let Err(error) = effect.afford(about) {
            return (effect, Err(error));
        }
    }
    run(effect).await
}

/// An effect that is written down for audit when it has ended.
async fn noted<T: Serialize>(
    act: Option<Act>,
    effect: impl Future<Output = (Effect, Result<T, RpcError>)>,
) -> (Effect, Result<T, RpcError>) {
    let (effect, result) = effect.await;
    if let Some(act) = act {
        let outcome = result.as_ref().map_or_else(|error| error.kind().as_str(), |_| "ok");
        let act = match &result {
            Ok(made) => act.made(made),
            Err(_) => act,
        };
        effect.call.host.audit.done(act, outcome);
    }
    (effect, result)
}

/// The effect under a key that its caller chose.
async fn keyed<M, F>(
    call: Call,
    key: String,
    digest: String,
    params: M::Params,
    run: impl FnOnce(Effect, M::Params) -> F + Send,
) -> Answer
where
    M: Method,
    F: Future<Output = (Effect, Result<M::Result, RpcError>)> + Send + 'static,
{
    let declared = &M::DECLARATION;
    let (by, method) = (call.by(), declared.name);
    call.host.running.wait(&by, method, &key).await;
    let begun = call.descartes().idempotency().begin(&by, (method, &key), &digest).await?;
    let (ticket, interrupted) = match begun {
        Begin::New(ticket) => (ticket, None),
        Begin::Done(outcome) => return outcome::read(&outcome),
        Begin::Mismatch => return Err(mismatch()),
        Begin::Interrupted { agent, ticket } => (ticket, Some(agent)),
        other => return Err(RpcError::internal(&format_args!("{other:?}"))),
    };
    if interrupted.is_some() && declared.unknowable {
        return outcome::store(Some(ticket), Err(unknown())).await;
    }
    let mut effect = Effect { call, ticket: Some(ticket), interrupted };
    if !declared.carries_key
        && let Err(error) = effect.begin().await
    {
        // On a store that cannot write, control works all the same.
        if !declared.control {
            return Err(error);
        }
        tracing::warn!(%error, "the key of a control call is not written down");
    }
    let (mut effect, result) = run(effect, params).await;
    let answer = result.and_then(|result| encode(&result));
    outcome::store_of::<M>(effect.ticket.take(), answer).await
}

impl Effect {
    /// Writes down that the effect begins, where core does not do so together with its first
    /// record.
    async fn begin(&mut self) -> Result<(), RpcError> {
        let Some(ticket) = &mut self.ticket else { return Ok(()) };
        let batch = Batch::control().put(ticket.begun(None));
        self.call.descartes().journal().commit(batch).await?;
        Ok(())
    }
}

fn mismatch() -> RpcError {
    RpcError::new(ErrorKind::Conflict, "this idempotency key was used with other parameters")
        .reason("idempotency_mismatch")
        .hint("use a new key for a new call")
}

fn unknown() -> RpcError {
    RpcError::new(ErrorKind::StateError, "the daemon died while this call was under way")
        .reason("outcome_unknown")
        .retryable(false)
        .hint("look at the agent, then call again with a new key")
}

#[cfg(test)]
mod tests;
