//! Every bound of the core, with its reason.
//!
//! Values that an operator may change are defaults here and settings of [`Limits`]; the rest are
//! facts of the design and stay constants.

use std::time::Duration;

/// Most bytes of one output event: one `read` of a pipe.
pub const OUTPUT_CHUNK_BYTES: usize = 64 * 1024;
/// Most bytes of one row of `agent.logs`; a longer line is several rows.
pub const LOG_ROW_BYTES: usize = 64 * 1024;
/// How long an unfinished line waits for its end before it is journalled as partial.
pub const PARTIAL_LINE_DELAY: Duration = Duration::from_millis(50);
/// Output of one agent that may be read from it and not yet be committed.
pub const OUTPUT_UNCOMMITTED_BYTES: usize = 512 * 1024;
/// Output bytes that one commit takes, so that a flood cannot delay a control batch.
pub const COMMIT_OUTPUT_BYTES: usize = 1024 * 1024;
/// How long after a commit a little output waits for more: a thousand agents that print a line now
/// and then share their commits, and a line that comes alone is committed at once.
pub const OUTPUT_COMMIT_PACE: Duration = Duration::from_millis(5);
/// Waiting output from which on nothing waits for more.
pub const PRESSING_OUTPUT_BYTES: usize = 64 * 1024;
/// Batches that may wait for the journal.
pub const JOURNAL_QUEUE_BATCHES: usize = 1024;
/// Bytes that may wait for the journal.
pub const JOURNAL_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of recent events that are kept in memory for subscribers: what a thousand agents that print
/// may take together is 32 MiB, of which this is an eighth. Who is further behind reads the store.
pub const HOT_RING_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that one page of events may hold when it is read from the store.
pub const READ_PAGE_BYTES: usize = 1024 * 1024;
/// Bytes that a subscription reads from the store at once: a reader that rests holds as much.
pub const SUBSCRIPTION_PAGE_BYTES: usize = 256 * 1024;
/// Events that one page may hold when it is read from the store.
pub const READ_PAGE_EVENTS: usize = 1024;
/// Events that one page looks at when its filters are not all exact, so that no page takes long.
pub const STORE_SCAN_EVENTS: usize = 4096;
/// Events that one call of a store's `trim` forgets, so that no commit waits long behind it.
pub const STORE_TRIM_EVENTS: usize = 512;
/// Bytes of standard input that may wait for an agent to read them.
pub const STDIN_QUEUE_BYTES: usize = 1024 * 1024;
/// Commands that may wait for one agent's task.
pub const AGENT_COMMANDS: usize = 64;
/// How much of standard error an exit keeps.
pub const STDERR_TAIL_BYTES: usize = 2 * 1024;
/// How long the pipes of an agent that has exited are still read.
pub const DRAIN_AFTER_EXIT: Duration = Duration::from_millis(250);
/// How long an agent may take to acknowledge a pause before it is stopped by a signal.
pub const PAUSE_ACKNOWLEDGE: Duration = Duration::from_secs(2);
/// Bytes of one value of `state.put`.
pub const STATE_VALUE_BYTES: usize = 64 * 1024;
/// Keys that one agent, or the global state, may have.
pub const STATE_KEYS: usize = 10_000;
/// Bytes of one decoded line that a dialect is shown; longer ones reach it as oversize.
pub const DIALECT_LINE_BYTES: usize = 1024 * 1024;
/// Bytes that a chat shows of a line which its dialect does not understand; the log has it whole.
pub const RAW_CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of what a program says of an error: several sentences, and no page of HTML.
pub const ERROR_TEXT_BYTES: usize = 2 * 1024;
/// How long an ACP agent may take for each answer while a conversation is opened: programs have been
/// seen to take 25 s on a machine that did nothing else.
pub const ACP_ANSWER: Duration = Duration::from_secs(120);
/// How long an ACP agent is quiet after it has loaded a conversation, before what it says is no
/// history any more: one agent goes on with history after its answer, line upon line.
pub const ACP_HISTORY_QUIET: Duration = Duration::from_millis(500);
/// How long history may go on after that answer at most.
pub const ACP_HISTORY: Duration = Duration::from_secs(20);
/// How long an ACP agent may take to end a cancelled turn before it is interrupted by a signal; the
/// slowest that was seen took 1 s.
pub const ACP_CANCEL: Duration = Duration::from_secs(10);
/// How long a program that is started for one turn may take to end after it was interrupted, before
/// it is told to end: two of them have been seen not to mind the first signal.
pub const ONE_SHOT_CANCEL: Duration = Duration::from_secs(5);
/// How long such a program may take to end after it said that its turn is over.
pub const ONE_SHOT_SETTLE: Duration = Duration::from_secs(10);
/// How long a program that answers lines with lines says nothing before its answer is taken for
/// whole: it has no word for that. Longer than a busy machine holds up a program between two lines.
pub const LINES_QUIET: Duration = Duration::from_secs(1);
/// How long an agent that has closed its output may take to end before its turn is given up.
pub const ACP_AFTER_EOF: Duration = Duration::from_secs(5);
/// Tool calls of one turn that may be open; what is said of more of them is shown as it is.
pub const ACP_OPEN_CALLS: usize = 256;
/// Finished tool calls of one turn that are remembered, so that none of them ends twice.
pub const ACP_FINISHED_CALLS: usize = 4096;
/// Bytes of a tool call's name; the longest that was seen has 40.
pub const ACP_NAME_BYTES: usize = 512;
/// Questions that may be open at once; more are answered as cancelled.
pub const ACP_OPEN_ASKS: usize = 64;
/// Bytes of one line of title, for people.
pub const ASK_TITLE_BYTES: usize = 512;
/// How long Codex may take to answer a request that needs no model: to greet, to open a conversation,
/// to take a prompt. It was seen to take half a second, and several on a busy machine.
pub const CODEX_ANSWER: Duration = Duration::from_secs(60);
/// How long Codex may take to confirm that it stopped a turn before it gets a signal; it was seen to
/// confirm within 20 ms.
pub const CODEX_CANCEL: Duration = Duration::from_secs(5);
/// How long Codex, having shown that a turn is over, may take to say how it ended, or to end itself.
pub const CODEX_SETTLE: Duration = Duration::from_secs(10);
/// Items (messages, tools, questions, sub-agents) of Codex that may be open at once: it runs a
/// handful side by side, and what a broken one leaves open must not add up.
pub const CODEX_OPEN_ITEMS: usize = 64;
/// How long Claude Code may take to answer the handshake: 5 s were seen on a busy machine.
pub const CLAUDE_HANDSHAKE: Duration = Duration::from_secs(60);
/// How long Claude Code may take to end when its input has ended, since it does not take prompts.
pub const CLAUDE_LEAVES: Duration = Duration::from_secs(5);
/// After what it is asked once more to interrupt a turn: it answers within 0.1 s.
pub const CLAUDE_INTERRUPT_AGAIN: Duration = Duration::from_secs(2);
/// After what a turn that it does not interrupt is ended by a signal.
pub const CLAUDE_INTERRUPT: Duration = Duration::from_secs(5);
/// How long the line that closes a turn may be missing when one too long to be shown came instead.
pub const CLAUDE_LOST_END: Duration = Duration::from_secs(2);
/// How long a prompt waits for a turn that Claude Code may be about to begin by itself: it does so
/// within 5 ms of saying why.
pub const CLAUDE_OWN_WORK_BEGINS: Duration = Duration::from_millis(250);
/// How long a prompt waits for a turn that Claude Code has begun by itself.
pub const CLAUDE_OWN_WORK: Duration = Duration::from_secs(600);
/// Questions of Claude Code that may be open at once; it asks them one by one.
pub const CLAUDE_OPEN_QUESTIONS: usize = 64;
/// Sub-agents of a turn of Claude Code whose words are told apart at once.
pub const CLAUDE_SUB_AGENTS: usize = 64;
/// Tool calls of a turn of Claude Code that are remembered.
pub const CLAUDE_TOOL_CALLS: usize = 4096;
/// Bytes of an answer that are kept to be compared with its repetition, which would come as one
/// line.
pub const CLAUDE_ATTEMPT_BYTES: usize = DIALECT_LINE_BYTES;
/// Agents that one `agent.batch` may name.
pub const BATCH_AGENTS: usize = 1000;
/// Agents of a batch that are worked on at once.
pub const BATCH_PARALLEL: usize = 32;
/// Characters of a name or a label.
pub const NAME_CHARS: usize = 128;
/// How often retention is applied.
pub const RETENTION_INTERVAL: Duration = Duration::from_secs(2);
/// Free space from which on a store that was full is tried again: less would flap.
pub const STORE_RECOVERY_BYTES: u64 = 4 * 1024 * 1024;
/// Output after which retention is applied at once: a flood writes a gigabyte between two rounds.
pub const RETENTION_AFTER_BYTES: usize = 16 * 1024 * 1024;
/// Chats that one round of retention forgets: each costs a look at the approvals.
pub const FORGOTTEN_CHATS: usize = 16;
/// How long commits have the store to themselves between two pieces of retention.
pub const RETENTION_PAUSE: Duration = Duration::from_millis(20);
/// Forgotten agents of which it is remembered whose they were, so that their last events reach
/// who may read them: as many as ended ones are kept.
pub const FORGOTTEN_AGENTS: usize = 10_000;
/// How often idempotency records that are too old are forgotten.
pub const IDEMPOTENCY_SWEEP: Duration = Duration::from_secs(600);
/// How often a store that failed is tried again.
pub const STORE_RETRY: Duration = Duration::from_millis(500);

