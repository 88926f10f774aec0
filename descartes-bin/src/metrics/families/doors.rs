//! Who comes, who is refused, and who is not believed.

use descartes_rpc::meter::Meter;

use super::super::text::{Kind, Text};

/// The transports of this build, as connections are counted.
const TRANSPORTS: &[&str] = &[
    #[cfg(feature = "http")]
    "http",
    #[cfg(feature = "http")]
    "ws",
    #[cfg(feature = "unix")]
    "unix",
    #[cfg(feature = "zmq")]
    "zmq",
    #[cfg(feature = "zmq")]
    descartes_rpc::router::PUBLISHER,
];

pub(super) fn write(meter: &Meter, text: &mut Text) {
    let arrivals = meter.arrivals();
    let of = |transport: &str| arrivals.get(transport).copied().unwrap_or_default();
    let name = "connections_total";
    text.family(name, Kind::Counter, "Connections that were let in, by what they became.");
    for transport in TRANSPORTS {
        text.sample(name, &[("transport", transport)], of(transport).total);
    }
    let name = "connections_active";
    text.family(name, Kind::Gauge, "Connections that are there, by transport.");
    for transport in TRANSPORTS {
        text.sample(name, &[("transport", transport)], of(transport).active);
    }
    let name = "requests_rejected_total";
    let help = "Calls, requests and connections that were refused, by the reason.";
    text.family(name, Kind::Counter, help);
    for (reason, count) in meter.rejections() {
        text.sample(name, &[("reason", reason.as_str())], count);
    }
    let name = "auth_failures_total";
    text.family(name, Kind::Counter, "Callers that were not believed, by the reason.");
    for (reason, count) in meter.auth_failures() {
        text.sample(name, &[("reason", reason.as_str())], count);
    }
}
