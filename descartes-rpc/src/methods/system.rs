//! `system.*`

use std::collections::BTreeMap;

use descartes_core::Descartes;
use descartes_core::event::TopicFilter;
use descartes_core::journal::{After, ReadRequest, SubscribeRequest};

use crate::error::RpcError;
use crate::idempotency::Effect;
use crate::limits;
use crate::openrpc::API_VERSION;
use crate::router::{Call, ShutdownRequest};
use crate::wire::duration::Secs;
use crate::wire::encode;
use crate::wire::system as wire;

/// `system.health`
#[expect(clippy::unnecessary_wraps, reason = "every method of the table is called the same way")]
pub(crate) fn health(call: &Call, _: &wire::NoParams) -> Result<wire::Health, RpcError> {
    let health = call.descartes().health();
    Ok(wire::Health {
        status: wire::HealthStatus::from_word(health.status.as_str()),
        reasons: health.reasons.iter().map(|reason| reason.as_ref().to_owned()).collect(),
        version: call.host.about.version.as_ref().to_owned(),
        api_version: API_VERSION.to_owned(),
        uptime_secs: health.uptime.as_secs(),
        timestamp: encode::stamp(health.at),
    })
}

/// `system.ready`
#[expect(clippy::unnecessary_wraps, reason = "every method of the table is called the same way")]
pub(crate) fn ready(call: &Call, _: &wire::NoParams) -> Result<wire::Ready, RpcError> {
    let descartes = call.descartes();
    let store = descartes.journal().trouble().map(|trouble| trouble.reason.as_ref().to_owned());
    let stays = descartes.is_draining().then(|| "the daemon is about to stop".to_owned());
    let ready = store.is_none() && stays.is_none();
    let ok = || "ok".to_owned();
    let checks = [("store", store.unwrap_or_else(ok)), ("accepting", stays.unwrap_or_else(ok))];
    let checks = checks.into_iter().map(|(name, check)| (name.to_owned(), check)).collect();
    Ok(wire::Ready { ready, checks })
}

/// `system.metrics`
pub(crate) async fn metrics(call: Call, _: wire::NoParams) -> Result<wire::Metrics, RpcError> {
    let descartes = call.descartes();
    let (counts, health) = (descartes.counts(), descartes.health());
    let measured = call.host.about.usage.as_ref().map(|measure| measure());
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Ok(wire::Metrics {
        agents: wire::AgentCounts {
            total: number(counts.total),
            running: number(counts.running),
            paused: number(counts.paused),
            stopped: number(counts.stopped),
            failed: number(counts.failed),
        },
        system: wire::SystemUse {
            uptime_secs: health.uptime.as_secs(),
            ..measured.unwrap_or_default()
        },
        timestamp: encode::stamp(health.at),
    })
}

/// `system.info`
pub(crate) async fn info(call: Call, _: wire::NoParams) -> Result<wire::Info, RpcError> {
    let (descartes, about) = (call.descartes(), &call.host.about);
    let store = descartes.journal().store();
    let usage = store.usage();
    let mut retention = retention(descartes);
    retention.extend(about.retention.clone());
    let mut limits = limits(descartes);
    limits.extend(BTreeMap::clone(&about.limits.load()));
    let names = descartes.backend_names().into_iter().map(|name| name.as_ref().to_owned());
    Ok(wire::Info {
        version: about.version.as_ref().to_owned(),
        api_version: API_VERSION.to_owned(),
        instance: format!("{:08x}", store.identity().store),
        config_file: about.config_file.clone(),
        data_dir: about.data_dir.clone(),
        hosting: "in_process".to_owned(),
        agent_boundary: "tree".to_owned(),
        store: wire::StoreInfo {
            format: about.store.as_ref().to_owned(),
            bytes: Some(usage.bytes),
            free_bytes: usage.free_bytes,
            oldest: oldest(descartes).await?,
        },
        retention,
        limits,
        transports: about.transports.list(),
        features: about.features.clone(),
        backends: names.collect(),
    })
}

