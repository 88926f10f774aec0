//! Makes a whole store of what is good in a damaged one.
//!
//! The new one is written beside the old one and takes its place at the end; the old one stays under
//! another name. Segment files are shared by both, which is safe because the new store appends only
//! to files of its own.

mod cells;
mod documents;
mod events;
mod free;
mod pages;
mod salvage;
mod topics;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::check::{self, StoreReport};
use super::failure::Failure;
use super::open::{OpenError, add_epoch, boot_id, io_error, lock, open_error, set_meta};
use super::sums::EPOCHS;
use super::topics::TopicRow;
use super::witness::{Seen, Witness};
use super::{connection, open, schema};
use crate::event::Topic;

use self::topics::Saved;

/// Losses that are named; more are counted.
const NAMED_LOSSES: usize = 1000;
/// What a new epoch is ahead of the known ones when some of those could not be read.
const UNKNOWN_EPOCHS: u32 = 1000;

/// What a repair kept, and what it could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// Where the store lies as it was before.
    pub old: PathBuf,
    /// The epoch that begins.
    pub epoch: u32,
    /// Documents that were kept.
    pub documents: u64,
    /// Events that were kept.
    pub events: u64,
    /// What was lost: the first thousand things.
    pub lost: Vec<String>,
    /// How many things were lost beyond those.
    pub more_lost: u64,
}

impl Repaired {
    fn lose(&mut self, what: impl Into<String>) {
        if self.lost.len() < NAMED_LOSSES {
            self.lost.push(what.into());
        } else {
            self.more_lost += 1;
        }
    }
}

/// From where to where.
struct Work<'a> {
    /// The damaged database; none when it cannot be opened at all.
    from: Option<Connection>,
    from_dir: &'a Path,
    to: Connection,
    to_dir: &'a Path,
    seen: Option<Seen>,
    /// Names of topics by their number, where their rows may be missing.
    names: HashMap<i64, String>,
}

/// Puts a whole store in the place of the one in `dir`.
pub(super) fn repair(dir: &Path) -> Result<Repaired, OpenError> {
    let database = dir.join(connection::DATABASE);
    database.metadata().map_err(|source| io_error(&database, source))?;
    let _lock = lock(dir)?;
    let from = match check::look(dir, &mut StoreReport::default()) {
        Ok(conn) => conn,
        Err(error @ (OpenError::TooNew { .. } | OpenError::Older { .. })) => return Err(error),
        Err(_) => None,
    };
    let new = beside(dir, "repaired");
    let made = || -> std::io::Result<()> {
        // Left behind by a repair that was interrupted.
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        open::private_folder(&new)
    };
    made().map_err(|source| io_error(&new, source))?;
    let _new_lock = lock(&new)?;
    drop(open::private_file(&new.join(connection::DATABASE)));
    let failed = |failure: Failure| open_error(&new, failure);
    let to = connection::first(&new).map_err(|error| failed(error.into()))?;
    let seen = Seen::read(dir);
    let mut repaired = Repaired::default();
    let (from, aside, names) = reach(dir, &new, from, &mut repaired)?;
    let work = Work { from, from_dir: dir, to, to_dir: &new, seen, names };
    work.run(&mut repaired).map_err(failed)?;
    drop(work);
    if let Some(folder) = aside {
        fs::remove_dir_all(&folder).map_err(|source| io_error(&folder, source))?;
    }
    swap(dir, &new, &mut repaired)?;
    Ok(repaired)
}

/// What rows are read from, the folder that it is in, and names of topics.
type Reached = (Option<Connection>, Option<PathBuf>, HashMap<i64, String>);

/// What rows are read from: the database, or what was found in its pages where SQLite does not get
/// to all of them.
fn reach(
    dir: &Path,
    new: &Path,
    from: Option<Connection>,
    repaired: &mut Repaired,
) -> Result<Reached, OpenError> {
    if from.as_ref().is_some_and(|conn| !salvage::is_needed(conn)) {
        return Ok((from, None, HashMap::new()));
    }
    match salvage::rows(dir, new).map_err(|failure| open_error(new, failure))? {
        Some(found) => {
            repaired.lose("whatever was in pages of the database that cannot be read");
            Ok((Some(found.conn), Some(found.folder), found.names))
        }
        None if from.is_none() && salvage::version(dir) == Some(1) => {
            let path = dir.to_owned();
            Err(OpenError::Older { path, found: 1, known: schema::VERSION })
        }
        None => Ok((from, None, HashMap::new())),
    }
}

