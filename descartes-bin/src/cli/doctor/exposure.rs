//! Who can reach what, as it is configured.

use std::net::SocketAddr;

use descartes_rpc::client::Client;
use descartes_rpc::wire::agent::ListParams;
use descartes_rpc::wire::chat::ApprovalMode as ModeOfAgent;
use descartes_rpc::wire::system::{NoParams, TransportInfo};

use super::finding::{Finding, Grade};
use crate::cli::which;
use crate::config::{ApprovalMode, Config, FEATURES, Port};

/// A token that lasts longer is as good as a key.
const LONG_SECS: u64 = 31 * 24 * 3600;
/// Names that are told; of more only how many there are.
const TOLD: usize = 5;

/// What the configuration lets in. `contained`: whether this is a container.
pub(super) fn configured(config: &Config, contained: bool, findings: &mut Vec<Finding>) {
    doors(config, contained, findings);
    pages(config, findings);
    if let Some(group) = &config.server.unix_socket_group {
        let members = group.members().join(", ");
        let finding = format!("users of the group {} may connect: {members}", group.id);
        let advice = "see that these are whom you mean: `getent group`";
        findings.push(Finding::new(Grade::Note, "unix socket's group", finding, advice));
    }
    let auth = &config.auth;
    if auth.token_expiry_secs.0 > LONG_SECS {
        let finding = format!("tokens last {} days", auth.token_expiry_secs.0 / 86_400);
        let advice = "lower [auth] token_expiry_secs: whoever finds a token has it for as long";
        findings.push(Finding::new(Grade::Warning, "age of tokens", finding, advice));
    }
    if auth.api_key.is_some() || auth.api_key_file.is_some() {
        let finding = "the configured API key may do everything and never expires";
        let advice = "prefer `descartes key create --role … --expires-in …`";
        findings.push(Finding::new(Grade::Note, "API key", finding, advice));
    }
    if config.approvals.mode == ApprovalMode::AllowAll {
        let finding = "[approvals] mode = \"allow_all\": agents do what they like unless asked to";
        let advice = "set it to \"ask\", and allow_all for those chats alone that need it";
        findings.push(Finding::new(Grade::Warning, "approvals", finding, advice));
    }
}

/// The configuration with each port where the daemon says that it listens: flags say otherwise than
/// files.
pub(super) fn as_served(mut config: Config, transports: &[TransportInfo]) -> Config {
    let server = &mut config.server;
    for (name, address, port) in [
        ("http", &mut server.http_addr, &mut server.http_port),
        ("ws", &mut server.ws_addr, &mut server.ws_port),
        ("zmq", &mut server.zmq_addr, &mut server.zmq_port),
        ("pub", &mut server.pub_addr, &mut server.pub_port),
        ("metrics", &mut server.metrics_addr, &mut server.metrics_port),
    ] {
        let named = transports.iter().filter(|transport| transport.name == name);
        match named.filter_map(|transport| socket(transport.address.as_deref()?)).next() {
            Some(found) => (*address, *port) = (found.ip(), Port::Number(found.port())),
            None => *port = Port::Off,
        }
    }
    config
}

/// The socket of a URL; none where it is no port.
fn socket(url: &str) -> Option<SocketAddr> {
    url.split_once("://")?.1.split('/').next()?.parse().ok()
}

