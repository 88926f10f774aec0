//! The methods that act on live agents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent::{AgentStatus, Exit, Selection};
use super::duration::Secs;
use super::{params, shape, words};
use crate::decode::guard;

params! {
    /// Parameters of `agent.kill`.
    mutating pub struct KillParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// Whether to give no grace.
        force?: bool,
        /// How long it may take to end by itself; 10 s unless configured.
        grace_secs?: Secs,
    }
}

params! {
    /// Parameters of `agent.stop` and `agent.restart`.
    mutating pub struct StopParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// How long it may take to end by itself; 10 s unless configured.
        grace_secs?: Secs,
    }
}

shape! {
    /// An agent whose process tree is gone.
    pub struct Killed {
        /// Its identifier.
        agent_id: String,
        /// Its status now.
        status: AgentStatus,
        /// How it ended; absent only when it never ran.
        exit?: Exit,
        /// Whether it had to be killed after its grace.
        forced: bool,
        /// How many other processes of its tree had to be killed.
        swept: u32,
        /// Whether the end is in the journal; false when the store cannot write.
        recorded: bool,
        /// One sentence for people.
        message: String,
    }
}

shape! {
    /// An agent that runs again.
    pub struct Restarted {
        /// Its identifier.
        agent_id: String,
        /// Its status now.
        status: AgentStatus,
        /// Which run this is.
        run: u32,
        /// The process.
        pid?: u32,
    }
}

params! {
    /// Parameters of `agent.resume`.
    mutating pub struct ResumeParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
    }
}

params! {
    /// Parameters of `agent.pause`.
    mutating pub struct PauseParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// Whether to stop it by signal without asking it.
        force?: bool,
    }
}

words! {
    /// How an agent is paused.
    pub enum PauseMode {
        /// It was asked and acknowledged.
        Cooperative = "cooperative",
        /// Its processes were stopped.
        Forced = "forced",
        /// Not all of its processes could be stopped.
        Partial = "partial",
    }
}

shape! {
    /// An agent that stands still.
    pub struct Paused {
        /// Its identifier.
        agent_id: String,
        /// Its status now.
        status: AgentStatus,
        /// Since when.
        paused_at: String,
        /// How.
        pause_mode: PauseMode,
    }
}

shape! {
    /// An agent that goes on.
    pub struct Resumed {
        /// Its identifier.
        agent_id: String,
        /// Its status now.
        status: AgentStatus,
        /// Since when.
        resumed_at: String,
        /// How it had been paused.
        pause_mode: PauseMode,
    }
}

/// A signal that may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SignalName {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
    /// SIGHUP.
    Hangup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
}

params! {
    /// Parameters of `agent.signal`.
    mutating pub struct SignalParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// Which signal; it goes to the group of the agent's first process.
        signal: SignalName,
    }
}

shape! {
    /// The signal was sent.
    pub struct Signalled {
        /// The agent's identifier.
        agent_id: String,
        /// Which signal.
        signal: SignalName,
    }
}

params! {
    /// Parameters of `agent.write_stdin`.
    mutating pub struct WriteParams {
        /// The agent: its identifier, or its name.
        agent_id: String,
        /// What to write, as text. Nothing is added: a line needs its newline.
        text?: String,
        /// What to write, as base64.
        data?: String,
        /// Whether the agent then sees end-of-file.
        close?: bool,
    }
}

shape! {
    /// What was taken.
    pub struct Written {
        /// How many bytes.
        bytes_written: u64,
    }
}

/// What a batch does to each of its agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BatchCommand {
    /// As `agent.pause`.
    Pause,
    /// As `agent.resume`.
    Resume,
    /// As `agent.stop`.
    Stop,
    /// As `agent.kill` with `force`.
    Kill,
    /// As `agent.signal`.
    Signal,
    /// As `agent.write_stdin`.
    WriteStdin,
    /// Says the agent's status.
    Status,
}

params! {
    /// The parameters of a batch's command, for every agent the same.
    #[derive(Default)]
    pub struct BatchPayload {
        /// Of `signal`.
        signal?: SignalName,
        /// Of `write_stdin`.
        text?: String,
        /// Of `write_stdin`.
        data?: String,
    }
}

params! {
    /// Parameters of `agent.batch`: either `agent_ids` or `select`.
    mutating pub struct BatchParams {
        /// These agents, 1000 at most; each an identifier or a name.
        agent_ids?: Vec<String>,
        /// All agents that fit, 1000 at most.
        #[serde(deserialize_with = "guard::object")]
        select?: Selection,
        /// What to do.
        command: BatchCommand,
        /// The command's parameters.
        #[serde(deserialize_with = "guard::object")]
        payload?: BatchPayload,
        /// Whether to begin no more after the first failure.
        fail_fast?: bool,
        /// Whether only to say which agents are meant.
        dry_run?: bool,
    }
}

shape! {
    /// What a batch did.
    pub struct BatchResult {
        /// Whether all succeeded.
        success: bool,
        /// One entry for each agent, in the order asked.
        results: Vec<BatchEntry>,
        /// How many succeeded.
        successful: u64,
        /// How many did not.
        failed: u64,
    }
}

shape! {
    /// What a batch did to one agent.
    pub struct BatchEntry {
        /// The agent, as it was asked for.
        agent_id: String,
        /// Whether it worked.
        success: bool,
        /// Its status afterwards.
        status?: AgentStatus,
        /// Why it did not work.
        error?: ErrorObject,
    }
}

shape! {
    /// An error as a member of a result.
    pub struct ErrorObject {
        /// The number.
        code: i32,
        /// One sentence.
        message: String,
        /// What to act on: `kind`, `retryable` and what belongs to the kind.
        data: serde_json::Value,
    }
}