fn beside(dir: &Path, word: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(word);
    dir.with_file_name(name)
}

fn swap(dir: &Path, new: &Path, repaired: &mut Repaired) -> Result<(), OpenError> {
    let free = (1_u32..).map(|number| beside(dir, &format!("damaged-{number}")));
    let old = free.into_iter().find(|path| !path.exists()).unwrap_or_default();
    fs::rename(dir, &old).map_err(|source| io_error(dir, source))?;
    fs::rename(new, dir).map_err(|source| io_error(new, source))?;
    repaired.old = old;
    Ok(())
}

impl Work<'_> {
    fn run(&self, repaired: &mut Repaired) -> Result<(), Failure> {
        self.to.execute_batch("BEGIN IMMEDIATE")?;
        schema::create(&self.to)?;
        let journal = self.journal();
        let head = self.head(journal.as_ref());
        let mut saved = Saved::of(self, repaired);
        events::save(self, &mut saved, head, repaired)?;
        saved.write(self, head, repaired)?;
        documents::save(self, &saved, repaired)?;
        self.identity(journal, head, repaired)?;
        self.to.execute_batch("COMMIT; PRAGMA synchronous = FULL")?;
        let mut fold = self.to.prepare("PRAGMA wal_checkpoint(TRUNCATE)")?;
        fold.query_row([], |row| row.get::<_, i64>(0))?;
        Ok(())
    }

    fn journal(&self) -> Option<TopicRow> {
        TopicRow::journal(self.from.as_ref()?).ok()
    }

    /// How far the journal went, as far as anything that is whole says.
    fn head(&self, journal: Option<&TopicRow>) -> u64 {
        let counted = journal.map_or(0, |journal| journal.last_seq);
        counted.max(self.seen.map_or(0, |seen| seen.head)).max(events::highest(self))
    }

    /// Which store it is, its epochs, and how many commits it had.
    fn identity(
        &self,
        journal: Option<TopicRow>,
        head: u64,
        repaired: &mut Repaired,
    ) -> Result<(), Failure> {
        let from = self.from.as_ref();
        let number = from.and_then(|conn| open::meta(conn, "store").ok()?);
        let number = number.and_then(|number| number.parse().ok());
        let number = number.or(self.seen.map(|seen| seen.store));
        let store = number.unwrap_or_else(|| {
            repaired.lose("which store it was: cursors of before belong to another one now");
            uuid::Uuid::new_v4().as_u128() as u32
        });
        set_meta(&self.to, "store", &store.to_string())?;
        if let Some(instance) = from.and_then(|conn| open::meta(conn, "instance").ok()?) {
            set_meta(&self.to, "instance", &instance)?;
        }
        set_meta(&self.to, "clean", "0")?;
        set_meta(&self.to, "boot", &boot_id())?;
        repaired.epoch = self.epochs(head)?;
        let mut row = TopicRow::new(0, Topic::new(""));
        let counted = journal.map_or(0, |journal| journal.next_off);
        let commits = counted.max(self.seen.map_or(0, |seen| seen.commits)) + 1;
        (row.last_seq, row.next_off) = (head, commits);
        row.count(&self.to)?;
        Ok(Witness::leave(self.to_dir, &Seen { store, commits, head })?)
    }

    fn epochs(&self, head: u64) -> Result<u32, Failure> {
        let mut known: Vec<(u32, u64)> = Vec::new();
        let read = self.from.as_ref().map(|conn| {
            let mut select = conn.prepare(&format!("{} ORDER BY epoch", EPOCHS.select()))?;
            let mut rows = select.query([])?;
            let mut whole = true;
            while let Some(row) = rows.next()? {
                if EPOCHS.holds(row)? {
                    known.push((row.get(0)?, row.get(1)?));
                } else {
                    whole = false;
                }
            }
            Ok::<_, rusqlite::Error>(whole)
        });
        let whole = matches!(read, Some(Ok(true))) && !known.is_empty();
        if known.is_empty() {
            known.push((1, 0));
        }
        for (epoch, start) in &known {
            add_epoch(&self.to, *epoch, *start)?;
        }
        let last = known.last().map_or(1, |(epoch, _)| *epoch);
        let epoch = last + if whole { 1 } else { UNKNOWN_EPOCHS };
        add_epoch(&self.to, epoch, head)?;
        Ok(epoch)
    }
}
