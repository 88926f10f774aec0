//! All methods, each declared once.
//!
//! To add one: write its parameters and result in `wire/`, its function in a room of `methods/`,
//! and a row here. Dispatch, the typed client and the OpenRPC document follow.

pub(crate) mod action;
pub(crate) mod agent;
pub(crate) mod approval;
pub(crate) mod auth;
pub(crate) mod backend;
pub(crate) mod chat;
pub(crate) mod control;
pub(crate) mod event;
pub(crate) mod rpc;
pub(crate) mod state;
pub(crate) mod system;

mod table;

pub(crate) use table::encode;

use crate::error::ErrorKind as E;
use crate::method::{Audited, Declaration, Scope};
use crate::wire::action as x;
use crate::wire::agent as a;
use crate::wire::approval as p;
use crate::wire::auth as u;
use crate::wire::backend as b;
use crate::wire::chat as t;
use crate::wire::control as c;
use crate::wire::event as e;
use crate::wire::output as o;
use crate::wire::state as s;
use crate::wire::system as y;

const READ: Declaration = Declaration::reading(Scope::AgentRead).fails_with(&[E::AgentNotFound]);
const ACT: Declaration = Declaration::mutating(Scope::AgentWrite).ordered().fails_with(&[
    E::AgentNotFound,
    E::Conflict,
    E::StateError,
    E::ConnectionLost,
]);
/// What reads a chat.
const CHAT: Declaration = Declaration::reading(Scope::ChatRead).fails_with(&[
    E::NotFound,
    E::AgentNotFound,
    E::StateError,
]);
/// What changes a chat.
const TALK: Declaration = Declaration::mutating(Scope::ChatWrite).ordered().fails_with(OF_TALK);
const OF_TALK: &[E] = &[
    E::NotFound,
    E::Conflict,
    E::StateError,
    E::SpawnFailed,
    E::ResourceExhausted,
    E::ConnectionLost,
    E::KillFailed,
    E::AgentNotFound,
];
const EVENTS: Declaration = Declaration::reading(Scope::Authenticated).fails_with(OF_EVENTS);
/// Each topic has a scope of its own, and an agent's name may stand in it.
const OF_EVENTS: &[E] = &[E::AgentNotFound, E::Conflict, E::Forbidden, E::StateError];
const OPEN: Declaration = Declaration::reading(Scope::Authenticated);

/// Most entries of one page of anything.
const PAGE_MOST: u32 = 1000;
/// Entries of a page when nothing else was asked for.
const PAGE_DEFAULT: u32 = 100;

/// The length of a page that was asked for.
pub(crate) fn page_limit(limit: Option<u32>) -> Result<usize, crate::decode::ParamFault> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    let fits = (1..=PAGE_MOST).contains(&limit).then(|| usize::try_from(limit).ok()).flatten();
    fits.ok_or_else(|| crate::decode::ParamFault::at("limit", "1 to 1000"))
}

/// Whether the method `name` may wait long before it answers.
pub(crate) fn waits(name: &str) -> bool {
    index(name).and_then(|index| ENTRIES.get(index)).is_some_and(|entry| entry.declaration.waits)
}

