//! `status`: the daemon on one screen.

use std::process::ExitCode;

use descartes_rpc::wire::approval::{Approval, ApprovalListParams};
use descartes_rpc::wire::system::{AgentCounts, Health, NoParams, TransportInfo};
use serde_json::json;

use super::failure::{Failure, allowed};
use super::reach::Reach;
use super::{approvals, show};
use crate::exit::Code;
use crate::output::Output;

/// Approvals that are shown; of more it is said how many there are.
const SHOWN: usize = 10;

pub(super) async fn status(reach: &Reach, output: &Output) -> Result<ExitCode, Failure> {
    let client = reach.connect()?;
    let health = client.system_health(NoParams {}).await?;
    let transports = client.system_info(NoParams {}).await?.transports;
    let counts = allowed(client.system_metrics(NoParams {}).await)?.map(|metrics| metrics.agents);
    let pending =
        ApprovalListParams { status: Some("pending".to_owned()), ..ApprovalListParams::default() };
    let pending = allowed(client.approval_list(pending).await)?.map(|list| list.approvals);
    if output.is_json() {
        output.json(&json!({
            "status": health.status,
            "reasons": health.reasons,
            "version": health.version,
            "uptime_secs": health.uptime_secs,
            "transports": transports,
            "agents": counts,
            "approvals": pending,
        }))?;
        return Ok(Code::Done.into());
    }
    let shown = Shown { health: &health, transports: &transports, counts, pending };
    output.line(&shown.lines().join("\n"))?;
    let pending = shown.pending.unwrap_or_default();
    if !pending.is_empty() {
        output.table(&approvals::table(&pending[..pending.len().min(SHOWN)]))?;
    }
    if pending.len() > SHOWN {
        output.line(&format!("and {} more: descartes approvals", pending.len() - SHOWN))?;
    }
    Ok(Code::Done.into())
}

/// What there is. What may not be seen is absent.
struct Shown<'a> {
    health: &'a Health,
    transports: &'a [TransportInfo],
    counts: Option<AgentCounts>,
    pending: Option<Vec<Approval>>,
}

impl Shown<'_> {
    fn lines(&self) -> Vec<String> {
        let Health { status, version, uptime_secs, .. } = self.health;
        let up = show::duration(*uptime_secs);
        let mut lines = vec![format!("descartes-daemon {version}: {status}, up {up}")];
        lines.extend(self.health.reasons.iter().map(|reason| format!("  {reason}")));
        lines.extend(self.transports.iter().map(
            |TransportInfo { name, address, error, .. }| {
                let told = address.as_ref().or(error.as_ref());
                format!("{name:10} {}", told.map_or("", String::as_str))
            },
        ));
        lines.push(match &self.counts {
            Some(AgentCounts { running, paused, stopped, failed, .. }) => format!(
                "agents     {running} running, {paused} paused, {stopped} stopped, {failed} failed"
            ),
            None => "agents     not shown without the scope metrics".to_owned(),
        });
        lines.push(match &self.pending {
            Some(pending) => format!("approvals  {} waiting", pending.len()),
            None => "approvals  not shown without the scope chat:read".to_owned(),
        });
        lines
    }
}
