//! What Claude Code is started with.

use crate::dialect::{LaunchWords, SessionSpec, Thinking};

/// Both directions as lines of JSON, every piece of the answer, and questions to us.
const TALK: [&str; 9] = [
    "-p",
    "--output-format",
    "stream-json",
    "--input-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-prompt-tool",
    "stdio",
];

/// The mode in which the program asks. Said here since a setting of the user may choose one that
/// allows by itself; what is allowed is decided by the daemon, the same for every program.
pub(super) const ASKING: &str = "default";

/// Most tokens that can be thought with: 2.1.197 takes less than the 32,000 that it asks of a model
/// with a budget, and does so by itself unless it was told something else.
const MOST_TOKENS: &str = "31999";

/// Adds all of it.
pub(super) fn words(session: &SessionSpec, words: &mut LaunchWords) {
    words.args.extend(TALK.map(String::from));
    let mut with = |name: &str, value: &str| words.args.extend([name.into(), value.into()]);
    with("--permission-mode", ASKING);
    if let Some(model) = &session.model {
        with("--model", model);
    }
    match &session.native {
        Some(native) => with("--resume", native),
        None => with("--session-id", &session.fresh.to_string()),
    }
    if let Some(prompt) = &session.system_prompt {
        with("--append-system-prompt", prompt);
    }
    if let Some(rounds) = session.max_turns {
        with("--max-turns", &rounds.to_string());
    }
    for (name, value) in thinking(session.thinking) {
        words.env.insert((*name).into(), (*value).into());
    }
}

/// How hard the model thinks.
///
/// Two generations, seen in what 2.1.197 asks of its models: those with a budget of tokens heed
/// `MAX_THINKING_TOKENS` and no effort; those that measure out their thinking themselves heed the
/// effort, and of the tokens only whether they are 0.
fn thinking(level: Thinking) -> &'static [(&'static str, &'static str)] {
    const EFFORT: &str = "CLAUDE_CODE_EFFORT_LEVEL";
    const TOKENS: &str = "MAX_THINKING_TOKENS";
    match level {
        Thinking::Off => &[(TOKENS, "0")],
        Thinking::Normal => &[],
        Thinking::Hard => &[(TOKENS, MOST_TOKENS), (EFFORT, "high")],
        Thinking::Harder => &[(TOKENS, MOST_TOKENS), (EFFORT, "xhigh")],
        Thinking::Ultra => &[(TOKENS, MOST_TOKENS), (EFFORT, "max")],
    }
}