/// Owners whose costs are summed, each 200 bytes: more than a team has; further ones share one sum.
pub const COST_OWNERS: usize = 10_000;
/// Chats that have cost something whose sums are written down; those of further ones count until the
/// host ends.
pub const COST_CHATS: usize = 100_000;
/// What one turn can have cost: what a program tells beyond is not believed, so that sums stay
/// numbers.
pub const COST_TURN_USD: f64 = 1e9;
/// The bounds an application may choose. [`Default`] gives the documented ones.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Agents that may be live at once.
    pub agents_running: usize,
    /// How deep agents may be each other's parents.
    pub hierarchy_depth: usize,
    /// How long a stopped agent may take to end before it is killed.
    pub stop_grace: Duration,
    /// Bytes of the hot ring.
    pub hot_ring_bytes: usize,
    /// Idempotency records that are kept.
    pub idempotency_records: usize,
    /// How long an idempotency record is kept.
    pub idempotency_age: Duration,
    /// Keys per agent in the state.
    pub state_keys: usize,
    /// Bytes of a state value.
    pub state_value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            agents_running: 100,
            hierarchy_depth: 5,
            stop_grace: Duration::from_secs(10),
            hot_ring_bytes: HOT_RING_BYTES,
            idempotency_records: 100_000,
            idempotency_age: Duration::from_secs(24 * 3600),
            state_keys: STATE_KEYS,
            state_value_bytes: STATE_VALUE_BYTES,
        }
    }
}
/// Bytes of output that one step of a search holds.
pub const SEARCH_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of one line that a search looks at as a whole; longer ones are searched in pieces.
pub const SEARCH_LINE_BYTES: usize = 1024 * 1024;
/// Bytes that a compiled filter may take.
pub const SEARCH_REGEX_BYTES: usize = 1024 * 1024;
/// What an agent may have said that its conversation has not heard yet; beyond it its pipes are not
/// read. The conversation writes down what it hears, so this is held up by the store alone.
pub const CONVERSATION_UNHEARD_BYTES: usize = 512 * 1024;
/// How long an agent that streams words is left alone after each read, so that the words of that
/// time share a read, a commit and a message. The first word is read at once.
pub const CONVERSATION_READ_PACE: Duration = Duration::from_millis(3);
/// What is little, for an agent that streams: a read of more is followed by the next at once, and a
/// step of more shares its commit with the output of others instead of having one at once.
pub const CONVERSATION_LITTLE_BYTES: usize = 16 * 1024;
/// What one commit of a conversation takes of what it has heard.
pub const CONVERSATION_STEP_BYTES: usize = 256 * 1024;
/// Bytes of a recording: thousands of turns, and no more than a test may read into memory.
pub const RECORDING_BYTES: u64 = 32 * 1024 * 1024;
/// Commands that may wait for one chat.
pub const CHAT_COMMANDS: usize = 64;
/// Prompts that may wait for their turn in one chat.
pub const CHAT_QUEUE: usize = 32;
/// Bytes of a turn's text that who waits for the turn is given; the rest is in its chunks.
pub const TURN_CONTENT_BYTES: usize = 1024 * 1024;
/// How long an agent may take to end a cancelled turn before its process is ended: the slowest
/// program measured takes half a second.
pub const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// How long a chat that is stopped lets its agent end the turn by itself.
pub const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long a program may take to say its version, before it is ended and counts as broken: of those
/// that are known the slowest took 6 s on a machine that was busy, and a call may take 30 s.
pub const PROBE_WAIT: Duration = Duration::from_secs(20);
/// Bytes that a program may write while it is asked for its version.
pub const PROBE_OUTPUT_BYTES: u64 = 64 * 1024;
/// Bytes of a version.
pub const VERSION_BYTES: usize = 64;
/// Questions of one turn that may be open at once; further ones are denied at once.
pub const OPEN_ASKS: usize = 64;
/// Of so many who asked what there is to decide is remembered when: who differ in what they may
/// decide are few.
pub const ATTENDANTS: usize = 1024;
/// How long after `approval.list` whoever asked is expected to decide.
pub const ATTENDED_AFTER_LIST: Duration = Duration::from_secs(60);
/// Bytes of a `tracestate`: what is longer is left out, as the W3C allows beyond so many (Trace
/// Context, section 3.3.1.5). Every agent's environment has it.
pub const TRACE_STATE_BYTES: usize = 512;
/// How long a host that stops waits for its chats to say that their agents have ended.
pub const CHATS_SETTLE: Duration = Duration::from_secs(5);
