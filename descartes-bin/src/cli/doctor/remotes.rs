//! The remotes of the configuration: whether each is there, and lets this daemon in.

use std::time::Duration;

use descartes_rpc::wire::system::NoParams;

use super::finding::{Finding, Grade};
use crate::cli::reach::of_remote;
use crate::config::{Config, Remote};

/// How long a remote may take to answer: somebody waits for the whole list.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks every remote.
pub(super) async fn look(config: &Config, findings: &mut Vec<Finding>) {
    for (name, remote) in &config.remotes {
        let check = format!("remote {name}");
        findings.push(match known_as(name, remote).await {
            Ok(principal) => Finding::ok(check, format!("lets us in as {principal}")),
            Err(error) => {
                let advice = "start it, or give it a token that it knows (token_file)";
                Finding::new(Grade::Warning, check, error, advice)
            }
        });
    }
}

/// Who the remote takes us for.
async fn known_as(name: &str, remote: &Remote) -> Result<String, String> {
    let token = remote.token(name).map_err(|error| error.to_string())?;
    let endpoint = remote.endpoint.as_ref().expect("a remote without one is refused");
    let client = of_remote(&endpoint.0, token).map_err(|error| error.to_string())?;
    let asked = client.with_deadline(PATIENCE).auth_whoami(NoParams {}).await;
    let who = asked.map_err(|error| match error.kind() {
        descartes_rpc::error::ErrorKind::Unauthenticated => format!("unauthenticated: {error}"),
        _ => error.to_string(),
    })?;
    Ok(who.principal)
}
