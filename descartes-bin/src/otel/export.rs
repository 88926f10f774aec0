//! Spans that have ended, on their way to the collector: queued, sent by and by, dropped when they
//! are too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::collector::{Collector, NotTaken};

/// Spans that wait to be sent, as many as the specification proposes; below 4 MiB.
const QUEUED_SPANS: usize = 2048;
/// Spans of one request (likewise).
const BATCH_SPANS: usize = 512;
/// How long spans wait for more of them.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// How often the same spans are sent when the collector cannot take them for now.
const ATTEMPTS: u32 = 3;
/// The wait after the first attempt, twice as long after the second.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

/// How many spans were dropped of which nobody was told yet. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<AtomicU64>);

impl Lost {
    fn add(&self, spans: u64) {
        self.0.fetch_add(spans, Ordering::Relaxed);
    }

    /// Says how many they are, if there are some.
    pub(super) fn sum_up(&self) {
        let spans = self.0.swap(0, Ordering::Relaxed);
        if spans > 0 {
            tracing::warn!(spans, "were dropped");
        }
    }
}

/// Where spans that have ended are put; never waits.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    lost: Lost,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.lost.add(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// Whoever empties the queue is told by itself when it is to end.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends what is in the queue.
pub(super) struct Exporter {
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    spans: mpsc::Receiver<SpanData>,
    closing: CancellationToken,
    lost: Lost,
    /// What is lost is said once until spans are taken again.
    told: bool,
}

impl Exporter {
    /// One for `collector`, until `closing`, and where it is given spans.
    pub(super) fn new(
        collector: Collector,
        resource: &Resource,
        (closing, lost): (CancellationToken, Lost),
    ) -> (Self, Queue) {
        let (sender, spans) = mpsc::channel(QUEUED_SPANS);
        let queue = Queue { spans: sender, lost: lost.clone() };
        let resource = resource.into();
        (Self { collector, resource, spans, closing, lost, told: false }, queue)
    }

    /// Works until it is closed and nothing waits any more.
    pub(super) async fn work(mut self) {
        loop {
            let batch = self.batch().await;
            if batch.is_empty() {
                return;
            }
            self.send(batch).await;
        }
    }

    /// The next spans to send; nothing at the end.
    async fn batch(&mut self) -> Vec<SpanData> {
        let mut batch = Vec::new();
        let first = tokio::select! {
            biased;
            first = self.spans.recv() => first,
            () = self.closing.cancelled() => None,
        };
        let Some(first) = first else { return batch };
        batch.push(first);
        let end = tokio::time::Instant::now() + BATCH_WAIT;
        while batch.len() < BATCH_SPANS {
            let room = BATCH_SPANS - batch.len();
            let more = tokio::select! {
                biased;
                more = timeout_at(end, self.spans.recv_many(&mut batch, room)) => more,
                () = self.closing.cancelled() => return batch,
            };
            if !more.is_ok_and(|more| more > 0) {
                break;
            }
        }
        batch
    }

    /// Sends `batch`, again if the collector cannot take it for now; drops it else.
    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        match self.attempt(body).await {
            Ok(0) => self.works(),
            Ok(rejected) => self.lose(rejected, "it did not want all of them"),
            Err(error) => self.lose(count, error),
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<u64, NotTaken> {
        let mut wait = BETWEEN_ATTEMPTS;
        for _ in 1..ATTEMPTS {
            match self.collector.send(body.clone()).await {
                Err(error) if error.may_pass() && !self.closing.is_cancelled() => {
                    tracing::debug!(%error, "spans are sent again");
                }
                sent => return sent,
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.closing.cancelled() => {}
            }
            wait *= 2;
        }
        self.collector.send(body).await
    }

    fn lose(&mut self, count: u64, why: impl std::fmt::Display) {
        self.lost.add(count);
        if !self.told {
            self.told = true;
            tracing::warn!(collector = %self.collector.place(), %why, "spans are dropped");
        }
    }

    /// Spans are taken: how many were not before is known now.
    fn works(&mut self) {
        self.told = false;
        self.lost.sum_up();
    }
}
