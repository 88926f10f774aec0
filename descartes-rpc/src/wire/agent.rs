//! Agents: the entry of lists, its details, how one ended, and the methods that make, show and
//! forget them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chunk::{ChunkError, TurnOutcome, Usage};
use super::config::{AgentConfig, RestartConfig, SpawnConfig};
use super::duration::Secs;
use super::{params, shape, words};
use crate::decode::guard::{self, OneOrMany};

words! {
    /// What an agent is doing, as far as its life goes.
    pub enum AgentStatus {
        /// Its program is being started.
        Starting = "starting",
        /// Its program runs.
        Running = "running",
        /// Its program is stopped and can be resumed.
        Paused = "paused",
        /// It was told to end and has not ended yet.
        Stopping = "stopping",
        /// A run ended and the next one has not begun.
        Restarting = "restarting",
        /// It ended with exit code 0.
        Completed = "completed",
        /// It ended otherwise.
        Failed = "failed",
        /// It was killed, by us or by a signal.
        Killed = "killed",
        /// Nobody can know how it ended.
        Lost = "lost",
    }
}

impl AgentStatus {
    /// Whether no run follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Killed | Self::Lost)
    }
}

words! {
    /// Why a run ended.
    pub enum ExitReason {
        /// The program ended by itself.
        Exited = "exited",
        /// A signal from elsewhere ended it.
        Signalled = "signalled",
        /// It was killed by request.
        Killed = "killed",
        /// Its program could not be started.
        ExecFailed = "exec_failed",
        /// It ran longer than it may.
        WallLimit = "wall_limit",
        /// It used more memory than it may.
        MemoryLimit = "memory_limit",
        /// It wrote more than it may.
        OutputLimit = "output_limit",
        /// It cost more than it may.
        Budget = "budget",
        /// It ended more often than its restart policy allows.
        RestartLimit = "restart_limit",
        /// The daemon died and it with it.
        HostDied = "host_died",
        /// Nobody can know.
        Lost = "lost",
    }
}

shape! {
    /// How a run ended.
    pub struct Exit {
        /// The exit code, when the program ended by itself.
        code?: i32,
        /// The signal that ended it, as `SIGTERM`.
        signal?: String,
        /// Why it ended.
        reason: ExitReason,
        /// Who asked for it.
        by?: String,
        /// When it was seen.
        at: String,
        /// The last 2 KiB of standard error, as text.
        stderr_tail: String,
        /// Whether it had to be killed after its grace.
        forced: bool,
        /// How many other processes of its tree had to be killed.
        swept: u32,
    }
}

shape! {
    /// An agent, as lists show it.
    pub struct Agent {
        /// Its identifier.
        id: String,
        /// Its label.
        name: String,
        /// The backend that it was started with.
        agent_type: String,
        /// What it is doing.
        status: AgentStatus,
        /// What that means for people.
        activity?: String,
        /// Which run this is, from 1.
        run: u32,
        /// The process, while there is one.
        pid?: u32,
        /// When it was made.
        created_at: String,
        /// When this record last changed.
        updated_at: String,
        /// When it ended for good.
        ended_at?: String,
        /// Who made it.
        owner: String,
        /// The agent that it belongs to.
        parent_agent_id?: String,
        /// How many agents belong to it.
        child_count: u32,
        /// The chat that it belongs to.
        session_id?: String,
        /// Free marks.
        labels: BTreeMap<String, String>,
        /// When it is started again.
        restart?: RestartConfig,
        /// How its last run ended.
        exit?: Exit,
        /// What it was started with.
        config: AgentConfig,
    }
}

shape! {
    /// One agent with everything that is known about it.
    pub struct AgentDetails {
        /// What lists show.
        #[serde(flatten)]
        agent: Agent,
        /// How its process tree is held together.
        containment?: String,
        /// Where its process lives: `in_process` dies with the daemon, `remote` is another machine's.
        hosting: String,
        /// What the other machine calls it.
        reference?: String,
        /// What it used; members are absent when unknown.
        usage: AgentUsage,
        /// What it wrote.
        output: AgentOutput,
        /// The position of the journal that this reflects.
        cursor: String,
    }
}

shape! {
    /// What an agent used.
    #[derive(Default)]
    pub struct AgentUsage {
        /// Processor seconds.
        cpu_secs?: f64,
        /// The most memory that it had resident, in bytes.
        max_rss_bytes?: u64,
    }
}

shape! {
    /// How much an agent wrote and how much of it is kept.
    pub struct AgentOutput {
        /// Bytes in all.
        bytes: u64,
        /// Lines in all.
        lines: u64,
        /// The first line of standard output that is still kept.
        first_line?: u64,
    }
}

params! {
    /// Parameters of `agent.spawn`.
    #[derive(Default)]
    mutating pub struct SpawnParams {
        /// A label, 1 to 128 characters; made up when absent.
        name?: String,
        /// The backend (synonym: `backend`); absent, the configured one, else the only one.
        #[serde(alias = "backend")]
        agent_type?: String,
        /// How to start it.
        #[serde(deserialize_with = "guard::object")]
        config?: SpawnConfig,
        /// Whether a live agent of the same name is a conflict; who reaches only its own agents
        /// meets only those.
        unique_name?: bool,
    }
}

