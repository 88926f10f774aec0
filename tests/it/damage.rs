//! Bytes of a store changed under the daemon's feet: what it serves is what was written, or it says
//! that something is wrong; and a repair keeps the rest.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::rig::agents::{spawn, text, wait};
use crate::rig::daemon::{Daemon, Home, Setup};
use crate::rig::socket::Socket;
use crate::rig::{Caller, parrot, torture};

/// Every file below a folder, by its path inside.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What was written, by cursor.
type Written = BTreeMap<String, Value>;

fn read(folder: &Path, inside: &Path, found: &mut Files) {
    for entry in fs::read_dir(folder.join(inside)).expect("a folder").flatten() {
        let inside = inside.join(entry.file_name());
        if entry.metadata().expect("it is there").is_dir() {
            read(folder, &inside, found);
        } else {
            found.insert(inside.clone(), fs::read(folder.join(&inside)).expect("a file"));
        }
    }
}

/// A data directory with these files, as private as the daemon wants it.
fn lay(files: &Files) -> Home {
    let home = Home::new();
    for (inside, bytes) in files {
        let path = home.data().join(inside);
        let folder = path.parent().expect("it is in a folder");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).expect("a folder");
        fs::write(&path, bytes).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }
    home
}

/// The exit code of `descartes store` on the data directory of `home`, and what it said.
fn store(home: &Home, verb: &str) -> (i32, String) {
    let mut command = home.command("descartes");
    command.arg("--data-dir").arg(home.data()).args(["store", verb]);
    let output = command.output().expect("descartes runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it exits"), String::from_utf8_lossy(&said).into_owned())
}

/// All events that can be read, and whether everything could be.
fn served(socket: &mut Socket) -> (Written, bool) {
    let (mut found, mut cursor) = (Written::new(), "start".to_owned());
    loop {
        let params = json!({"topics": ["agent/"], "after": cursor, "limit": 1000});
        let page = match socket.call("event.read", params) {
            Ok(page) => page,
            Err(error) => {
                assert_eq!(error["data"]["kind"], "state_error", "{error}");
                return (found, false);
            }
        };
        for event in page["events"].as_array().expect("a page has events") {
            // The epoch, before the dash, begins anew where the end of a journal is gone.
            let place = text(&event["cursor"]).rsplit('-').next().expect("a place").to_owned();
            if event["type"] != "store.lost" {
                found.insert(place, event["data"].clone());
            }
        }
        if page["synced"] == true {
            return (found, page["gaps"] == json!([]));
        }
        cursor = text(&page["cursor"]).to_owned();
    }
}

/// A store of ended agents that have said something, and what its daemon serves of it.
fn written() -> (Files, Written) {
    let daemon = Daemon::start();
    let mut socket = daemon.socket();
    for word in ["one", "two", "three"] {
        let lines = format!("for i in $(seq 40); do echo {word} $i; done; head -c 9000 /dev/zero");
        let agent = spawn(&mut socket, &parrot::shell(&lines));
        wait(&mut socket, &agent);
    }
    drop(socket);
    let (_, home) = daemon.stop();
    let daemon = Setup::at(&home).start();
    let (events, whole) = served(&mut daemon.socket());
    assert!(whole && events.len() > 10, "{events:?}");
    let (_, home) = daemon.stop();
    let mut files = Files::new();
    read(&home.data(), Path::new(""), &mut files);
    (files, events)
}

/// What a daemon serves of a store: nothing that was not written, in its place.
#[track_caller]
fn agrees(files: &Files, events: &Written, place: &str) -> usize {
    let Ok(daemon) = Setup::at(&lay(files)).try_start() else { return 0 };
    let (found, _) = served(&mut daemon.socket());
    for (cursor, data) in &found {
        // What is new came after everything else.
        let Some(before) = events.get(cursor) else { continue };
        assert_eq!(data, before, "{place}: a wrong event at {cursor}");
    }
    found.keys().filter(|cursor| events.contains_key(*cursor)).count()
}

#[test]
fn a_damaged_store_is_found_and_repaired_and_never_serves_what_was_not_written() {
    let (whole, events) = written();
    // What carries nothing: one is there to be deleted, the other to be locked, and SQLite makes
    // the index of its log anew.
    let idle = ["reserve", "store.lock", "journal.db-shm"];
    let bears =
        |path: &Path| path.starts_with("store") && !idle.iter().any(|name| path.ends_with(name));
    let all: usize =
        whole.iter().filter(|(path, _)| bears(path)).map(|(_, bytes)| bytes.len()).sum();
    let times = torture(400);
    let (mut noticed, mut kept) = (0, 0);
    for time in 0..times {
        // Places spread over all bytes, and not on the same place of each page.
        let mut place = (time * all / times + time * 131) % all;
        let mut files = whole.clone();
        let (path, bytes) = files
            .iter_mut()
            .filter(|(path, _)| bears(path))
            .find(|(_, bytes)| {
                let here = place < bytes.len();
                place -= if here { 0 } else { bytes.len() };
                here
            })
            .expect("it is in one of them");
        bytes[place] ^= 1 << (time % 8);
        let place = format!("byte {place} of {}", path.display());
        let home = lay(&files);
        let (code, said) = store(&home, "check");
        if code == 0 {
            assert_eq!(
                agrees(&files, &events, &place),
                events.len(),
                "{place}: nothing was noticed"
            );
            continue;
        }
        noticed += 1;
        agrees(&files, &events, &place);
        let (code, mended) = store(&home, "repair");
        assert_eq!(code, 0, "{place}: {said}\n{mended}");
        assert_eq!(store(&home, "check").0, 0, "{place}: {mended}");
        let mut files = Files::new();
        read(&home.data(), Path::new(""), &mut files);
        let good = agrees(&files, &events, &place);
        assert!(good > 0, "{place}: nothing was kept: {mended}");
        kept += good;
    }
    crate::rig::measured(format!("{noticed} of {times} noticed, {kept} events kept"));
    assert!(noticed > 0 && kept > 0, "{noticed} noticed, {kept} events kept");
}