/// Each address, and who is served there.
fn doors(config: &Config, contained: bool, findings: &mut Vec<Finding>) {
    for door in config.server.ports() {
        let is_metrics = door.feature == crate::config::METRICS;
        let off = door.port == Port::Off || !FEATURES.contains(&door.feature);
        if off || is_metrics && !config.server.enable_metrics {
            continue;
        }
        let name = door.port_key.trim_end_matches("_port");
        let check = format!("who reaches {name}");
        let Port::Number(number) = door.port else { continue };
        let at = format!("{}:{number}", door.address);
        let beyond = !door.address.is_loopback();
        let encrypted = door.feature == "http" && config.server.tls_cert.is_some();
        findings.push(match () {
            () if is_metrics && config.server.metrics_public => {
                let finding = format!("{at}: numbers are for anyone who gets there");
                let advice = "turn [server] metrics_public off, or let only Prometheus get there";
                let grade = if beyond { Grade::Warning } else { Grade::Note };
                Finding::new(grade, check, finding, advice)
            }
            () if config.auth.enabled && beyond && encrypted => {
                Finding::ok(check, format!("{at}: other machines, over TLS, with a key or token"))
            }
            () if config.auth.enabled && beyond => {
                let finding = format!("{at}: other machines, with a key or token");
                let advice = "see that TLS is in front of it: credentials are readable on the way";
                Finding::new(Grade::Warning, check, finding, advice)
            }
            () if config.auth.enabled => {
                Finding::ok(check, format!("{at}: who has a key or token, on this machine"))
            }
            () if contained && config.auth.trust_loopback => {
                let finding = format!("{at}: every process that shares this container's network");
                let advice = "turn [auth] trust_loopback off: in a container it proves little";
                Finding::new(Grade::Warning, check, finding, advice)
            }
            () if contained => {
                Finding::ok(check, format!("{at}: nobody without credentials: it is a container"))
            }
            () => Finding::ok(check, format!("{at}: processes of this user, and root")),
        });
    }
}

/// Which pages of browsers are served beside those of this machine.
fn pages(config: &Config, findings: &mut Vec<Finding>) {
    let server = &config.server;
    let plain = |origin: &&String| {
        let host = origin.strip_prefix("http://");
        host.is_some_and(|host| !host.starts_with("localhost") && !host.starts_with("127."))
    };
    let plain: Vec<_> = server.allowed_origins.0.iter().filter(plain).cloned().collect();
    if !plain.is_empty() {
        let finding = format!("pages that came unencrypted may call: {}", plain.join(", "));
        let advice = "list their https:// origins instead: anyone on the way can change the others";
        findings.push(Finding::new(Grade::Warning, "allowed origins", finding, advice));
    } else if !server.allowed_origins.0.is_empty() {
        let finding = format!("pages of {} may call", server.allowed_origins.0.join(", "));
        let advice = "see that all of them are yours";
        findings.push(Finding::new(Grade::Note, "allowed origins", finding, advice));
    }
    if !server.allowed_hosts.0.is_empty() {
        let finding = format!("served under {}", server.allowed_hosts.0.join(", "));
        let advice = "see that all of them are yours, and resolve to this machine alone";
        findings.push(Finding::new(Grade::Note, "allowed hosts", finding, advice));
    }
}

/// What the daemon says of its keys and agents, as far as we may know.
pub(super) async fn of_daemon(client: &Client, findings: &mut Vec<Finding>) {
    if let Ok(list) = client.auth_key_list(NoParams {}).await {
        let lasting: Vec<_> =
            list.keys.into_iter().filter(|key| key.expires_at.is_none()).collect();
        let names = lasting.iter().map(|key| key.name.as_str());
        findings.extend(told(
            "keys",
            names,
            "never expire",
            "descartes key revoke ID, and make others with --expires-in",
        ));
    }
    let mut free = Vec::new();
    let listed = which::each(client, ListParams::default(), |agent| {
        if agent.config.approvals == Some(ModeOfAgent::AllowAll) {
            free.push(agent.name);
        }
    });
    if listed.await.is_ok() {
        let names = free.iter().map(String::as_str);
        findings.extend(told(
            "agents",
            names,
            "do what they like (allow_all)",
            "see that each is in a place where it can do no harm",
        ));
    }
}

