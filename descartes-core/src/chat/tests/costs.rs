//! What an owner's agents may cost in a day.

use super::*;
use crate::Settings;
use crate::agent::AgentSpec;
use crate::chat::ChatError;
use crate::dialect::ApprovalMode;
use crate::event::{ChunkErrorKind, TurnOutcome};
use crate::store::{KeyRange, Space};
use crate::time::{Clock, Timestamp};

const HOUR: Duration = Duration::from_secs(3600);

/// A host whose owners may spend two dollars a day.
async fn host_on(store: &Arc<dyn StateStore>, now: Timestamp) -> Descartes {
    let settings = Settings {
        cost_usd_per_day: Some(2.0),
        approval_mode: ApprovalMode::AllowAll,
        backends: vec![FakeChat::backend(), FakeChat::costly()],
        ..Settings::default()
    };
    let builder = Descartes::builder().runner(Arc::new(FakeChat::runner())).settings(settings);
    let builder = builder.store(Arc::clone(store)).clock(Clock::fake(now));
    builder.build().await.expect("it begins")
}

fn noon() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

async fn chat_of(host: &Descartes, owner: &str, backend: &str) -> ChatId {
    let spec = ChatSpec::backend(backend);
    host.chat_create(spec, &mut Caller::new(owner)).await.expect("a chat").record.id
}

/// How long the next prompt of the chat would have to wait, if it is refused.
async fn refused(host: &Descartes, chat: ChatId) -> Duration {
    let request = PromptRequest::new(Prompt::text("0.5"));
    match host.chat_prompt(chat, request, &mut Caller::new("anybody"), None).await {
        Err(ChatError::Cost(reached)) => {
            assert_eq!(reached.most, 2.0);
            reached.retry_after
        }
        other => panic!("it is not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_spent_is_refused_until_it_is_a_day_old_and_each_owner_has_its_own() {
    let host = host_on(&shared_store(), noon()).await;
    let (one, two) = (chat_of(&host, "ann", "costly").await, chat_of(&host, "ann", "costly").await);
    let others = chat_of(&host, "bob", "costly").await;
    assert_eq!(turn(&host, one, "1.5").await.usage.expect("it is known").cost_usd, Some(1.5));
    tokio::time::sleep(3 * HOUR).await;
    // What is begun goes on to its end, however much it costs.
    assert_eq!(turn(&host, two, "5").await.outcome, TurnOutcome::Completed);
    for chat in [one, two] {
        let wait = refused(&host, chat).await;
        assert!(wait > 24 * HOUR && wait <= 25 * HOUR, "{wait:?}");
    }
    assert_eq!(turn(&host, others, "1").await.outcome, TurnOutcome::Completed);
    let spec = AgentSpec { backend: Some("costly".into()), ..AgentSpec::default() };
    host.spawn(spec, "ann").await.expect("what runs is the application's to say");
    assert!(host.afford("ann").is_err() && host.afford("bob").is_ok());
    let wait = refused(&host, two).await;
    tokio::time::sleep(wait - Duration::from_millis(1)).await;
    assert_eq!(refused(&host, one).await, Duration::from_millis(1));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(turn(&host, one, "0.5").await.outcome, TurnOutcome::Completed);
    // Another limit is in force at once.
    let mut settings = (*host.settings()).clone();
    settings.cost_usd_per_day = Some(0.25);
    host.reconfigure(settings.clone()).expect("it is right");
    assert!(host.afford("ann").is_err());
    settings.cost_usd_per_day = None;
    host.reconfigure(settings).expect("it is right");
    assert_eq!(turn(&host, one, "7").await.outcome, TurnOutcome::Completed);
    host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_waits_when_all_is_spent_ends_with_that_and_what_runs_does_not() {
    let host = host_on(&shared_store(), noon()).await;
    let talks = chat_of(&host, "ann", "fake").await;
    let running = prompt(&host, talks, "wait").await;
    let waits = prompt(&host, talks, "say never").await;
    let spends = chat_of(&host, "ann", "costly").await;
    turn(&host, spends, "2").await;
    assert!(!until(&host, talks, |record| record.turn.is_some()).await.queue.is_empty());
    assert!(host.chat_cancel(talks, Some(1)).await.expect("control goes on"));
    assert_eq!(running.await.expect("it ends").outcome, TurnOutcome::Cancelled);
    let ended = waits.await.expect("it ends");
    assert_eq!((ended.outcome, &*ended.content), (TurnOutcome::Failed, ""));
    let error = ended.error.expect("why");
    assert_eq!(error.kind, ChunkErrorKind::Budget);
    assert!(error.message.contains("2.00 of 2 USD"), "{}", error.message);
    host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_spent_is_known_after_the_death_of_the_host_also_of_chats_that_are_forgotten() {
    let store = shared_store();
    let documents = async || {
        let range = KeyRange::new(Space::COST, "", 100);
        store.list(&range).await.expect("a list").documents.len()
    };
    let first = host_on(&store, noon()).await;
    let (kept, forgotten) =
        (chat_of(&first, "ann", "costly").await, chat_of(&first, "ann", "costly").await);
    for (chat, usd) in [(kept, "0.75"), (forgotten, "0.75"), (kept, "0.5")] {
        turn(&first, chat, usd).await;
    }
    first.chat_stop(forgotten, "ann").await.expect("it ends");
    first.chat_remove(forgotten).await.expect("it is closed");
    // It dies: nothing is written any more.
    drop(first);
    let second = host_on(&store, noon().after(HOUR)).await;
    assert_eq!(second.afford("ann").unwrap_err().spent, 2.0);
    refused(&second, kept).await;
    assert_eq!(documents().await, 2);
    tokio::time::sleep(26 * HOUR).await;
    assert!(second.afford("ann").is_ok());
    assert_eq!(documents().await, 1, "that of the chat that is there");
    second.shutdown().await;
}
