//! The floor of a commit: the same rows into the same tables, by a loop over SQLite alone.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

/// A loop over the tables that a store of ours has made.
pub(crate) struct Floor {
    conn: Connection,
    body: Vec<u8>,
    seq: u64,
}

impl Floor {
    /// Opens the database in the closed store at `folder`; every event's body is `body`.
    pub(crate) fn open(folder: &Path, body: Vec<u8>) -> anyhow::Result<Self> {
        let conn = Connection::open(folder.join("store/journal.db"))?;
        conn.set_prepared_statement_cache_capacity(16);
        conn.pragma_update(None, "cache_size", -1024)?;
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        conn.execute("INSERT INTO topics (id, name, output) VALUES (1, 'agent/x/status', 0)", [])?;
        Ok(Self { conn, body, seq: 0 })
    }

    /// One transaction of `events` events.
    pub(crate) fn commit(&mut self, events: usize) -> rusqlite::Result<()> {
        let Self { conn, body, seq } = self;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in 0..events {
            *seq += 1;
            conn.prepare_cached(
                "INSERT INTO events (seq, topic, off, kind, by, at, shape, seg, seg_off, len, \
                 body, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, NULL, NULL, ?8, NULL)",
            )?
            .execute(params![
                *seq,
                1,
                *seq - 1,
                "agent.status_changed",
                "bench",
                0,
                1,
                &*body
            ])?;
        }
        conn.prepare_cached(
            "UPDATE topics SET next_off = ?2, first_seq = ?3, first_at = ?4, last_seq = ?5, \
             bytes = ?6, seg = ?7, seg_end = ?8, seg_bytes = ?9 WHERE id = ?1",
        )?
        .execute(params![1, *seq, 1, 0, *seq, *seq * body.len() as u64, 0, 0, 0])?;
        conn.prepare_cached("UPDATE topics SET last_seq = ?1 WHERE id = 0")?.execute([*seq])?;
        conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

type Asked = mpsc::SyncSender<()>;

/// Threads that hand one event each to a loop that commits whatever has come, and wait for it:
/// the least that several writers of one database need.
pub(crate) fn handed_over(
    floor: &mut Floor,
    writers: usize,
    each: usize,
) -> anyhow::Result<(Duration, Vec<f64>)> {
    let began = Instant::now();
    let waits = std::thread::scope(|scope| {
        let (queue, work) = mpsc::sync_channel::<Asked>(writers);
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                let queue = queue.clone();
                scope.spawn(move || write(&queue, each))
            })
            .collect();
        drop(queue);
        while let Ok(first) = work.recv() {
            let waiting: Vec<_> = std::iter::once(first).chain(work.try_iter()).collect();
            floor.commit(waiting.len())?;
            for writer in waiting {
                // It waits for nothing else, so it is there.
                if writer.send(()).is_err() {
                    break;
                }
            }
        }
        let waits = threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default());
        Ok::<_, rusqlite::Error>(waits.collect())
    })?;
    Ok((began.elapsed(), waits))
}

/// Hands over `each` events, one after the other; how long each took, in microseconds.
fn write(queue: &mpsc::SyncSender<Asked>, each: usize) -> Vec<f64> {
    let (answer, answered) = mpsc::sync_channel(1);
    let mut waits = Vec::with_capacity(each);
    for _ in 0..each {
        let began = Instant::now();
        if queue.send(answer.clone()).is_err() || answered.recv().is_err() {
            break;
        }
        waits.push(began.elapsed().as_secs_f64() * 1e6);
    }
    waits
}
