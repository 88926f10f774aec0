//! Chats that are recorded, and played again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{builder, chunks, prompt, turn, until};
use crate::agent::AgentSpec;
use crate::approval::{ApprovalFilter, ApprovalStatus};
use crate::backend::Backend;
use crate::chat::{ChatId, ChatSpec, ChatStatus};
use crate::dialect::Decision;
use crate::event::{ChunkBody, StreamChunk, TurnOutcome};
use crate::recording::Recording;
use crate::{Caller, DecideRequest, Descartes};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("session.jsonl")
    }
}

async fn create(host: &Descartes, spec: ChatSpec) -> ChatId {
    host.chat_create(spec, &mut Caller::new("me")).await.expect("a chat").record.id
}

fn recorded(file: &Path) -> ChatSpec {
    let mut spec = ChatSpec::backend("fake");
    spec.agent.chat.record = Some(file.to_owned());
    spec
}

fn replayed(file: &Path) -> ChatSpec {
    let mut spec = ChatSpec::backend("replay");
    spec.agent.command = vec![file.display().to_string()];
    spec
}

/// Turns, a question, a cancel, a crash and a second process.
async fn converse(host: &Descartes, chat: ChatId) {
    assert_eq!(&*turn(host, chat, "say a b").await.content, "ab");
    assert_eq!(&*turn(host, chat, "broken").await.content, "whole");
    let result = prompt(host, chat, "write").await;
    until(host, chat, |record| record.status == ChatStatus::WaitingApproval).await;
    let mut filter = ApprovalFilter::default();
    (filter.chat, filter.status) = (Some(chat), Some(ApprovalStatus::Pending));
    let (asked, _) = host.approvals(&filter).await.expect("approvals");
    let allow = DecideRequest::new(Decision::AllowOnce);
    host.approval_decide(asked[0].id, allow, "me").await.expect("it is decided");
    assert_eq!(&*result.await.expect("it ends").content, "allowed");
    let waits = prompt(host, chat, "wait").await;
    until_it_waits(host, chat).await;
    assert!(host.chat_cancel(chat, None).await.expect("it is cancelled"));
    assert_eq!(waits.await.expect("it ends").outcome, TurnOutcome::Cancelled);
    assert_eq!(turn(host, chat, "die").await.outcome, TurnOutcome::Interrupted);
    assert_eq!(&*turn(host, chat, "say on").await.content, "on");
    host.chat_stop(chat, "me").await.expect("it ends");
}

