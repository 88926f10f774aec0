//! How a run is found again at the remote: its labels, its key, its reference.

use std::collections::BTreeMap;

use descartes_core::agent::AgentId;

use crate::wire::agent::Agent;

/// Whose agent it is: the number of the host's store.
const INSTANCE: &str = "descartes.instance";
/// What that host calls the remote.
const REMOTE: &str = "descartes.remote";
/// Which agent of that host it is.
const AGENT: &str = "descartes.agent";
/// Which run of it.
const RUN: &str = "descartes.run";

/// The labels of everything that a host runs on a remote.
pub(super) fn of_host(instance: u32, remote: &str) -> BTreeMap<String, String> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    [pair(INSTANCE, format!("{instance:08x}")), pair(REMOTE, remote.to_owned())].into()
}

/// The labels of one run.
pub(super) fn of_run((agent, run): (AgentId, u32)) -> BTreeMap<String, String> {
    [(AGENT.to_owned(), agent.to_string()), (RUN.to_owned(), run.to_string())].into()
}

/// The run that an agent of the remote is.
pub(super) fn run_of(agent: &Agent) -> Option<(AgentId, u32)> {
    let id = agent.labels.get(AGENT)?.parse().ok()?;
    Some((id, agent.labels.get(RUN)?.parse().ok()?))
}

/// The idempotency key of the start of a run: the same however often it is asked for.
pub(super) fn key(instance: u32, (agent, run): (AgentId, u32)) -> String {
    format!("remote/{instance:08x}/{agent}/{run}")
}

/// Whether `key` is that of the start of `run`, of whatever host.
pub(super) fn is_key_of(key: &str, (agent, run): (AgentId, u32)) -> bool {
    key.starts_with("remote/") && key.ends_with(&format!("/{agent}/{run}"))
}

/// What the record says of a remote agent.
pub(super) fn reference(remote: &str, id: &str) -> String {
    format!("{remote}/{id}")
}

/// The remote agent's identifier in a reference of `remote`.
pub(super) fn id_of(remote: &str, reference: &str) -> Option<String> {
    Some(reference.strip_prefix(remote)?.strip_prefix('/')?.to_owned())
}
