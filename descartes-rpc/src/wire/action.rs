//! Actions that an application registered.

use super::duration::Secs;
use super::state::Json;
use super::{params, shape};

params! {
    /// Parameters of `agent.action`.
    mutating pub struct ActionParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// Which action; `action.list` names them.
        action: String,
        /// What it is given.
        params?: Json,
        /// How long it may take; 30 s unless given, 3,600 s at most.
        timeout_secs?: Secs,
    }
}

shape! {
    /// What an action gave.
    pub struct ActionResult {
        /// Its result.
        data: Json,
    }
}

shape! {
    /// The actions that can be run.
    pub struct ActionList {
        /// By name.
        actions: Vec<ActionInfo>,
    }
}

shape! {
    /// An action.
    pub struct ActionInfo {
        /// What `agent.action` calls it.
        name: String,
        /// What it does, in one sentence.
        description: String,
    }
}