/// Waits until the agent has said that it waits.
async fn until_it_waits(host: &Descartes, chat: ChatId) {
    while !chunks(host, chat).await.iter().any(|chunk| said(chunk) == "waiting") {
        // Time is tokio's: it goes on when there is nothing else to do.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn said(chunk: &StreamChunk) -> &str {
    match &chunk.body {
        ChunkBody::Text { content, .. } => content,
        _ => "",
    }
}

/// Everything that was said, without the names that every chat makes up.
async fn told(host: &Descartes, chat: ChatId) -> Vec<String> {
    let (mut asked, mut agents) = (Vec::new(), Vec::new());
    let mut line = |mut chunk: StreamChunk| {
        match &mut chunk.body {
            ChunkBody::ApprovalRequested(approval) => {
                asked.push(approval.id);
                let what = (&approval.tool, &approval.title, &approval.arguments);
                return format!("{} asked {} {what:?}", chunk.turn, asked.len());
            }
            ChunkBody::ApprovalResolved { approval, status, .. } => {
                let which = asked.iter().position(|id| id == approval);
                return format!("{} resolved {which:?} {status:?}", chunk.turn);
            }
            ChunkBody::Complete { agent, .. } => {
                agents.push(*agent);
                *agent = agents[0];
            }
            _ => {}
        }
        format!("{chunk:?}")
    };
    let text = chunks(host, chat).await.into_iter().map(&mut line).collect::<Vec<_>>();
    let agent = agents[0].to_string();
    text.into_iter().map(|line| line.replace(&agent, "AGENT")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_recording_replays_to_the_same_chunks_from_its_file_and_in_the_place_of_its_backend() {
    let place = Place::new();
    let host = builder().build().await.expect("it begins");
    let chat = create(&host, recorded(&place.file())).await;
    converse(&host, chat).await;
    let expected = told(&host, chat).await;
    assert!(expected.len() > 20, "{expected:?}");

    let from_file = create(&host, replayed(&place.file())).await;
    converse(&host, from_file).await;
    assert_eq!(told(&host, from_file).await, expected);

    let recording = Recording::read(place.file()).expect("it can be read");
    assert_eq!(
        (&**recording.backend(), &**recording.dialect(), recording.runs()),
        ("fake", "basic", 2)
    );
    let stand_in = Backend::replay("fake", recording);
    let host = Descartes::builder().backend(stand_in).build().await.expect("it begins");
    let chat = create(&host, ChatSpec::backend("fake")).await;
    converse(&host, chat).await;
    assert_eq!(told(&host, chat).await, expected);
}

#[tokio::test(start_paused = true)]
async fn whoever_says_something_else_is_told_what_and_the_turn_fails() {
    let place = Place::new();
    let host = builder().build().await.expect("it begins");
    let chat = create(&host, recorded(&place.file())).await;
    turn(&host, chat, "say a b").await;
    host.chat_stop(chat, "me").await.expect("it ends");

    let chat = create(&host, replayed(&place.file())).await;
    let result = turn(&host, chat, "say a c").await;
    assert_eq!(result.outcome, TurnOutcome::Failed);
    let message = result.error.expect("it says why").message;
    let expected = format!(
        "replay: {}, line 5: the agent is sent something else than was recorded\n  recorded: prompt \
         say a b\n  sent:     prompt say a c\n  at character 14: recorded \"b\", sent \"c\"",
        place.file().display()
    );
    assert_eq!(&*message, expected);
    let record = until(&host, chat, |record| !record.is_active).await;
    let agent = host.agent(record.agent).expect("its agent").0;
    assert_eq!(agent.record.exit.as_ref().and_then(|exit| exit.code), Some(65));

    // What was recorded was one process.
    let again = host
        .chat_prompt(
            chat,
            crate::PromptRequest::new(crate::dialect::Prompt::text("x")),
            &mut Caller::new("me"),
            None,
        )
        .await;
    let error = again.expect_err("there is no second run");
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    let mut all = String::new();
    while let Some(error) = cause {
        all += &format!("{error}; ");
        cause = error.source();
    }
    assert!(all.contains("has 1 runs, and none is the run 2"), "{all}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_recorded_yet_is_waited_for_and_a_turn_that_waits_can_be_stopped() {
    let place = Place::new();
    let host = builder().build().await.expect("it begins");
    let chat = create(&host, recorded(&place.file())).await;
    let waits = prompt(&host, chat, "wait").await;
    until_it_waits(&host, chat).await;
    host.chat_stop(chat, "me").await.expect("it ends");
    waits.await.expect("it ends");
    let expected = told(&host, chat).await;

    let chat = create(&host, replayed(&place.file())).await;
    let waits = prompt(&host, chat, "wait").await;
    until_it_waits(&host, chat).await;
    host.chat_stop(chat, "me").await.expect("it ends");
    waits.await.expect("it ends");
    assert_eq!(told(&host, chat).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_a_new_file_that_nobody_else_reads_and_values_of_env_are_not_in_it() {
    let place = Place::new();
    let host = builder().build().await.expect("it begins");
    let mut spec = recorded(&place.file());
    spec.agent.env.insert("TOKEN".into(), "value-of-a-secret".into());
    let chat = create(&host, spec).await;
    turn(&host, chat, "say a").await;
    host.chat_stop(chat, "me").await.expect("it ends");
    let text = std::fs::read_to_string(place.file()).expect("it is there");
    assert!(text.contains("prompt say a") && !text.contains("value-of-a-secret"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(place.file()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let refused = |spec: ChatSpec| async {
        let refused = host.chat_create(spec, &mut Caller::new("me")).await;
        refused.expect_err("it is refused").to_string()
    };
    let told = refused(recorded(&place.file())).await;
    assert!(told.starts_with("`config.record`: expected a file that can be made"), "{told}");
    let told = refused(recorded(Path::new("here.jsonl"))).await;
    assert_eq!(told, "`config.record`: expected an absolute path");
    let told = refused(replayed(Path::new("/nowhere/at/all"))).await;
    assert!(
        told.starts_with("`config.command`: expected a recording: /nowhere/at/all: "),
        "{told}"
    );
    std::fs::write(place.file(), "{\"descartes_recording\":1,\"dialect\":\"klingon\"}\n")
        .expect("written");
    let told = refused(replayed(&place.file())).await;
    assert!(told.ends_with("line 1: nobody here speaks `klingon`"), "{told}");
    let told = refused(replayed(Path::new("relative.jsonl"))).await;
    assert!(told.contains("the absolute path of a recording"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_cannot_go_on_is_given_up_and_the_chat_says_so_and_goes_on() {
    let place = Place::new();
    let host = builder().build().await.expect("it begins");
    let chat = create(&host, recorded(&place.file())).await;
    std::fs::remove_file(place.file()).expect("it is there");
    assert_eq!(&*turn(&host, chat, "say a b").await.content, "ab");
    let told = told_errors(&host, chat).await;
    assert!(told.len() == 1 && told[0].starts_with("the recording ends early: "), "{told:?}");
}

async fn told_errors(host: &Descartes, chat: ChatId) -> Vec<Arc<str>> {
    let error = |chunk: StreamChunk| match chunk.body {
        ChunkBody::Error(error) => Some(error.message),
        _ => None,
    };
    chunks(host, chat).await.into_iter().filter_map(error).collect()
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_begun_by_itself_is_recorded_if_one_can_converse_with_it() {
    let place = Place::new();
    let missing = Backend::conversing("gone", vec!["/missing".into()], "basic", || {
        Box::new(crate::dialect::Basic::new())
    });
    let host = builder().backend(missing).build().await.expect("it begins");
    let spec = |backend: &str| {
        let mut spec = AgentSpec::backend(backend);
        spec.chat.record = Some(place.file());
        spec.task = Some("say a".into());
        spec
    };
    let mut process = spec("process");
    process.command = vec!["x".into()];
    let told = host.spawn(process, "me").await.expect_err("it is refused").to_string();
    assert_eq!(told, "`config.record`: expected nothing: only conversations are recorded");
    host.spawn(spec("gone"), "me").await.expect_err("its program is not there");
    assert!(!place.file().exists(), "nothing came of it");
    let chat = host.spawn(spec("fake"), "me").await.expect("it begins").chat.expect("a chat");
    until(&host, chat, |record| record.turns == 1 && record.status == ChatStatus::Idle).await;
    host.chat_stop(chat, "me").await.expect("it ends");
    let text = std::fs::read_to_string(place.file()).expect("it is there");
    assert!(
        text.contains("\"line\":\"prompt say a\"") && text.contains("\"what\":\"exit\""),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_ended_because_nobody_asked_anything_makes_room_in_a_replay_at_once() {
    let place = Place::new();
    let host = builder().build().await.expect("it begins");
    let converse = async |chat: ChatId, waits: bool| {
        assert_eq!(&*turn(&host, chat, "say a").await.content, "a");
        if waits {
            until(&host, chat, |record| !record.is_active).await;
        }
        assert_eq!(&*turn(&host, chat, "say b").await.content, "b");
        host.chat_stop(chat, "me").await.expect("it ends");
        told(&host, chat).await
    };
    let expected = converse(create(&host, recorded(&place.file())).await, true).await;
    let played = converse(create(&host, replayed(&place.file())).await, false).await;
    assert_eq!(played, expected);
    assert_eq!(
        expected.iter().filter(|line| line.contains("body: Complete {")).count(),
        2,
        "{expected:?}"
    );
}
