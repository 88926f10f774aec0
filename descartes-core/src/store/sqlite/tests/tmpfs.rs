//! A disk that is really full: a small tmpfs in a mount namespace of our own.

use std::process::Command;

use super::*;

const DIR: &str = "DESCARTES_TEST_FULL_DIR";
const INSIDE: &str = "store::sqlite::tests::tmpfs::inside_a_small_tmpfs";

#[test]
fn a_disk_that_is_really_full_loses_nothing_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=12m none \"$0\" || exit 99; exec \"$@\"";
    let program = std::env::current_exe().unwrap();
    let run = Command::new("unshare")
        .args(["-rm", "sh", "-c", mount])
        .arg(dir.path())
        .arg(program)
        .args(["--exact", INSIDE, "--ignored", "--nocapture"])
        .env(DIR, dir.path())
        .output();
    let skip = |why: &str| tracing::warn!("skipped: no mount namespace here ({why})");
    match run {
        Err(error) => skip(&error.to_string()),
        Ok(run) if run.status.code() == Some(99) => skip("mount is refused"),
        Ok(run) if run.status.code() == Some(1) && run.stdout.is_empty() => skip("unshare"),
        Ok(run) => assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr)),
    }
}

#[tokio::test]
#[ignore = "run by the test above, in its mount namespace"]
async fn inside_a_small_tmpfs() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let store = open(&dir.join("store"));
    let ballast = dir.join("ballast");
    let mut kept = 0;
    for sizes in [[60_000; 4], [3000; 4]] {
        loop {
            match store.commit(output(&sizes)).await {
                Ok(_) => kept += 4,
                Err(StoreError::Full { .. }) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        // The last bytes too, so that not even a page of the log finds room.
        let mut file = std::fs::File::create(&ballast).unwrap();
        while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
        let refused = store.commit(output(&sizes)).await;
        assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
        assert_eq!(history(&store).await.len(), kept);
        for _ in 0..50 {
            let mut control = output(&[100]);
            control.lane = crate::store::Lane::Control;
            store.commit(control).await.expect("control goes on");
        }
        assert_eq!(history(&store).await.len(), kept + 50);
        std::fs::remove_file(&ballast).unwrap();
        let mut retention = Retention::new(Timestamp::default());
        retention.output_bytes_total = 0;
        while store.trim(&retention).await.expect("there is space again").more {}
        let begun = std::time::Instant::now();
        while let Err(error) = store.commit(output(&sizes)).await {
            assert!(begun.elapsed().as_secs() < 20, "{error:?} with {:?}", store.usage());
            tokio::task::yield_now().await;
        }
        kept = 4;
    }
    drop(store);
    assert_eq!(history(&open(&dir.join("store"))).await.len(), kept);
}