/// A note about some of `check`, if there are any.
fn told<'a>(
    check: &str,
    names: impl ExactSizeIterator<Item = &'a str>,
    what: &str,
    advice: &str,
) -> Option<Finding> {
    let count = names.len();
    let names = names.take(TOLD).collect::<Vec<_>>().join(", ");
    let finding = format!("{count} {check} {what}: {names}");
    (count > 0).then(|| Finding::new(Grade::Note, check, finding, advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Group, Hosts, Origins, TokenAge};

    /// How bad each finding is, by its check.
    fn grades(contained: bool, change: impl FnOnce(&mut Config)) -> Vec<(String, Grade)> {
        let mut config = Config::default();
        change(&mut config);
        let mut findings = Vec::new();
        configured(&config, contained, &mut findings);
        for finding in &findings {
            assert_eq!(finding.advice.is_none(), finding.status == Grade::Ok, "{finding:?}");
        }
        findings.into_iter().map(|finding| (finding.check, finding.status)).collect()
    }

    #[track_caller]
    fn finds(grades: &[(String, Grade)], check: &str, grade: Grade) {
        assert!(grades.contains(&(check.to_owned(), grade)), "{check}: {grades:?}");
    }

    #[test]
    fn a_usual_set_up_is_fine() {
        for contained in [false, true] {
            let grades = grades(contained, |_| {});
            assert!(grades.iter().all(|(_, grade)| *grade == Grade::Ok), "{grades:?}");
        }
    }

    #[test]
    #[cfg(feature = "http")]
    fn each_address_says_who_gets_there() {
        let everywhere = |config: &mut Config| {
            config.auth.enabled = true;
            config.server.http_addr = [0, 0, 0, 0].into();
        };
        finds(&grades(false, everywhere), "who reaches http", Grade::Warning);
        let inside = |config: &mut Config| config.auth.trust_loopback = true;
        finds(&grades(true, inside), "who reaches http", Grade::Warning);
        finds(&grades(false, inside), "who reaches http", Grade::Ok);
    }

    #[test]
    fn of_a_daemon_that_runs_its_own_ports_are_told() {
        let served = [
            TransportInfo::listening("http", "http://127.0.0.1:81".to_owned()),
            TransportInfo::failed("ws", "taken".to_owned()),
            TransportInfo::listening("zmq", "ipc:///run/zmq.sock".to_owned()),
            TransportInfo::listening("zmq", "tcp://[::1]:82".to_owned()),
            TransportInfo::listening("metrics", "http://10.0.0.1:83/metrics".to_owned()),
        ];
        let served = as_served(Config::default(), &served).server;
        let told = [served.http(), served.ws(), served.zmq(), served.publisher(), served.metrics()];
        let socket = |text: &str| Some(text.parse().unwrap());
        let expected =
            [socket("127.0.0.1:81"), None, socket("[::1]:82"), None, socket("10.0.0.1:83")];
        assert_eq!(told, expected);
    }

    #[test]
    #[cfg(feature = "metrics")]
    fn numbers_for_anyone_are_told() {
        let public = |config: &mut Config| config.server.metrics_public = true;
        finds(&grades(false, public), "who reaches metrics", Grade::Note);
        let far = |config: &mut Config| {
            public(config);
            config.server.metrics_addr = [0, 0, 0, 0].into();
        };
        finds(&grades(false, far), "who reaches metrics", Grade::Warning);
    }

    #[test]
    fn what_lets_more_in_than_usual_is_told() {
        let found = grades(false, |config| {
            config.server.allowed_hosts = Hosts(vec!["a.example".to_owned()]);
            config.server.allowed_origins = Origins(vec!["http://a.example".to_owned()]);
            config.server.unix_socket_group = Group::of_number(0);
            config.auth.token_expiry_secs = TokenAge(LONG_SECS + 1);
            config.auth.api_key_file = Some("/k".into());
            config.approvals.mode = ApprovalMode::AllowAll;
        });
        for (check, grade) in [
            ("allowed hosts", Grade::Note),
            ("allowed origins", Grade::Warning),
            ("unix socket's group", Grade::Note),
            ("age of tokens", Grade::Warning),
            ("API key", Grade::Note),
            ("approvals", Grade::Warning),
        ] {
            finds(&found, check, grade);
        }
        let encrypted = grades(false, |config| {
            config.server.allowed_origins =
                Origins(["https://a.example", "http://localhost:3000"].map(str::to_owned).into());
        });
        finds(&encrypted, "allowed origins", Grade::Note);
    }

    #[test]
    fn only_some_names_are_told() {
        let names: Vec<_> = (0..9).map(|number| number.to_string()).collect();
        let found = told("keys", names.iter().map(String::as_str), "never expire", "do").unwrap();
        assert_eq!(found.finding, "9 keys never expire: 0, 1, 2, 3, 4");
        assert_eq!(told("keys", [].into_iter(), "never expire", "do"), None);
    }
}