table::methods! {
    /// Starts an agent and answers once its program runs.
    ///
    /// What the program is and how it is talked to is up to its backend (`backend.list`).
    AgentSpawn "agent.spawn" agent_spawn(a::SpawnParams) -> a::Spawned = effect agent::spawn,
        Declaration::mutating(Scope::AgentWrite).carries_key().audited(Audited::Spawn).fails_with(&[
            E::SpawnFailed, E::AgentNotFound, E::NotFound, E::Conflict, E::ResourceExhausted,
            E::StateError, E::ConnectionLost,
        ]);

    /// Lists agents, newest first; without `status` those that are live.
    AgentList "agent.list" agent_list(a::ListParams) -> a::AgentList = read agent::list, READ;

    /// Shows one agent with everything that is known about it.
    AgentGet "agent.get" agent_get(a::AgentParams) -> a::AgentDetails = read agent::get, READ;

    /// Ends an agent and answers when its whole process tree is gone.
    ///
    /// Killing an agent that has ended succeeds and says so.
    AgentKill "agent.kill" agent_kill(c::KillParams) -> c::Killed = effect control::kill,
        Declaration::mutating(Scope::AgentWrite).control().audited(Audited::Kill).fails_with(&[
            E::AgentNotFound, E::KillFailed, E::ConnectionLost,
        ]);

    /// Ends an agent with grace: `agent.kill` without `force`.
    AgentStop "agent.stop" agent_stop(c::StopParams) -> c::Killed = effect control::stop,
        Declaration::mutating(Scope::AgentWrite).control().audited(Audited::Kill).fails_with(&[
            E::AgentNotFound, E::KillFailed,
        ]);

    /// Ends the agent's run, if there is one, and starts the next: same identifier, same
    /// specification.
    AgentRestart "agent.restart" agent_restart(c::StopParams) -> c::Restarted = effect control::restart,
        ACT.unknowable().audited(Audited::Spawn).fails_with(&[
            E::AgentNotFound, E::SpawnFailed, E::KillFailed, E::Conflict, E::ResourceExhausted,
            E::StateError,
        ]);

    /// Pauses an agent and answers when it stands still.
    AgentPause "agent.pause" agent_pause(c::PauseParams) -> c::Paused = effect control::pause,
        ACT.free().fails_with(&[E::AgentNotFound, E::PauseFailed, E::Conflict, E::StateError]);

    /// Lets a paused agent go on.
    AgentResume "agent.resume" agent_resume(c::ResumeParams) -> c::Resumed = effect control::resume,
        ACT.free().fails_with(&[E::AgentNotFound, E::ResumeFailed, E::Conflict, E::StateError]);

    /// Sends a signal to the group of the agent's first process.
    AgentSignal "agent.signal" agent_signal(c::SignalParams) -> c::Signalled = effect control::signal,
        ACT.free().unknowable().audited(Audited::Kill);

    /// Writes to the agent's standard input, exactly what is given.
    AgentWriteStdin "agent.write_stdin" agent_write_stdin(c::WriteParams) -> c::Written
        = effect control::write_stdin,
        ACT.unknowable().fails_with(&[E::AgentNotFound, E::ResourceExhausted, E::Conflict, E::StateError]);

    /// Shows what an agent wrote, row by row.
    AgentLogs "agent.logs" agent_logs(o::LogsParams) -> o::Logs = read agent::logs,
        READ.waits().fails_with(&[E::AgentNotFound, E::Conflict, E::StateError]);

    /// Searches what an agent wrote, line by line, over everything that is kept.
    AgentOutput "agent.output" agent_output(o::OutputParams) -> o::OutputMatches = read agent::output,
        READ.fails_with(&[E::AgentNotFound, E::StateError]);

    /// Runs an action that a backend or an embedder registered.
    ///
    /// An action that is not done in time is ended where it stands.
    AgentAction "agent.action" agent_action(x::ActionParams) -> x::ActionResult = effect action::run,
        ACT.free().waits().unknowable().fails_with(&[
            E::AgentNotFound, E::NotFound, E::Conflict, E::Timeout, E::Other, E::StateError,
        ]);

    /// Does the same to many agents, 32 at once.
    AgentBatch "agent.batch" agent_batch(c::BatchParams) -> c::BatchResult = effect control::batch,
        Declaration::mutating(Scope::AgentWrite).free().unknowable();

    /// Asks an agent something and waits for its answer: a turn of its chat.
    AgentSend "agent.send" agent_send(a::SendParams) -> a::Sent = effect agent::send,
        ACT.waits().carries_key().unknowable().fails_with(&[
            E::AgentNotFound, E::NotFound, E::Conflict, E::Timeout, E::Other, E::SpawnFailed,
            E::ResourceExhausted, E::StateError, E::ConnectionLost,
        ]);

    /// Cancels what an agent was asked; answers when the turn has ended. What was said is kept.
    AgentCancel "agent.cancel" agent_cancel(a::CancelSendParams) -> a::SendCancelled
        = effect agent::cancel,
        Declaration::mutating(Scope::AgentWrite).control().fails_with(&[
            E::AgentNotFound, E::NotFound, E::Conflict, E::Other, E::StateError,
        ]);

    /// Waits until an agent, its run, or what it was asked, has ended.
    AgentWait "agent.wait" agent_wait(a::WaitParams) -> a::Waited = read agent::wait,
        READ.waits().fails_with(&[E::AgentNotFound, E::Timeout, E::Other]);

    /// Forgets an ended agent and its output.
    AgentRemove "agent.remove" agent_remove(a::RemoveParams) -> a::Removed = effect agent::remove, ACT.free();

    /// Forgets agents that ended long ago, and their output.
    AgentPrune "agent.prune" agent_prune(a::PruneParams) -> a::Pruned = effect agent::prune,
        Declaration::mutating(Scope::AgentWrite).free().fails_with(&[E::StateError]);

    /// Lists the actions that can be run.
    ActionList "action.list" action_list(y::NoParams) -> x::ActionList = read action::list,
        Declaration::reading(Scope::AgentRead);

    /// Lists what agents can be started with, and whether it is installed.
    BackendList "backend.list" backend_list(b::BackendsParams) -> b::BackendList = read backend::list,
        Declaration::reading(Scope::AgentRead);

    /// Makes a chat; no process begins before its first prompt, so that it can be followed first.
    ChatCreate "chat.create" chat_create(t::CreateParams) -> t::Created = effect chat::create,
        Declaration::mutating(Scope::ChatWrite).free().carries_key().fails_with(&[
            E::NotFound, E::AgentNotFound, E::StateError,
        ]);

    /// Makes a chat and asks it its first prompt.
    ChatStart "chat.start" chat_start(t::StartParams) -> t::Created = effect chat::start,
        Declaration::mutating(Scope::ChatWrite).carries_key().audited(Audited::Spawn).fails_with(OF_TALK);

    /// Asks for a turn; answers when it has begun or waits in line, or, with `wait`, when it ended.
    ChatPrompt "chat.prompt" chat_prompt(t::PromptParams) -> t::Prompted = effect chat::prompt,
        TALK.waits().carries_key().unknowable().fails_with(&[
            E::NotFound, E::AgentNotFound, E::Conflict, E::Timeout, E::SpawnFailed,
            E::ResourceExhausted, E::StateError, E::ConnectionLost,
        ]);

    /// Cancels a turn and answers when it has ended. What was said is kept. A prompt that still
    /// waits says at once that its turn was started and cancelled: those two chunks, which bear its
    /// own `turn`, may stand among those of the turn that is under way.
    ChatCancel "chat.cancel" chat_cancel(t::CancelTurnParams) -> t::TurnCancelled
        = effect chat::cancel, Declaration::mutating(Scope::ChatWrite).control().fails_with(OF_TALK);

    /// Ends a chat and answers when nothing of its agent runs.
    ChatStop "chat.stop" chat_stop(t::ChangeParams) -> t::ChatStopped = effect chat::stop,
        Declaration::mutating(Scope::ChatWrite).control().audited(Audited::Kill).fails_with(OF_TALK);

    /// Lists chats, newest first; without `include_closed` those that are open.
    ChatList "chat.list" chat_list(t::ChatListParams) -> t::ChatList = read chat::list, CHAT;

    /// Shows one chat.
    ChatGet "chat.get" chat_get(t::ChatParams) -> t::ChatDetails = read chat::get, CHAT;

    /// Shows the messages of a chat.
    ChatHistory "chat.history" chat_history(t::HistoryParams) -> t::ChatHistory
        = read chat::history, CHAT;

    /// Changes a chat's title and labels.
    ChatUpdate "chat.update" chat_update(t::UpdateParams) -> t::Chat = effect chat::update, TALK.free();

    /// Forgets a closed chat and what was said in it.
    ChatRemove "chat.remove" chat_remove(t::ChangeParams) -> t::ChatRemoved = effect chat::remove, TALK.free();

    /// Makes a chat a supervised agent of the same conversation.
    ChatUpgradeToAgent "chat.upgrade_to_agent" chat_upgrade_to_agent(t::ChangeParams) -> t::Upgraded
        = effect chat::upgrade_to_agent, TALK.audited(Audited::Spawn);

    /// Lists approvals, oldest first.
    ApprovalList "approval.list" approval_list(p::ApprovalListParams) -> p::ApprovalList
        = read approval::list, CHAT;

    /// Shows one approval.
    ApprovalGet "approval.get" approval_get(p::ApprovalParams) -> p::Approval
        = read approval::get, CHAT;

    /// Decides an approval; the first decision wins.
    ApprovalDecide "approval.decide" approval_decide(p::DecideParams) -> p::Approval
        = effect approval::decide,
        Declaration::mutating(Scope::Approve).control().audited(Audited::Decision).fails_with(&[
            E::NotFound, E::Conflict, E::StateError,
        ]);

    /// Follows topics: history first, then what happens, as notifications.
    EventSubscribe "event.subscribe" event_subscribe(e::SubscribeParams) -> e::Subscribed
        = stream event::subscribe,
        EVENTS.fails_with(&[
            E::InvalidRequest, E::AgentNotFound, E::Conflict, E::Forbidden, E::StateError,
        ]).followed_by(&["event.next", "event.synced", "event.gap", "event.ended"]);

    /// Ends a subscription of the same connection.
    EventUnsubscribe "event.unsubscribe" event_unsubscribe(e::UnsubscribeParams) -> e::Unsubscribed
        = now event::unsubscribe, OPEN.control();

    /// Reads a page of events; works on every transport.
    EventRead "event.read" event_read(e::ReadParams) -> e::EventPage = raw event::read, EVENTS.waits();

    /// Shows keys and values.
    StateQuery "state.query" state_query(s::QueryParams) -> s::StateView = read state::query,
        Declaration::reading(Scope::StateRead).fails_with(&[E::AgentNotFound, E::StateError]);

    /// Writes a value.
    StatePut "state.put" state_put(s::PutParams) -> s::Version = effect state::put,
        Declaration::mutating(Scope::StateWrite).free().ordered().carries_key().unknowable().fails_with(&[
            E::AgentNotFound, E::Conflict, E::ResourceExhausted, E::StateError,
        ]);

    /// Deletes a value. Deleting what is not there succeeds.
    StateDelete "state.delete" state_delete(s::DeleteParams) -> s::Version = effect state::delete,
        Declaration::mutating(Scope::StateWrite).free().ordered().carries_key().unknowable().fails_with(&[
            E::AgentNotFound, E::Conflict, E::StateError,
        ]);

    /// Says how the daemon is. Cheap and truthful.
    SystemHealth "system.health" system_health(y::NoParams) -> y::Health = now system::health,
        OPEN.control();

    /// Says whether the daemon takes work.
    SystemReady "system.ready" system_ready(y::NoParams) -> y::Ready = now system::ready,
        OPEN.control();

    /// Says what the daemon is made of.
    SystemInfo "system.info" system_info(y::NoParams) -> y::Info = read system::info, OPEN;

    /// Counts agents and the daemon's own use of the machine.
    SystemMetrics "system.metrics" system_metrics(y::NoParams) -> y::Metrics = read system::metrics,
        Declaration::reading(Scope::Metrics).fails_with(&[E::MetricsError]);

    /// Takes no new agents, or takes them again; those that live go on.
    ///
    /// Until it is turned off, `system.ready` says no and `system.health` says `draining`.
    SystemDrain "system.drain" system_drain(y::DrainParams) -> y::DrainAccepted
        = effect system::drain, Declaration::mutating(Scope::Admin).control();

    /// Stops the daemon in order: calls end, agents are stopped with their grace.
    SystemShutdown "system.shutdown" system_shutdown(y::ShutdownParams) -> y::ShutdownAccepted
        = effect system::shutdown, Declaration::mutating(Scope::Admin).control();

    /// Reads the configuration anew: all of it is checked, then what can change while the daemon runs
    /// is in force at once, and the rest is named.
    ///
    /// A configuration with a mistake changes nothing. Agents and connections stay; what has begun
    /// goes on as it was begun.
    SystemReload "system.reload" system_reload(y::ReloadParams) -> y::Reloaded
        = effect system::reload, Declaration::mutating(Scope::Admin).free();

    /// Says who calls, and what that one may do.
    AuthWhoami "auth.whoami" auth_whoami(y::NoParams) -> u::WhoAmI = now auth::whoami, OPEN;

    /// Logs in on this connection: what it sends after this is the new principal's.
    ///
    /// A failure changes nothing, never says why, and is answered late when there were many.
    AuthLogin "auth.login" auth_login(u::LoginParams) -> u::WhoAmI = barrier auth::login,
        OPEN.control().open().fails_with(&[
            E::InvalidRequest, E::Unauthenticated, E::ResourceExhausted,
        ]);

    /// Makes a token for somebody, who may do at most what the caller may.
    ///
    /// It is shown once; no call tells it again.
    AuthTokenCreate "auth.token.create" auth_token_create(u::TokenCreateParams) -> u::TokenCreated
        = effect auth::create_token,
        Declaration::mutating(Scope::Admin).free().secret().fails_with(&[
            E::Forbidden, E::ResourceExhausted, E::Other, E::StateError,
        ]);

    /// Revokes a token, or one of which only the identifier is known, and ends what it is used for.
    ///
    /// Keys and tokens that were made with it end with it.
    AuthTokenRevoke "auth.token.revoke" auth_token_revoke(u::TokenRevokeParams) -> u::TokenRevoked
        = effect auth::revoke_token,
        Declaration::mutating(Scope::Admin).control().fails_with(&[E::ResourceExhausted, E::StateError]);

    /// Makes a key, whose bearer may do at most what the caller may.
    ///
    /// It is shown once; no call tells it again.
    AuthKeyCreate "auth.key.create" auth_key_create(u::KeyCreateParams) -> u::KeyCreated
        = effect auth::create_key,
        Declaration::mutating(Scope::Admin).free().secret().fails_with(&[
            E::Forbidden, E::ResourceExhausted, E::StateError,
        ]);

    /// Lists the keys that were made and not revoked, oldest first, without the keys themselves.
    AuthKeyList "auth.key.list" auth_key_list(y::NoParams) -> u::KeyList = read auth::list_keys,
        Declaration::reading(Scope::Admin).fails_with(&[E::StateError]);

    /// Revokes a key at once, and ends what it is used for.
    ///
    /// Keys and tokens that were made with it end with it.
    AuthKeyRevoke "auth.key.revoke" auth_key_revoke(u::KeyRevokeParams) -> u::KeyRevoked
        = effect auth::revoke_key,
        Declaration::mutating(Scope::Admin).control().fails_with(&[E::NotFound, E::StateError]);

    /// This document: OpenRPC 1.3.
    RpcDiscover "rpc.discover" rpc_discover(y::NoParams) -> s::Json = raw rpc::discover, OPEN;

    /// Ends a waiting call of the same connection with `cancelled`.
    RpcCancel "rpc.cancel" rpc_cancel(y::CancelParams) -> y::CancelResult = now rpc::cancel,
        OPEN.control();
}

#[cfg(test)]
mod tests;
