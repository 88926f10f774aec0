//! Traces for a collector of OpenTelemetry: OTLP over HTTP, as protobuf.
//!
//! Spans are begun and ended by what happens to agents and calls ([`spans`]), not by scopes of
//! `tracing`: a turn begins in one task, is heard of in another and lives for an hour, and its span
//! must be known before the process that it is put into the environment of. So
//! `tracing-opentelemetry`, which makes a span of every scope, has nothing to do here. What has
//! ended waits in a bounded queue and is sent by one task of the runtime ([`export`]): the
//! processor of the SDK has a thread of its own that no asynchronous client works on, and the
//! exporter of `opentelemetry-otlp` reads the environment by itself and says what is wrong with it
//! by not being built. What is left to write is one `POST` ([`collector`]).
//!
//! The names are those of the semantic conventions 1.41.0, the last version that has them for
//! generative AI in one place with all others.

mod collector;
mod export;
mod settings;
mod spans;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use descartes_core::trace::Tracer;
use descartes_rpc::tracer::CallTracer;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Surroundings;
use collector::Collector;
use export::{Exporter, Lost};
use settings::Settings;
use spans::Spans;

/// How long what waits may take to be sent when the daemon ends. It comes after everything else,
/// and a collector that does not answer costs no more.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Spans on their way to a collector.
pub(crate) struct Traces {
    spans: Arc<Spans>,
    /// Until it has ended.
    exporting: Mutex<Option<JoinHandle<()>>>,
    closing: CancellationToken,
    lost: Lost,
}

impl Traces {
    /// Begins as the environment says; none where it names no collector. Must be called in a runtime.
    ///
    /// What is wrong is said in the log, and costs the traces alone.
    pub(crate) fn begin(surroundings: &Surroundings) -> Option<Self> {
        let settings = match Settings::read(surroundings) {
            Ok(settings) => settings?,
            Err(error) => {
                tracing::error!(%error, "no traces are sent");
                return None;
            }
        };
        match Self::of(settings) {
            Ok(traces) => Some(traces),
            Err(error) => {
                tracing::error!(%error, "no traces are sent");
                None
            }
        }
    }

    fn of(settings: Settings) -> Result<Self, collector::CollectorError> {
        let resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attributes(settings.resource.clone())
            .build();
        let sampler = settings.sampler.clone();
        let collector = Collector::of(settings)?;
        tracing::info!(collector = %collector.place(), "traces are sent");
        let closing = CancellationToken::new();
        let lost = Lost::default();
        let (exporter, queue) =
            Exporter::new(collector, &resource, (closing.clone(), lost.clone()));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        let spans = Arc::new(Spans::new(provider.tracer_with_scope(spans::scope())));
        let exporting = Mutex::new(Some(tokio::spawn(exporter.work())));
        Ok(Self { spans, exporting, closing, lost })
    }

    /// Who is told of agents, turns and tools.
    pub(crate) fn tracer(&self) -> Arc<dyn Tracer> {
        Arc::clone(&self.spans) as Arc<dyn Tracer>
    }

    /// Who is told of calls.
    pub(crate) fn call_tracer(&self) -> CallTracer {
        let spans = Arc::clone(&self.spans);
        Arc::new(move |called, parent| spans.call(called, parent))
    }

    /// Sends what waits, for a moment.
    pub(crate) async fn end(&self) {
        self.closing.cancel();
        let exporting = self.exporting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut exporting) = exporting else { return };
        if tokio::time::timeout(LAST_SPANS, &mut exporting).await.is_err() {
            exporting.abort();
            tracing::warn!("the collector did not take the last spans in time");
        }
        self.lost.sum_up();
    }
}
