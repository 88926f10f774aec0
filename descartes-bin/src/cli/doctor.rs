//! `doctor`: what could be wrong here, and what to do about it.

mod backends;
mod daemon;
mod exposure;
mod files;
mod finding;
mod places;
mod process;
mod remotes;

use std::path::Path;
use std::process::ExitCode;

use descartes_rpc::client::Client;

use super::failure::Failure;
use super::reach::Reach;
use crate::config::Config;
use crate::exit::Code;
use crate::output::{Output, Table};
use finding::{Finding, Grade};

/// Looks at everything. Without a daemon it looks at what a daemon would find.
pub(super) async fn doctor(reach: &Reach, output: &Output) -> Result<ExitCode, Failure> {
    let mut findings = Vec::new();
    // A daemon that runs says of which configuration it is.
    let mut of_daemon = Vec::new();
    let daemon = daemon::look(reach, &mut of_daemon).await;
    let info = daemon.as_ref().and_then(|daemon| daemon.info.as_ref());
    let file = info.and_then(|info| info.config_file.as_deref()).map(Path::new);
    let config =
        reach.is_local().then(|| places::configuration(reach, file, &mut findings)).flatten();
    if reach.is_local() {
        places::directories(reach, &mut findings);
        places::path(&mut findings);
    }
    findings.append(&mut of_daemon);
    let client = daemon.as_ref().map(|daemon| &daemon.client);
    match (client, &config) {
        (Some(client), _) => {
            let list = backends::of_daemon(client).await;
            backends::judge(list, config.as_ref(), &mut findings);
        }
        (None, Some(config)) => {
            places::ports(config, &mut findings);
            let list = backends::of_this_machine(config).await;
            backends::judge(list, Some(config), &mut findings);
        }
        (None, None) => {}
    }
    if let Some(config) = &config {
        remotes::look(config, &mut findings).await;
    }
    let config = match (config, info) {
        (Some(config), Some(info)) => Some(exposure::as_served(config, &info.transports)),
        (config, _) => config,
    };
    security(reach, config.as_ref(), client, &mut findings).await;
    print(&findings, output)?;
    let broken = findings.iter().any(|finding| finding.status == Grade::Broken);
    Ok(if broken { Code::Failed } else { Code::Done }.into())
}

/// Who could get at what: files, addresses, keys, the daemon's process.
async fn security(
    reach: &Reach,
    config: Option<&Config>,
    client: Option<&Client>,
    findings: &mut Vec<Finding>,
) {
    if reach.is_local() {
        if let Ok(directories) = reach.directories() {
            files::kept(&directories, config, findings);
        }
        if let Some(config) = config {
            files::configured(config, reach.has_secrets_in_file(config), findings);
            exposure::configured(config, reach.in_container(), findings);
        }
        if let (Some(_), Ok(Some(endpoints))) = (client, reach.endpoints()) {
            process::look(&Path::new("/proc").join(endpoints.pid.to_string()), findings);
        }
    }
    if let Some(client) = client {
        exposure::of_daemon(client, findings).await;
    }
}

fn print(findings: &[Finding], output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        findings.iter().try_for_each(|finding| output.json(finding))?;
        return Ok(());
    }
    let mut table = Table::new(["STATUS", "CHECK", "FINDING", "WHAT TO DO"]);
    for finding in findings {
        table.row([
            finding.status.as_str().to_owned(),
            finding.check.clone(),
            finding.finding.clone(),
            finding.advice.clone().unwrap_or_default(),
        ]);
    }
    Ok(output.table(&table)?)
}
