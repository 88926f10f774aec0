//! `approvals`, `allow` and `deny`.

use std::process::ExitCode;

use descartes_rpc::client::Client;
use descartes_rpc::wire::approval::{Approval, ApprovalListParams, DecideParams};

use super::failure::Failure;
use super::which;
use crate::exit::Code;
use crate::output::{Output, Table};

pub(super) async fn list(client: &Client, all: bool, output: &Output) -> Result<ExitCode, Failure> {
    let status = (!all).then(|| "pending".to_owned());
    let found = client.approval_list(ApprovalListParams { status, ..Default::default() }).await?;
    if output.is_json() {
        found.approvals.iter().try_for_each(|approval| output.json(approval))?;
        return Ok(Code::Done.into());
    }
    output.table(&table(&found.approvals))?;
    Ok(Code::Done.into())
}

/// Approvals for people.
pub(super) fn table(approvals: &[Approval]) -> Table {
    let mut table = Table::new(["APPROVAL", "AGENT", "TOOL", "STATUS", "TITLE"]);
    for approval in approvals {
        table.row([
            which::short(&approval.approval_id).to_owned(),
            which::short(&approval.agent_id).to_owned(),
            approval.tool.clone(),
            approval.status.to_string(),
            approval.title.clone(),
        ]);
    }
    table
}

pub(super) async fn allow(
    client: &Client,
    approval: String,
    session: bool,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let word = if session { "allow_session" } else { "allow_once" };
    decide(client, params(approval, word, None), output).await
}

pub(super) async fn deny(
    client: &Client,
    approval: String,
    (message, cancel): (Option<String>, bool),
    output: &Output,
) -> Result<ExitCode, Failure> {
    let word = if cancel { "cancel" } else { "deny" };
    decide(client, params(approval, word, message), output).await
}

/// What is decided.
pub(super) fn params(approval_id: String, word: &str, message: Option<String>) -> DecideParams {
    DecideParams {
        approval_id,
        decision: Some(word.to_owned()),
        option_id: None,
        answer: None,
        message,
        expected_digest: None,
        idempotency_key: None,
    }
}

async fn decide(
    client: &Client,
    params: DecideParams,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let decided = client.approval_decide(params).await?;
    output.result(&decided, || sentence(&decided))?;
    Ok(Code::Done.into())
}

fn sentence(approval: &Approval) -> String {
    let Approval { approval_id, tool, title, status, .. } = approval;
    format!("{}  {status}  {tool}: {title}", which::short(approval_id))
}
