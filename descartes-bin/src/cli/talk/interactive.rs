//! `chat`: a conversation in the terminal.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use descartes_rpc::client::{Client, Subscription};
use descartes_rpc::wire::chat::{ChangeParams, ChatParams};
use descartes_rpc::wire::event::SubscribeParams;

use super::turn::Turn;
use crate::cli::arguments::Chat;
use crate::cli::failure::Failure;
use crate::exit::Code;
use crate::output::Output;

/// Talks until the input ends, or Ctrl-C comes while nothing is under way.
pub(in crate::cli) async fn chat(
    client: &Client,
    asked: Chat,
    local: bool,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let goes_on = asked.session.is_some();
    let (session_id, mut chunks) = match asked.session {
        Some(session_id) => again(client, session_id).await?,
        None => super::open(client, super::create(asked.conversation, local)?).await?,
    };
    let asks = io::stdin().is_terminal();
    if asks {
        output.note(format_args!(
            "session {session_id}; Ctrl-C cancels the turn, and leaves when none is under way"
        ));
    }
    let turn = Turn { client, session_id: &session_id, output, asks };
    let code = talk(&turn, &mut chunks).await?;
    if !goes_on {
        let params = ChangeParams { session_id, idempotency_key: None };
        client.chat_stop(params).await?;
    }
    Ok(code.into())
}

/// Asks what the lines of the input say, a turn each; how the last one ended.
pub(super) async fn talk(turn: &Turn<'_>, chunks: &mut Subscription) -> Result<Code, Failure> {
    let mut code = Code::Done;
    while let Some(prompt) = prompt(turn.asks, turn.output).await? {
        if prompt.trim().is_empty() {
            continue;
        }
        let prompt = prompt.trim_end_matches(['\n', '\r']).to_owned();
        code = super::code(turn.ask(chunks, prompt).await?);
    }
    Ok(code)
}

/// Follows a chat that was made before, from now on.
async fn again(client: &Client, session_id: String) -> Result<(String, Subscription), Failure> {
    let known = client.chat_get(ChatParams { session_id }).await?;
    let topics = vec![format!("chat/{}", known.chat.session_id)];
    let after = Some(known.cursor);
    let params = SubscribeParams { topics, after, ..Default::default() };
    Ok((known.chat.session_id, client.subscribe(params).await?))
}

/// The next thing to ask; none at the end of the input, or at Ctrl-C.
async fn prompt(asks: bool, output: &Output) -> Result<Option<String>, Failure> {
    if asks {
        output.bytes(b"> ")?;
    }
    tokio::select! {
        line = line() => line,
        _ = tokio::signal::ctrl_c() => Ok(None),
    }
}

/// A line of the input; none at its end.
pub(super) async fn line() -> Result<Option<String>, Failure> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|bytes| (bytes > 0).then_some(line))
    });
    Ok(read.await.map_err(io::Error::other)??)
}
