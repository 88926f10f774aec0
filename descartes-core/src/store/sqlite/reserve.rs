//! A file that is only there to be deleted when the disk is full, so that control can go on.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes that are kept back for control: some thousand records of exits.
const RESERVE_BYTES: u64 = 1 << 20;
/// Space that must be free before the reserve is made again, so that it does not take the last.
const FREE_BYTES: u64 = 2 * RESERVE_BYTES;
/// How often the free space is looked at while the reserve is away.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The reserve file.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    present: bool,
    looked: Option<Instant>,
    /// Bytes of the disk that are left to others.
    min_free: u64,
    /// When it was last measured whether less is free, and what was found.
    measured: Option<(Instant, bool)>,
}

impl Reserve {
    /// The reserve of `dir`; made when it is not there and there is space.
    pub(super) fn of(dir: &Path, min_free: u64) -> Self {
        let path = dir.join("reserve");
        let present = path.metadata().is_ok_and(|meta| meta.len() == RESERVE_BYTES);
        let mut reserve = Self { path, present, looked: None, min_free, measured: None };
        reserve.restore();
        reserve
    }

    /// Deletes it. Tells whether that gave space back.
    pub(super) fn release(&mut self) -> bool {
        self.looked = Some(Instant::now());
        let was_present = std::mem::replace(&mut self.present, false);
        was_present && std::fs::remove_file(&self.path).is_ok()
    }

    /// Whether what is left of the space is for control only.
    ///
    /// Looks at the disk a few times a second at most, and makes the reserve again when it can.
    pub(super) fn is_away(&mut self) -> bool {
        self.restore();
        !self.present
    }

    /// Whether less of the disk is free than is left to others.
    ///
    /// Looks at the disk a few times a second at most.
    pub(super) fn is_short(&mut self) -> bool {
        if self.min_free == 0 {
            return false;
        }
        if let Some((at, short)) = self.measured
            && at.elapsed() < LOOK_EVERY
        {
            return short;
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let short = free_bytes(dir).is_some_and(|free| free < self.min_free);
        self.measured = Some((Instant::now(), short));
        short
    }

    fn restore(&mut self) {
        if self.present || self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let dir = self.path.parent().unwrap_or(Path::new("."));
        if free_bytes(dir).is_some_and(|free| free < RESERVE_BYTES + FREE_BYTES) {
            return;
        }
        self.present = self.allocate().is_ok();
        if !self.present {
            // Half a reserve would only take space.
            drop(std::fs::remove_file(&self.path));
        }
    }

    /// Writes it, because a file of holes would reserve nothing.
    fn allocate(&self) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        let block = [0xd5; 64 * 1024];
        for _ in 0..RESERVE_BYTES / block.len() as u64 {
            file.write_all(&block)?;
        }
        Ok(())
    }
}

/// Bytes that this user may still write where `dir` lies.
pub(super) fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
