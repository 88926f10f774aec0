//! The suite passes over the in-memory transport and notices broken ones.

mod broken;
mod exchange;

use std::collections::BTreeSet;

use super::{InMemory, conformance, fake_host};
use crate::service::Rpc;

async fn in_memory() -> InMemory {
    InMemory::new(Rpc::builder(fake_host().await).build())
}

#[tokio::test(start_paused = true)]
async fn the_in_memory_transport_passes_every_case() {
    let report = conformance::run(&in_memory().await).await;
    report.assert_passed();
    let reasons: BTreeSet<_> = report.skipped().map(|(_, why)| why).collect();
    let expected = ["needs answers of their own", "this service does not count its connections"];
    assert!(reasons.iter().eq(&expected), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_case_is_run_alone_by_its_name_and_names_are_not_given_twice() {
    let names = conformance::names();
    let once: BTreeSet<_> = names.iter().collect();
    assert_eq!(once.len(), names.len());
    let wanted = "a waiting call is cancelled";
    let report = conformance::run_only(&in_memory().await, |name| name == wanted).await;
    let run: Vec<_> = report.outcomes().map(|(name, _)| name).collect();
    assert_eq!(run, [wanted]);
}

#[tokio::test(start_paused = true)]
async fn the_order_of_the_cases_does_not_matter() {
    let harness = in_memory().await;
    conformance::run_backwards(&harness).await.assert_passed();
    conformance::run(&harness).await.assert_passed();
}
