//! `record`: a conversation that is written down, to be played by the backend `replay`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use descartes_rpc::client::{Client, Subscription};
use descartes_rpc::wire::chat::ChangeParams;

use super::interactive::talk;
use super::turn::Turn;
use crate::cli::arguments::Record;
use crate::cli::failure::Failure;
use crate::cli::spawn;
use crate::exit::Code;
use crate::output::Output;

/// Asks one thing after the other, has the daemon write down what is said, and ends.
pub(in crate::cli) async fn record(
    client: &Client,
    asked: Record,
    local: bool,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let mut create = super::create(asked.conversation, local)?;
    create.record = spawn::directory(Some(&asked.file), local)?;
    let file = create.record.clone().unwrap_or_default();
    let (session_id, mut chunks) = super::open(client, create).await?;
    let asks = io::stdin().is_terminal();
    let turn = Turn { client, session_id: &session_id, output, asks };
    let ended = match &asked.prompts[..] {
        [] => talk(&turn, &mut chunks).await,
        prompts => ask_all(&turn, &mut chunks, prompts).await,
    };
    let stopped = client.chat_stop(ChangeParams { session_id, idempotency_key: None }).await;
    let code = ended?;
    stopped?;
    output.note(format_args!("recorded in {file}"));
    Ok(code.into())
}

/// Asks all of `prompts`; how the last one ended that did not go well.
async fn ask_all(
    turn: &Turn<'_>,
    chunks: &mut Subscription,
    prompts: &[String],
) -> Result<Code, Failure> {
    let mut worst = Code::Done;
    for prompt in prompts {
        let code = super::code(turn.ask(chunks, prompt.clone()).await?);
        if code != Code::Done {
            worst = code;
        }
    }
    Ok(worst)
}
