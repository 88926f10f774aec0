//! Reads payloads out of segment files, neighbours with one read.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::failure::Failure;
use super::segment::{self, Place, RECORD_HEAD};

/// Bytes that one read takes at most, headers included, unless a single record is longer.
const RUN_BYTES: u64 = 4 << 20;

/// Records that lie behind each other in one file.
struct Run {
    first: Place,
    end: u64,
    members: Vec<(usize, Place)>,
}

/// The payloads at `places`, which are in the order of the journal.
///
/// Neighbours share one buffer.
pub(super) fn load(dir: &Path, places: &[Option<Place>]) -> Result<Vec<Bytes>, Failure> {
    let mut payloads = vec![Bytes::new(); places.len()];
    let mut files: HashMap<(i64, u64), File> = HashMap::new();
    for run in runs(places) {
        let key = (run.first.topic, run.first.seg);
        let file = match files.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(open(dir, key)?),
        };
        let bytes = read(file, run.first.off, (run.end - run.first.off) as usize)?;
        for (index, place) in run.members {
            let from = (place.off - run.first.off) as usize;
            payloads[index] = record(&bytes, from, &place)?;
        }
    }
    Ok(payloads)
}

fn runs(places: &[Option<Place>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut last: HashMap<(i64, u64), usize> = HashMap::new();
    for (index, place) in places.iter().enumerate() {
        let Some(place) = *place else { continue };
        let key = (place.topic, place.seg);
        if let Some(run) = last.get(&key).and_then(|run| runs.get_mut(*run))
            && run.end == place.off
            && place.end() - run.first.off <= RUN_BYTES
        {
            run.end = place.end();
            run.members.push((index, place));
            continue;
        }
        last.insert(key, runs.len());
        runs.push(Run { first: place, end: place.end(), members: vec![(index, place)] });
    }
    runs
}

fn open(dir: &Path, (topic, seg): (i64, u64)) -> Result<File, Failure> {
    match File::open(segment::path(dir, topic, seg)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::Moved),
        opened => Ok(opened?),
    }
}

fn read(file: &File, mut off: u64, len: usize) -> Result<Bytes, Failure> {
    let mut bytes: Vec<u8> = Vec::with_capacity(len);
    while bytes.len() < len {
        let room = rustix::buffer::spare_capacity(&mut bytes);
        match rustix::io::pread(file, room, off) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) => return Err(Failure::Corrupt("a segment file was cut".to_owned())),
            count => off += count? as u64,
        }
    }
    // The allocator may have given more than was asked for.
    bytes.truncate(len);
    Ok(bytes.into())
}

fn record(bytes: &Bytes, from: usize, place: &Place) -> Result<Bytes, Failure> {
    let damaged = || {
        let Place { topic, seg, off, .. } = place;
        Failure::Corrupt(format!("segment {seg} of topic {topic} at byte {off}"))
    };
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let (len, sum) = (word(from).ok_or_else(damaged)?, word(from + 4).ok_or_else(damaged)?);
    let begin = from + RECORD_HEAD;
    let end = begin + place.len as usize;
    if len != place.len || bytes.len() < end {
        return Err(damaged());
    }
    let payload = bytes.slice(begin..end);
    if crc32fast::hash(&payload) == sum { Ok(payload) } else { Err(damaged()) }
}
