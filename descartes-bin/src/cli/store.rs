//! Commands on the store itself, beside the daemon or without one: `store check`, `store repair`,
//! `backup`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use descartes_core::store::{BackedUp, Repaired, SqliteStore, StoreReport};
use serde_json::json;

use super::failure::Failure;
use super::reach::Reach;
use crate::daemon::InstanceLock;
use crate::exit::Code;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Look at every byte and say what is damaged; changes nothing, exits with 1 if something is
    Check,
    /// Put a whole store of what is good in the place of a damaged one; the old files are kept
    Repair,
}

pub(super) fn run(
    command: &StoreCommand,
    reach: &Reach,
    output: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        StoreCommand::Check => check(reach, output),
        StoreCommand::Repair => repair(reach, output),
    }
}

/// Where the store and the values of `env` lie in a data directory.
struct Places {
    store: PathBuf,
    secrets: PathBuf,
}

impl Places {
    fn of(data: &Path) -> Self {
        Self { store: data.join("store"), secrets: data.join("secrets") }
    }
}

/// The data directory that is meant, if a store is there.
fn data(reach: &Reach) -> Result<PathBuf, Failure> {
    let data = reach.directories()?.data;
    let Places { store, .. } = Places::of(&data);
    let what = || format!("look at {}", store.display());
    match store.try_exists() {
        Ok(true) => Ok(data),
        Ok(false) => Err(Failure::NoStore { path: store }),
        Err(source) => Err(Failure::Local { what: what(), source }),
    }
}

/// The same, while no daemon has it and none can begin.
fn alone(reach: &Reach) -> Result<(Places, InstanceLock), Failure> {
    let data = data(reach)?;
    let lock = InstanceLock::look(&data)?;
    Ok((Places::of(&data), lock))
}

fn check(reach: &Reach, output: &Output) -> Result<ExitCode, Failure> {
    let (places, _lock) = alone(reach)?;
    let report = SqliteStore::check(&places.store, Some(&places.secrets))?;
    let damages = report.damages.iter();
    let damages: Vec<_> =
        damages.map(|damage| json!({ "place": damage.place, "what": damage.what })).collect();
    let result = json!({
        "whole": report.is_whole(),
        "format": report.format,
        "documents": report.documents,
        "topics": report.topics,
        "events": report.events,
        "payload_bytes": report.payload_bytes,
        "damages": damages,
        "more_damages": report.more_damages,
        "notes": report.notes,
    });
    output.result(&result, || told(&report, &places.store))?;
    Ok(if report.is_whole() { Code::Done } else { Code::Failed }.into())
}

fn told(report: &StoreReport, store: &Path) -> String {
    let mut lines = vec![format!(
        "{}: format {}, {} documents, {} topics, {} events, {} bytes of payloads",
        store.display(),
        report.format,
        report.documents,
        report.topics,
        report.events,
        report.payload_bytes,
    )];
    let damages = report.damages.iter();
    lines.extend(damages.map(|damage| format!("damaged: {}: {}", damage.place, damage.what)));
    if report.more_damages > 0 {
        lines.push(format!("damaged: {} more", report.more_damages));
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.push(if report.is_whole() {
        "nothing is damaged".to_owned()
    } else {
        "`descartes store repair` keeps what is good, and the old files".to_owned()
    });
    lines.join("\n")
}

fn repair(reach: &Reach, output: &Output) -> Result<ExitCode, Failure> {
    let (places, _lock) = alone(reach)?;
    let repaired = SqliteStore::repair(&places.store)?;
    let result = json!({
        "old": repaired.old,
        "epoch": repaired.epoch,
        "documents": repaired.documents,
        "events": repaired.events,
        "lost": repaired.lost,
        "more_lost": repaired.more_lost,
    });
    output.result(&result, || mended(&repaired))?;
    Ok(Code::Done.into())
}

fn mended(repaired: &Repaired) -> String {
    let mut lines: Vec<_> = repaired.lost.iter().map(|what| format!("lost: {what}")).collect();
    if repaired.more_lost > 0 {
        lines.push(format!("lost: {} more", repaired.more_lost));
    }
    if lines.is_empty() {
        lines.push("nothing was lost".to_owned());
    }
    lines.push(format!(
        "kept: {} documents, {} events; epoch {} begins",
        repaired.documents, repaired.events, repaired.epoch,
    ));
    lines.push(format!("the old files are in {}", repaired.old.display()));
    lines.join("\n")
}

/// Copies the store into a data directory of its own, whether a daemon runs or not.
pub(super) fn backup(reach: &Reach, to: &Path, output: &Output) -> Result<ExitCode, Failure> {
    let from = Places::of(&data(reach)?).store;
    let used = |source| Failure::Local { what: format!("use {}", to.display()), source };
    let to = std::path::absolute(to).map_err(used)?;
    let BackedUp { documents, events, bytes, .. } =
        SqliteStore::backup(from, Places::of(&to).store)?;
    let result = json!({ "backup": to, "documents": documents, "events": events, "bytes": bytes });
    output.result(&result, || {
        let to = to.display();
        format!("{to}: {documents} documents, {events} events, {bytes} bytes; no secrets")
    })?;
    Ok(Code::Done.into())
}