shape! {
    /// The agent that was started.
    pub struct Spawned {
        /// Its identifier.
        agent_id: String,
        /// Its label.
        name: String,
        /// `running`, or how it ended already.
        status: AgentStatus,
        /// The process.
        pid?: u32,
        /// The chat that it belongs to.
        session_id?: String,
        /// One sentence for people.
        message: String,
        /// Where its events begin.
        cursor: String,
    }
}

/// Which statuses a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StatusFilter {
    /// Every status that is not terminal; the default.
    Live,
    /// Every terminal status.
    Stopped,
    /// Every status.
    Any,
    /// Being started.
    Starting,
    /// Runs.
    Running,
    /// Paused.
    Paused,
    /// Told to end.
    Stopping,
    /// Between two runs.
    Restarting,
    /// Ended with exit code 0.
    Completed,
    /// Ended otherwise.
    Failed,
    /// Was killed.
    Killed,
    /// Nobody can know.
    Lost,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ListOrder {
    /// The newest first; the default.
    Newest,
    /// The oldest first.
    Oldest,
}

params! {
    /// Parameters of `agent.list`.
    #[derive(Default)]
    pub struct ListParams {
        /// One status, several, or a group; `live` unless given.
        status?: OneOrMany<StatusFilter>,
        /// Only agents with all of these labels.
        #[serde(deserialize_with = "guard::map")]
        labels?: BTreeMap<String, String>,
        /// Only agents of this backend.
        agent_type?: String,
        /// Only agents that belong to this one.
        parent_agent_id?: String,
        /// How many at most: 100 unless given, 1000 at most.
        limit?: u32,
        /// Where the page before ended.
        page_token?: String,
        /// Newest first unless given.
        order?: ListOrder,
    }
}

shape! {
    /// A page of agents.
    pub struct AgentList {
        /// The agents.
        agents: Vec<Agent>,
        /// How many are on this page.
        count: u64,
        /// How many match in all.
        total: u64,
        /// Where the next page begins, when there is one.
        next_page_token?: String,
        /// The position of the journal that this reflects.
        cursor: String,
    }
}

params! {
    /// Parameters of methods that read one agent.
    pub struct AgentParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
    }
}

/// What `agent.wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitFor {
    /// A terminal status; the default.
    Exit,
    /// The end of the run that is under way.
    Run,
    /// The end of the turn that is under way, or about to begin; at once when there is none.
    Turn,
    /// That no turn is under way and none waits.
    Idle,
}

params! {
    /// Parameters of `agent.wait`.
    pub struct WaitParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// What to wait for; `exit` unless given.
        r#for?: WaitFor,
        /// How long; 30 s unless given, 3,600 s at most.
        timeout_secs?: Secs,
    }
}

shape! {
    /// What the agent came to.
    pub struct Waited {
        /// Its identifier.
        agent_id: String,
        /// Its status now.
        status: AgentStatus,
        /// How the run ended.
        exit?: Exit,
    }
}

params! {
    /// Parameters of `agent.remove`.
    mutating pub struct RemoveParams {
        /// The agent: its identifier, or its name. It must have ended.
        agent_id: String,
    }
}

shape! {
    /// The agent that was forgotten.
    pub struct Removed {
        /// Its identifier.
        agent_id: String,
        /// Always true.
        removed: bool,
    }
}

params! {
    /// Which agents are meant.
    #[derive(Default)]
    pub struct Selection {
        /// Those with all of these labels.
        #[serde(deserialize_with = "guard::map")]
        labels?: BTreeMap<String, String>,
        /// Those with one of these statuses.
        status?: OneOrMany<StatusFilter>,
        /// Those of this backend.
        agent_type?: String,
        /// Those that belong to this one.
        parent_agent_id?: String,
    }
}

params! {
    /// Parameters of `agent.prune`.
    mutating pub struct PruneParams {
        /// Only agents that ended at least this long ago.
        older_than_secs: Secs,
        /// Only these.
        #[serde(deserialize_with = "guard::object")]
        select?: Selection,
        /// Whether only to say what would be forgotten.
        dry_run?: bool,
    }
}

shape! {
    /// The agents that were forgotten, or would be.
    pub struct Pruned {
        /// Their identifiers.
        agent_ids: Vec<String>,
        /// How many.
        count: u64,
        /// Whether nothing was done.
        dry_run: bool,
    }
}

params! {
    /// Parameters of `agent.send`.
    mutating pub struct SendParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// What is asked.
        content: String,
        /// Names this request in `agent.cancel`; the turn's number unless given.
        request_id?: String,
        /// How long to wait; 30 s unless given, an hour at most. The turn goes on either way.
        timeout_secs?: Secs,
    }
}

shape! {
    /// What an agent answered.
    pub struct Sent {
        /// What it said.
        content: String,
        /// Names the request.
        request_id: String,
        /// How the turn ended.
        outcome: TurnOutcome,
        /// What it used, as far as the program tells.
        usage?: Usage,
        /// Why it did not succeed.
        error?: ChunkError,
    }
}

params! {
    /// Parameters of `agent.cancel`.
    mutating pub struct CancelSendParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// Which request; what is under way unless given.
        request_id?: String,
    }
}

shape! {
    /// What a cancel came to.
    pub struct SendCancelled {
        /// Whether the turn ended because of it.
        cancelled: bool,
        /// The request that was named.
        request_id?: String,
        /// Why not: `not_found_or_completed`.
        reason?: String,
    }
}
