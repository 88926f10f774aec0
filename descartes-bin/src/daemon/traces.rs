//! Traces of what agents and calls do, where this build and the environment have them.

use descartes_core::Builder;
use descartes_rpc::service::RpcBuilder;

use crate::config::Surroundings;
#[cfg(feature = "otel")]
use crate::otel;

/// Spans for a collector, if there is one.
pub(super) struct Traces {
    #[cfg(feature = "otel")]
    collected: Option<otel::Traces>,
}

#[cfg(feature = "otel")]
impl Traces {
    /// Begins as the environment says.
    pub(super) fn begin(surroundings: &Surroundings) -> Self {
        Self { collected: otel::Traces::begin(surroundings) }
    }

    /// The agents tell of themselves.
    pub(super) fn of_agents(&self, builder: Builder) -> Builder {
        match &self.collected {
            Some(collected) => builder.tracer(collected.tracer()),
            None => builder,
        }
    }

    /// So do calls.
    pub(super) fn of_calls(&self, builder: RpcBuilder) -> RpcBuilder {
        match &self.collected {
            Some(collected) => builder.tracer(collected.call_tracer()),
            None => builder,
        }
    }

    /// Sends what waits, for a moment.
    pub(super) async fn end(&self) {
        if let Some(collected) = &self.collected {
            collected.end().await;
        }
    }
}

#[cfg(not(feature = "otel"))]
#[expect(clippy::unused_self, reason = "there are none without the feature")]
impl Traces {
    /// There are none; whoever wants some is told.
    pub(super) fn begin(surroundings: &Surroundings) -> Self {
        let asked = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
        let asked = asked.into_iter().find(|name| surroundings.var(name).is_some());
        if let Some(asked) = asked {
            tracing::warn!("{asked} is set, and this daemon was built without the feature `otel`");
        }
        Self {}
    }

    pub(super) fn of_agents(&self, builder: Builder) -> Builder {
        builder
    }

    pub(super) fn of_calls(&self, builder: RpcBuilder) -> RpcBuilder {
        builder
    }

    pub(super) async fn end(&self) {}
}
