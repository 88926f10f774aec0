//! `send`, `run`, `chat` and `record`: conversations.

mod interactive;
mod record;
mod turn;

use std::process::ExitCode;

use descartes_rpc::client::{Client, Subscription};
use descartes_rpc::wire::agent::SendParams;
use descartes_rpc::wire::chat::{ApprovalMode, ChangeParams, CreateParams};
use descartes_rpc::wire::chunk::TurnOutcome;
use descartes_rpc::wire::event::SubscribeParams;

use super::arguments::{Conversation, Run, Send};
use super::failure::Failure;
use super::{spawn, which};
use crate::exit::Code;
use crate::output::Output;

pub(super) use interactive::chat;
pub(super) use record::record;
use turn::Turn;

pub(super) async fn send(
    client: &Client,
    asked: Send,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let agent_id = which::agent(client, &asked.agent).await?;
    let params = SendParams {
        agent_id,
        content: asked.prompt,
        request_id: None,
        timeout_secs: Some(asked.timeout.into()),
        idempotency_key: None,
    };
    let sent = client.agent_send(params).await?;
    output.result(&sent, || sent.content.clone())?;
    Ok(code(sent.outcome).into())
}

/// Asks one thing and ends.
pub(super) async fn run(
    client: &Client,
    asked: Run,
    local: bool,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let mut create = create(asked.conversation, local)?;
    create.turn_timeout_secs = asked.timeout.map(Into::into);
    let (session_id, mut chunks) = open(client, create).await?;
    let turn = Turn { client, session_id: &session_id, output, asks: false };
    let ended = turn.ask(&mut chunks, asked.prompt).await;
    let stopped = client.chat_stop(ChangeParams { session_id, idempotency_key: None }).await;
    let outcome = ended?;
    stopped?;
    Ok(code(outcome).into())
}

/// Makes a chat and follows it.
async fn open(client: &Client, params: CreateParams) -> Result<(String, Subscription), Failure> {
    let created = client.chat_create(params).await?;
    let topics = vec![created.topic];
    let after = Some(created.cursor);
    let chunks = client.subscribe(SubscribeParams { topics, after, ..Default::default() }).await?;
    Ok((created.session_id, chunks))
}

fn create(asked: Conversation, local: bool) -> Result<CreateParams, Failure> {
    let env = spawn::variables(&asked.env)?;
    let command = (!asked.command.is_empty()).then(|| asked.command.iter().collect());
    Ok(CreateParams {
        backend: asked.backend,
        working_dir: spawn::directory(asked.cwd.as_deref(), local)?,
        model: asked.model,
        system_prompt: asked.system_prompt,
        approvals: asked.approvals.as_deref().and_then(mode),
        env: (!env.is_empty()).then_some(env),
        command,
        ..CreateParams::default()
    })
}

fn mode(word: &str) -> Option<ApprovalMode> {
    Some(match word {
        "ask" => ApprovalMode::Ask,
        "allow_edits" => ApprovalMode::AllowEdits,
        "allow_all" => ApprovalMode::AllowAll,
        "deny" => ApprovalMode::Deny,
        _ => return None,
    })
}

/// The exit code that tells how a turn ended.
fn code(outcome: TurnOutcome) -> Code {
    match outcome {
        TurnOutcome::Completed => Code::Done,
        TurnOutcome::Cancelled => Code::Cancelled,
        TurnOutcome::TimedOut => Code::TimedOut,
        _ => Code::Failed,
    }
}
