//! What the environment says of traces: the variables of OpenTelemetry
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>,
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::Sampler;

use crate::config::Surroundings;

/// What is sent to, in variables that are for traces alone and in those for everything.
const ENDPOINT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const CERTIFICATE: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];

/// How long one attempt to send may take when nobody says (the default of the specification).
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that it may be told to take: what has ended meanwhile waits in a bounded queue.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The service that spans are of when nobody says.
const SERVICE: &str = "descartes-daemon";

/// How and where spans are sent.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) endpoint: Uri,
    /// Sent with each request. Values are secrets.
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    /// Whose certificates are believed.
    pub(super) certificate: Option<PathBuf>,
    pub(super) sampler: Sampler,
    /// What the spans are of.
    pub(super) resource: Vec<KeyValue>,
}

/// Why traces cannot be sent as the environment says. Values that may be secrets are not told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("{0} is no URL that begins with http:// or https://")]
    Endpoint(&'static str),
    #[error("{0} is not `name=value,…`, with values of which each octet may be written as %XX")]
    Pairs(&'static str),
    #[error("{0} is `{1}`: this build sends http/protobuf alone")]
    Protocol(&'static str, String),
    #[error("OTEL_TRACES_EXPORTER is `{0}`: this build knows otlp and none")]
    Exporter(String),
}

impl Settings {
    /// Reads the environment; none where it names no collector, or says that there are no traces.
    pub(super) fn read(surroundings: &Surroundings) -> Result<Option<Self>, SettingsError> {
        let disabled = surroundings.var("OTEL_SDK_DISABLED");
        if disabled.is_some_and(|said| said.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let Some(endpoint) = endpoint(surroundings)? else { return Ok(None) };
        match surroundings.var("OTEL_TRACES_EXPORTER") {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(SettingsError::Exporter(other.to_owned())),
        }
        if let Some((name, said)) = first(surroundings, PROTOCOL)
            && said != "http/protobuf"
        {
            return Err(SettingsError::Protocol(name, said.to_owned()));
        }
        Ok(Some(Self {
            endpoint,
            headers: headers(surroundings)?,
            timeout: timeout(surroundings),
            certificate: first(surroundings, CERTIFICATE).map(|(_, path)| path.into()),
            sampler: sampler(surroundings),
            resource: resource(surroundings)?,
        }))
    }
}

/// The first that is set.
fn first<'a>(
    surroundings: &'a Surroundings,
    names: [&'static str; 2],
) -> Option<(&'static str, &'a str)> {
    names.into_iter().find_map(|name| Some((name, surroundings.var(name)?)))
}

/// Where traces go: the one of traces as it stands, the one of everything with their path behind.
fn endpoint(surroundings: &Surroundings) -> Result<Option<Uri>, SettingsError> {
    let Some((name, said)) = first(surroundings, ENDPOINT) else { return Ok(None) };
    let said = said.trim();
    let url = if name == ENDPOINT[0] {
        said.to_owned()
    } else {
        format!("{}/v1/traces", said.trim_end_matches('/'))
    };
    let uri: Option<Uri> = url.parse().ok();
    let uri = uri.filter(|uri| {
        uri.authority().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    uri.map(Some).ok_or(SettingsError::Endpoint(name))
}

fn headers(surroundings: &Surroundings) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::new();
    let Some((name, said)) = first(surroundings, HEADERS) else { return Ok(headers) };
    let wrong = || SettingsError::Pairs(name);
    for pair in pairs(said) {
        let (field, value) = pair.ok_or_else(wrong)?;
        let field = HeaderName::try_from(field).ok().ok_or_else(wrong)?;
        let mut value = HeaderValue::try_from(value).ok().ok_or_else(wrong)?;
        value.set_sensitive(true);
        headers.insert(field, value);
    }
    Ok(headers)
}

fn timeout(surroundings: &Surroundings) -> Duration {
    let said = first(surroundings, TIMEOUT).and_then(|(_, said)| said.trim().parse().ok());
    let said = said.filter(|millis| *millis > 0).map(Duration::from_millis);
    said.unwrap_or(USUAL_TIMEOUT).min(LONGEST_TIMEOUT)
}

/// Which traces are kept. What is not known is said, and is as good as not said, as the specification
/// wants it.
fn sampler(surroundings: &Surroundings) -> Sampler {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
    let said = surroundings.var(NAME).unwrap_or("parentbased_always_on");
    let (kind, by_parent) =
        said.strip_prefix("parentbased_").map_or((said, false), |kind| (kind, true));
    let root = match kind {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => {
            let ratio = surroundings.var(ARGUMENT).and_then(|ratio| ratio.trim().parse().ok());
            let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
            if ratio.is_none() {
                tracing::warn!("{ARGUMENT} is no number from 0 to 1: every trace is kept");
            }
            Sampler::TraceIdRatioBased(ratio.unwrap_or(1.0))
        }
        _ => {
            tracing::warn!(said, "{NAME} is not known here: every trace is kept");
            return Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
        }
    };
    if by_parent { Sampler::ParentBased(Box::new(root)) } else { root }
}

/// What the spans are of: what is said, and the name of the service.
fn resource(surroundings: &Surroundings) -> Result<Vec<KeyValue>, SettingsError> {
    const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let mut attributes = vec![KeyValue::new("service.name", SERVICE)];
    for pair in pairs(surroundings.var(ATTRIBUTES).unwrap_or_default()) {
        let (name, value) = pair.ok_or(SettingsError::Pairs(ATTRIBUTES))?;
        attributes.push(KeyValue::new(name, value));
    }
    // The last one of a name counts.
    attributes.extend(
        surroundings
            .var("OTEL_SERVICE_NAME")
            .map(|name| KeyValue::new("service.name", name.to_owned())),
    );
    Ok(attributes)
}

/// Pairs as W3C Baggage writes them; none for what is no pair.
fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    members.map(|member| {
        let (name, value) = member.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then_some(())?;
        Some((decoded(name)?, decoded(value.trim())?))
    })
}

/// The text with what is written as `%XX` put in its place.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
        Settings::read(&Surroundings::with(env))
    }

    fn with(more: &[(&str, &str)]) -> Settings {
        let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        let read = read(&[&[collector], more].concat());
        read.expect("it is fine").expect("there is a collector")
    }

    #[test]
    fn without_a_collector_there_are_no_traces() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        for env in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "x")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[endpoint, ("OTEL_SDK_DISABLED", "TRUE")],
            &[endpoint, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert!(read(env).expect("it is fine").is_none(), "{env:?}");
        }
    }

    #[test]
    fn traces_go_to_their_own_endpoint_or_below_that_of_everything() {
        let all = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        for (env, expected) in [
            (&[(all, "http://a:4318")][..], "http://a:4318/v1/traces"),
            (&[(all, "https://a/otel/")], "https://a/otel/v1/traces"),
            (&[(all, "http://a"), (traces, "http://b/in")], "http://b/in"),
            (&[(traces, "http://[::1]:7")], "http://[::1]:7/"),
        ] {
            let settings = read(env).expect("it is fine").expect("there is a collector");
            assert_eq!(settings.endpoint.to_string(), expected, "{env:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named_without_its_secrets() {
        const CANARY: &str = "canary-7b1f";
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        let url = format!("ftp://me:{CANARY}@localhost");
        let header = format!("authorization={CANARY}%zz");
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", &header),
            ("OTEL_EXPORTER_OTLP_HEADERS", CANARY),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_RESOURCE_ATTRIBUTES", CANARY),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
        ] {
            let said = read(&[endpoint, (name, value)]).expect_err(name).to_string();
            assert!(said.contains(name), "{said}");
            assert!(!said.contains(CANARY), "{said}");
        }
    }

    #[test]
    fn fields_of_requests_are_read_and_shown_to_nobody() {
        let settings =
            with(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x%2Cy, a = b")]);
        assert_eq!(settings.headers["authorization"], "Bearer x,y");
        assert_eq!(settings.headers["a"], "b");
        assert!(!format!("{settings:?}").contains("Bearer"));
    }

    #[test]
    fn the_name_of_the_service_is_the_first_that_is_said() {
        let name = |more: &[(&str, &str)]| {
            let resource = with(more).resource;
            let mut named = resource.into_iter().filter(|it| it.key.as_str() == "service.name");
            named.next_back().expect("it has a name").value.to_string()
        };
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=two,team=a%2Cb");
        assert_eq!(name(&[]), SERVICE);
        assert_eq!(name(&[attributes]), "two");
        assert_eq!(name(&[attributes, ("OTEL_SERVICE_NAME", "three")]), "three");
    }

    #[test]
    fn samplers_are_those_of_the_specification() {
        for (said, argument, expected) in [
            ("always_on", "", "AlwaysOn"),
            ("always_off", "", "AlwaysOff"),
            ("traceidratio", "0.25", "TraceIdRatioBased(0.25)"),
            ("traceidratio", "7", "TraceIdRatioBased(1.0)"),
            ("parentbased_always_off", "", "ParentBased(AlwaysOff)"),
            ("parentbased_traceidratio", "0.5", "ParentBased(TraceIdRatioBased(0.5))"),
            ("xray", "", "ParentBased(AlwaysOn)"),
            ("", "", "ParentBased(AlwaysOn)"),
        ] {
            let env = [("OTEL_TRACES_SAMPLER", said), ("OTEL_TRACES_SAMPLER_ARG", argument)];
            assert_eq!(format!("{:?}", with(&env).sampler), expected, "{said}");
        }
    }

    #[test]
    fn a_wait_for_the_collector_has_a_bound() {
        for (said, expected) in [("", 10_000), ("250", 250), ("0", 10_000), ("9999999", 60_000)] {
            let settings = with(&[("OTEL_EXPORTER_OTLP_TIMEOUT", said)]);
            assert_eq!(settings.timeout, Duration::from_millis(expected), "{said}");
        }
    }
}
