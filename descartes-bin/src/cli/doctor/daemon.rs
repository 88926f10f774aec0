//! The daemon: whether it is there, how it is, and where it listens.

use descartes_rpc::client::{Client, ClientError};
use descartes_rpc::wire::system::{Health, HealthStatus, Info, NoParams, TransportInfo};

use super::finding::{Finding, Grade};
use crate::cli::failure::{Failure, START_HINT};
use crate::cli::reach::Reach;

/// The version of this program, and of daemons of its kind.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A daemon that answers.
pub(super) struct Seen {
    pub(super) client: Client,
    /// What it says of itself, to those whom it lets in.
    pub(super) info: Option<Info>,
}

/// Looks at the daemon, if it answers.
pub(super) async fn look(reach: &Reach, findings: &mut Vec<Finding>) -> Option<Seen> {
    let check = "daemon";
    let client = match reach.connect() {
        Ok(client) => client,
        Err(Failure::NoDaemon { .. }) => {
            findings.push(Finding::new(Grade::Note, check, "none is running", START_HINT));
            return None;
        }
        Err(failure) => {
            let advice = "remove what is in the way, then start the daemon";
            findings.push(Finding::new(Grade::Broken, check, failure.to_string(), advice));
            return None;
        }
    };
    match client.system_health(NoParams {}).await {
        Ok(health) => {
            findings.extend(healths(&health));
            let info = match client.system_info(NoParams {}).await {
                Ok(info) => {
                    findings.extend(listens(&info.transports));
                    Some(info)
                }
                Err(error) => {
                    let (finding, advice) = (error.to_string(), "check whether it lets you in");
                    findings.push(Finding::new(Grade::Broken, "endpoints", finding, advice));
                    None
                }
            };
            Some(Seen { client, info })
        }
        Err(ClientError::Unreachable { .. } | ClientError::ConnectionLost { .. })
            if reach.is_local() =>
        {
            let finding = "none is running; one that was killed left its endpoints.json behind";
            findings.push(Finding::new(Grade::Note, check, finding, START_HINT));
            None
        }
        Err(error) => {
            let advice = "check its address, and whether it lets you in";
            findings.push(Finding::new(Grade::Broken, check, error.to_string(), advice));
            None
        }
    }
}

fn healths(health: &Health) -> Vec<Finding> {
    let Health { version, api_version, status, .. } = health;
    let is = format!("{status}, version {version}, API {api_version}");
    let mut findings = vec![match status {
        HealthStatus::Healthy => Finding::ok("daemon", is),
        HealthStatus::Draining => {
            let advice = "it is about to stop: start another when it has";
            Finding::new(Grade::Warning, "daemon", is, advice)
        }
        _ => {
            let finding = format!("{is}: {}", health.reasons.join("; "));
            let advice = "its log says more; it mends itself when the cause has gone";
            Finding::new(Grade::Broken, "daemon", finding, advice)
        }
    }];
    if version != VERSION {
        let finding = format!("the daemon is {version}, this program is {VERSION}");
        let advice = "start the daemon anew: `descartes daemon restart`";
        findings.push(Finding::new(Grade::Warning, "version", finding, advice));
    }
    findings
}

/// Where it listens, and where it could not.
fn listens(transports: &[TransportInfo]) -> Vec<Finding> {
    let each = transports.iter().map(|transport| {
        let check = format!("endpoint {}", transport.name);
        match (transport.error.clone(), transport.address.clone()) {
            (Some(error), _) => {
                let advice = "end who listens there, or choose another port, and start it anew";
                Finding::new(Grade::Warning, check, error, advice)
            }
            (None, address) => Finding::ok(check, address.unwrap_or_default()),
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_version_and_a_trouble_are_told_with_what_to_do() {
        let health = |status: &str, version: &str| -> Vec<Grade> {
            let health = json!({
                "status": status, "reasons": ["storage_full"], "version": version,
                "api_version": "1.0", "uptime_secs": 1, "timestamp": "2026-11-21T12:00:00.000Z",
            });
            let health = serde_json::from_value(health).expect("a health");
            let findings = healths(&health);
            let advised =
                |finding: &Finding| finding.status == Grade::Ok || finding.advice.is_some();
            assert!(findings.iter().all(advised), "{findings:?}");
            findings.iter().map(|finding| finding.status).collect()
        };
        assert_eq!(health("healthy", VERSION), [Grade::Ok]);
        assert_eq!(health("healthy", "0.0.0"), [Grade::Ok, Grade::Warning]);
        assert_eq!(health("degraded", VERSION), [Grade::Broken]);
        assert_eq!(health("draining", VERSION), [Grade::Warning]);
    }
}
