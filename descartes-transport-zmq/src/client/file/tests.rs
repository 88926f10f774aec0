use std::os::unix::fs::PermissionsExt;

use super::*;

fn command(key: &str) -> Command {
    Command {
        method: "agent.spawn".to_owned(),
        params: RawValue::from_string(format!(r#"{{"idempotency_key":"{key}"}}"#)).unwrap(),
        key: Some(key.to_owned()),
        control: false,
        waits: false,
        deadline: Duration::from_secs(30),
    }
}

fn append(file: &mut QueueFile, taken: &[(Ticket, Command)], done: &[Ticket]) -> io::Result<()> {
    let taken: Vec<_> = taken.iter().map(|(ticket, command)| (*ticket, command)).collect();
    file.append(&taken, done)
}

fn keys(recovered: &[Recovered]) -> Vec<(Ticket, &str)> {
    recovered.iter().map(|one| (one.ticket, one.command.key.as_deref().unwrap())).collect()
}

fn path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("queue")
}

#[test]
fn what_was_taken_and_not_done_is_there_again_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, none) = QueueFile::open(&path(&dir)).unwrap();
    assert!(none.is_empty());
    append(&mut file, &[(1, command("a")), (2, command("b"))], &[]).unwrap();
    append(&mut file, &[(3, command("c"))], &[1]).unwrap();
    let reading = Command { key: None, ..command("read") };
    append(&mut file, &[(4, reading)], &[]).unwrap();
    drop(file);
    let (_, recovered) = QueueFile::open(&path(&dir)).unwrap();
    assert_eq!(keys(&recovered), [(2, "b"), (3, "c")]);
    let first = &recovered[0];
    assert_eq!(first.command.params.get(), r#"{"idempotency_key":"b"}"#);
    assert_eq!(first.command.deadline, Duration::from_secs(30));
    assert!(first.age < Duration::from_secs(3600));
}

#[test]
fn the_file_is_its_owners_alone_and_one_clients_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = QueueFile::open(&path(&dir)).unwrap();
    let mode = std::fs::metadata(path(&dir)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(QueueFile::open(&path(&dir)).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(file);
    std::fs::set_permissions(path(&dir), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(QueueFile::open(&path(&dir)).unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[test]
fn another_users_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(QueueFile::open(&path(&dir)).unwrap());
    if std::os::unix::fs::chown(path(&dir), Some(65_534), None).is_err() {
        // Only root can give a file away, and only root could open it then.
        return;
    }
    let error = QueueFile::open(&path(&dir)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("another user"), "{error}");
}

#[test]
fn a_foreign_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["something that is dear to somebody", "short", "DSCQUE2\n"] {
        std::fs::write(path(&dir), text).unwrap();
        std::fs::set_permissions(path(&dir), std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(QueueFile::open(&path(&dir)).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(std::fs::read_to_string(path(&dir)).unwrap(), text);
    }
}

#[test]
fn wherever_the_file_is_cut_what_was_whole_is_kept_and_it_can_be_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, _) = QueueFile::open(&path(&dir)).unwrap();
    append(&mut file, &[(1, command("a"))], &[]).unwrap();
    let first = file.end;
    append(&mut file, &[(2, command("b"))], &[]).unwrap();
    let (second, whole) = (file.end, std::fs::read(path(&dir)).unwrap());
    drop(file);
    for cut in 0..=whole.len() {
        std::fs::write(path(&dir), &whole[..cut]).unwrap();
        let (mut file, recovered) = QueueFile::open(&path(&dir)).unwrap();
        let kept = usize::from(offset(cut) >= first) + usize::from(offset(cut) >= second);
        assert_eq!(recovered.len(), kept, "cut at {cut}");
        append(&mut file, &[(9, command("z"))], &[]).unwrap();
        drop(file);
        let (_, recovered) = QueueFile::open(&path(&dir)).unwrap();
        assert_eq!(recovered.len(), kept + 1, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_is_not_taken_for_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, _) = QueueFile::open(&path(&dir)).unwrap();
    append(&mut file, &[(1, command("a"))], &[]).unwrap();
    let second = usize::try_from(file.end).unwrap();
    append(&mut file, &[(2, command("b"))], &[]).unwrap();
    drop(file);
    let whole = std::fs::read(path(&dir)).unwrap();
    for at in second..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(path(&dir), &bytes).unwrap();
        let (_, recovered) = QueueFile::open(&path(&dir)).unwrap();
        assert_eq!(keys(&recovered), [(1, "a")], "bit of byte {at}");
    }
}

#[test]
fn what_is_done_does_not_fill_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, _) = QueueFile::open(&path(&dir)).unwrap();
    let long = "k".repeat(10_000);
    append(&mut file, &[(0, command("stays"))], &[]).unwrap();
    for ticket in 1..300 {
        append(&mut file, &[(ticket, command(&long))], &[ticket - 1].map(|done| done.max(1)))
            .unwrap();
    }
    append(&mut file, &[], &[299]).unwrap();
    let length = std::fs::metadata(path(&dir)).unwrap().len();
    assert!(length <= QUEUE_FILE_SMALL + 40_000, "{length} bytes for one command");
    assert_eq!(QueueFile::open(&path(&dir)).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(file);
    let (_, recovered) = QueueFile::open(&path(&dir)).unwrap();
    assert_eq!(keys(&recovered), [(0, "stays")]);
    assert!(!beside(&path(&dir)).exists());
}

#[test]
fn a_full_disk_refuses_and_hides_nothing_that_follows() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, _) = QueueFile::open(&path(&dir)).unwrap();
    append(&mut file, &[(1, command("a"))], &[]).unwrap();
    file.full = true;
    let error = append(&mut file, &[(2, command("b"))], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    file.full = false;
    append(&mut file, &[(3, command("c"))], &[]).unwrap();
    drop(file);
    let (_, recovered) = QueueFile::open(&path(&dir)).unwrap();
    assert_eq!(keys(&recovered), [(1, "a"), (3, "c")]);
}
