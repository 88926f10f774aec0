//! What agents can be started with.

use super::{params, shape, words};

params! {
    /// Parameters of `backend.list`.
    #[derive(Default)]
    pub struct BackendsParams {
        /// Whether to look again at what is installed.
        refresh?: bool,
    }
}

words! {
    /// Whether a backend's program is logged in where it needs to be.
    pub enum Login {
        /// It is, or needs no login.
        Ok = "ok",
        /// It is not.
        Missing = "missing",
        /// Nobody asked.
        Unknowable = "unknown",
    }
}

shape! {
    /// What a backend can do.
    #[derive(Default)]
    pub struct Capabilities {
        /// Whether it has a conversation in turns.
        turns: bool,
        /// Whether a conversation can be taken up again.
        resume: bool,
        /// Whether it asks before it acts.
        approvals: bool,
        /// Whether a turn can be cancelled.
        cancel: bool,
        /// Whether it acknowledges a pause.
        pause: bool,
        /// The models that it offers.
        models: Vec<String>,
    }
}

shape! {
    /// A name with a recipe that agents can be started with.
    pub struct Backend {
        /// Its name, the `agent_type` of agents.
        name: String,
        /// How its program is talked to.
        dialect: String,
        /// Who runs its program.
        runner: String,
        /// Whether it can be used.
        available: bool,
        /// Why not: `not_found`, `not_executable`, `probe_failed`.
        reason?: String,
        /// Its program.
        program?: String,
        /// Where its program was looked for.
        searched?: Vec<String>,
        /// Its program's version.
        version?: String,
        /// Whether its program is logged in.
        login: Login,
        /// How to install it.
        install_hint?: String,
        /// What it can do.
        capabilities: Capabilities,
    }
}

shape! {
    /// All backends.
    pub struct BackendList {
        /// The backends.
        backends: Vec<Backend>,
    }
}
