//! Commands that outlive their client.

use super::*;

/// Runs a client in a runtime of its own until `spawns` commands are in its file, and ends the
/// runtime as if the process had been killed: nobody is told and nothing is finished.
fn killed_with(config: &ZmqRunnerConfig, spawns: usize) {
    let config = config.clone();
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = ZmqClient::start(config.clone()).await.unwrap();
            for n in 0..spawns {
                let client = client.clone();
                tokio::spawn(async move { client.spawn_remote(agent(&format!("a{n}"))).await });
                until("it waits", || client_waits(&config, n + 1)).await;
            }
        });
    });
    process.join().unwrap();
}

fn client_waits(config: &ZmqRunnerConfig, spawns: usize) -> bool {
    let bytes = std::fs::read(config.queue_path.as_ref().unwrap()).unwrap();
    let taken = bytes.windows(7).filter(|window| window == b"\"taken\"").count();
    taken >= spawns
}

#[tokio::test]
async fn queued_commands_are_executed_once_by_the_next_client() {
    let mut daemon = Daemon::away().await;
    let queue_path = Some(daemon.queue_path());
    let config = ZmqRunnerConfig { queue_path, ..config(&daemon) };
    killed_with(&config, 20);
    let client = ZmqClient::start(config.clone()).await.unwrap();
    assert_eq!(client.queued_command_count(), 20);
    daemon.begin();
    // It comes behind those that waited.
    client.spawn_remote(agent("new")).await.unwrap();
    until("all are sent", || client.queued_command_count() == 0).await;
    // Its last words are that all is done.
    drop(client);
    let starting = async {
        loop {
            match ZmqClient::start(config.clone()).await {
                Ok(next) => break next,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let next = tokio::time::timeout(PATIENCE, starting).await.unwrap();
    next.spawn_remote(agent("last")).await.unwrap();
    let mut expected: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
    expected.extend(["new".to_owned(), "last".to_owned()]);
    let mut made = names(&daemon).await;
    made.sort();
    expected.sort();
    assert_eq!(made, expected);
}

#[tokio::test]
async fn a_command_that_was_sent_before_the_kill_is_not_done_twice() {
    let daemon = Daemon::there().await;
    let queue_path = Some(daemon.queue_path());
    let config = ZmqRunnerConfig { queue_path, ..config(&daemon) };
    // Health is answered, the spawn is not.
    daemon.moods.answers.store(1, Ordering::SeqCst);
    let process = {
        let (config, moods) = (config.clone(), std::sync::Arc::clone(&daemon.moods));
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = ZmqClient::start(config).await.unwrap();
                tokio::spawn(async move { client.spawn_remote(agent("once")).await });
                until("it is sent", || !moods.seen.lock().unwrap().is_empty()).await;
            });
        })
    };
    until("it has ended", || process.is_finished()).await;
    process.join().unwrap();
    daemon.moods.answers.store(usize::MAX, Ordering::SeqCst);
    let client = ZmqClient::start(config).await.unwrap();
    let spawns = || seen(&daemon).iter().filter(|method| *method == "agent.spawn").count();
    until("it is sent again", || spawns() >= 2).await;
    client.health_check().await.unwrap();
    until("it is answered", || client.queued_command_count() == 0).await;
    let second = client.spawn_remote(agent("another")).await.unwrap();
    assert_eq!(names(&daemon).await, ["once", "another"], "{second:?}");
}

#[tokio::test]
async fn one_file_is_one_clients() {
    let daemon = Daemon::away().await;
    let queue_path = Some(daemon.queue_path());
    let config = ZmqRunnerConfig { queue_path, ..config(&daemon) };
    let _first = ZmqClient::start(config.clone()).await.unwrap();
    let error = ZmqClient::start(config).await.unwrap_err();
    assert!(error.to_string().contains("another client uses it"), "{error}");
}
