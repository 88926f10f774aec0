//! Agents to converse with, without processes.

use super::{FakeAgent, FakeInput, FakeRunner};
use crate::backend::Backend;
use crate::dialect::{Basic, OpenCode};

/// Agents that speak as the bundled one does in a chat, without a process. The prompt decides what
/// they do: `say A B` says two pieces, `wait` waits to be cancelled, `deaf` hears nothing any more,
/// `write` asks before it says that it wrote, `run TEXT` before it says that it ran it, `die` ends in
/// the middle with exit code 7, `broken` withdraws what it said; anything else is answered with
/// itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use descartes_core::chat::ChatSpec;
/// use descartes_core::dialect::Prompt;
/// use descartes_core::testing::FakeChat;
/// use descartes_core::{Caller, Descartes, PromptRequest};
///
/// let descartes = Descartes::builder()
///     .runner(Arc::new(FakeChat::runner()))
///     .backend(FakeChat::backend())
///     .build()
///     .await?;
/// let mut me = Caller::new("me");
/// let chat = descartes.chat_create(ChatSpec::backend("fake"), &mut me).await?.record.id;
/// let (done, result) = tokio::sync::oneshot::channel();
/// let prompt = PromptRequest::new(Prompt::text("say hello world"));
/// descartes.chat_prompt(chat, prompt, &mut me, Some(done)).await?;
/// assert_eq!(&*result.await?.content, "helloworld");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub enum FakeChat {}

impl FakeChat {
    /// What starts them.
    #[must_use]
    pub fn runner() -> FakeRunner {
        FakeRunner::new(converse)
    }

    /// The backend `fake`, whose agents they are.
    #[must_use]
    pub fn backend() -> Backend {
        Backend::conversing("fake", vec!["fake".into()], "basic", || Box::new(Basic::new()))
    }

    /// The backend `costly`, whose turns cost as many USD as their prompts say.
    #[must_use]
    pub fn costly() -> Backend {
        let opencode = || Box::new(OpenCode::new()) as Box<dyn crate::dialect::Dialect>;
        Backend::conversing("costly", vec!["fake".into()], "opencode", opencode)
    }
}

/// Does what is asked in one turn, which costs something, and ends.
async fn spend(mut agent: FakeAgent) {
    let mut asked = Vec::new();
    loop {
        match agent.next().await {
            FakeInput::Bytes(bytes) => asked.extend_from_slice(&bytes),
            FakeInput::Signal(_) => {}
            FakeInput::Eof => break,
            FakeInput::Killed => return agent.die().await,
        }
    }
    let usd: f64 = String::from_utf8_lossy(&asked).trim().parse().unwrap_or(0.0);
    let line = |kind: &str, part: String| {
        format!("{{\"type\":\"{kind}\",\"sessionID\":\"costly\",\"part\":{{{part}}}}}\n")
    };
    agent.say(&line("step_start", "\"id\":\"1\"".into())).await;
    agent.say(&line("text", "\"id\":\"2\",\"text\":\"done\"".into())).await;
    let end = format!("\"id\":\"3\",\"reason\":\"stop\",\"cost\":{usd}");
    agent.say(&line("step_finish", end)).await;
    agent.exit(0).await;
}

async fn converse(mut agent: FakeAgent) {
    let args = agent.launch.argv.clone();
    if args.iter().any(|word| word == "--format") {
        return spend(agent).await;
    }
    let name = args.last().cloned().unwrap_or_default();
    agent.say(&format!("session {name}\nready\n")).await;
    let mut unread = Vec::new();
    let (mut deaf, mut asked) = (false, String::new());
    loop {
        match agent.next().await {
            FakeInput::Bytes(bytes) => unread.extend_from_slice(&bytes),
            FakeInput::Signal(_) => continue,
            FakeInput::Eof => return agent.exit(0).await,
            FakeInput::Killed => return agent.die().await,
        }
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            let line = String::from_utf8(line).expect("text");
            let answer = match line.trim_end() {
                "prompt die" => return agent.exit(7).await,
                "prompt deaf" => {
                    deaf = true;
                    continue;
                }
                _ if deaf => continue,
                "prompt wait" => "text waiting\n".to_owned(),
                "cancel" => "cancelled\n".to_owned(),
                "prompt write" => "tool 1 write {\"path\":\"x\"}\nask 1 Write x?\n".to_owned(),
                run if run.starts_with("prompt run ") => {
                    asked = run["prompt run ".len()..].to_owned();
                    format!("tool 2 run {{}}\nask 2 {asked}\n")
                }
                "allow 1" => "result 1 written\ntext allowed\ndone\n".to_owned(),
                "allow 2" => format!("result 2 ran\ntext ran {asked}\ndone\n"),
                deny if deny.starts_with("deny 2") => {
                    "result 2 refused\ntext denied\ndone\n".to_owned()
                }
                deny if deny.starts_with("deny 1") => {
                    "result 1 refused\ntext denied\ndone\n".to_owned()
                }
                "prompt broken" => "mark\ntext void\nretract\ntext whole\ndone\n".to_owned(),
                prompt => match prompt.strip_prefix("prompt say ") {
                    Some(pieces) => {
                        let pieces = pieces.split(' ').map(|piece| format!("text {piece}\n"));
                        pieces.collect::<String>() + "done\n"
                    }
                    None => {
                        let said = prompt.strip_prefix("prompt ").unwrap_or(prompt);
                        format!("text you said: {said}\ndone\n")
                    }
                },
            };
            agent.say(&answer).await;
        }
    }
}