/// When the oldest event was seen that is still kept.
async fn oldest(descartes: &Descartes) -> Result<Option<String>, RpcError> {
    let everything = SubscribeRequest::new(vec![TopicFilter::All], After::Start);
    let mut first = ReadRequest::new(everything);
    first.limit = 1;
    let page = descartes.journal().read(first).await?;
    Ok(page.events.first().map(|event| encode::stamp(event.at)))
}

fn number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn named<const N: usize>(entries: [(&str, u64); N]) -> BTreeMap<String, u64> {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn days(age: std::time::Duration) -> u64 {
    age.as_secs() / (24 * 3600)
}

/// What is kept, by configuration key.
fn retention(descartes: &Descartes) -> BTreeMap<String, u64> {
    let settings = descartes.settings();
    let kept = &settings.retention;
    named([
        ("output_bytes_per_agent", kept.output_bytes_per_agent),
        ("output_bytes_total", kept.output_bytes_total),
        ("ended_agents", number(kept.ended_agents)),
        ("ended_agents_days", days(kept.ended_age)),
        ("chats_days", days(kept.chats_age)),
        ("chat_bytes", kept.chat_bytes),
        ("events_days", days(kept.events_age)),
        ("audit_days", days(kept.audit_age)),
    ])
}

/// Bounds, by configuration key.
fn limits(descartes: &Descartes) -> BTreeMap<String, u64> {
    let settings = descartes.settings();
    let core = &settings.limits;
    named([
        ("agents_running", number(core.agents_running)),
        ("hierarchy_depth", number(core.hierarchy_depth)),
        ("state_keys", number(core.state_keys)),
        ("state_value_bytes", number(core.state_value_bytes)),
        ("request_bytes", number(limits::REQUEST_BYTES)),
        ("batch_calls", number(limits::BATCH_CALLS)),
        ("json_depth", u64::from(limits::JSON_DEPTH)),
        ("calls_per_connection", number(limits::CALLS_PER_CONNECTION)),
        ("waits_per_connection", number(limits::WAITS_PER_CONNECTION)),
        ("subscriptions_per_connection", number(limits::SUBSCRIPTIONS_PER_CONNECTION)),
    ])
}

/// `system.shutdown`
pub(crate) async fn shutdown(
    effect: Effect,
    params: wire::ShutdownParams,
) -> (Effect, Result<wire::ShutdownAccepted, RpcError>) {
    let Some(stop) = effect.call.host.about.shutdown.clone() else {
        let blockers = vec!["the application that embeds this decides when it stops".to_owned()];
        return (effect, Ok(wire::ShutdownAccepted { accepted: false, blockers }));
    };
    let blockers = blockers(effect.descartes());
    stop(ShutdownRequest { timeout: params.timeout_secs.map(Secs::duration) });
    (effect, Ok(wire::ShutdownAccepted { accepted: true, blockers }))
}

/// `system.reload`
pub(crate) async fn reload(
    effect: Effect,
    _: wire::ReloadParams,
) -> (Effect, Result<wire::Reloaded, RpcError>) {
    let Some(reload) = effect.call.host.about.reload.clone() else {
        let message = "the application that embeds this has no configuration to read anew";
        return (effect, Ok(wire::Reloaded::unchanged(message)));
    };
    let reloaded = reload(effect.call.by()).await;
    (effect, Ok(reloaded))
}

/// What goes on until it has ended, in words for people.
fn blockers(descartes: &Descartes) -> Vec<String> {
    let live = descartes.counts();
    match live.running + live.paused {
        0 => Vec::new(),
        1 => vec!["1 live agent".to_owned()],
        live => vec![format!("{live} live agents")],
    }
}

/// `system.drain`
pub(crate) async fn drain(
    effect: Effect,
    params: wire::DrainParams,
) -> (Effect, Result<wire::DrainAccepted, RpcError>) {
    let descartes = effect.descartes();
    if params.on {
        descartes.drain().await;
    } else {
        descartes.resume_intake();
    }
    let blockers = blockers(descartes);
    (effect, Ok(wire::DrainAccepted { accepted: true, blockers }))
}
