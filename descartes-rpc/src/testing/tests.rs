//! The suite passes over the in-memory transport and notices broken ones.

mod broken;

use std::sync::Arc;

use descartes_core::{Descartes, testing::FakeRunner};

use super::{InMemory, conformance};
use crate::service::Rpc;

async fn in_memory() -> InMemory {
    let runner = Arc::new(FakeRunner::echo());
    let descartes = Descartes::builder().runner(runner).build().await.unwrap();
    InMemory::new(Rpc::builder(descartes).build())
}

#[tokio::test(start_paused = true)]
async fn the_in_memory_transport_passes_every_case() {
    let report = conformance::run(&in_memory().await).await;
    report.assert_passed();
    let skipped = report.outcomes().count() - report.passed();
    assert_eq!(skipped, 0, "{report}");
}
