//! Settings that change while the host lives.

use std::sync::Arc;

use super::super::*;
use crate::agent::AgentSpec;
use crate::backend::Backend;
use crate::event::{EventBody, Reloaded, TopicFilter};
use crate::journal::{After, ReadRequest, SubscribeRequest};
use crate::testing::FakeRunner;

async fn host() -> Descartes {
    let runner = Arc::new(FakeRunner::echo());
    Descartes::builder().runner(runner).build().await.expect("it begins")
}

#[tokio::test(start_paused = true)]
async fn other_settings_are_in_force_at_once_and_whole_or_not_at_all() {
    let host = host().await;
    let mut settings = Settings::clone(&host.settings());
    settings.limits.agents_running = 0;
    settings.backends.push(Backend::process().renamed("mine"));
    host.reconfigure(settings.clone()).expect("it can be");
    assert!(host.backend_names().iter().any(|name| &**name == "mine"));
    let full = host.spawn(AgentSpec::command(["x"]), "me").await;
    assert!(matches!(full, Err(AgentError::Limit { max: 0, .. })), "{full:?}");

    settings.limits.agents_running = 1;
    settings.backends.push(Backend::process().renamed("far").on("nowhere"));
    let refused = host.reconfigure(settings.clone()).expect_err("there is no such runner");
    assert!(matches!(refused, StartError::UnknownRunner { .. }), "{refused}");
    assert_eq!(host.settings().limits.agents_running, 0, "nothing was changed");

    settings.backends.retain(|backend| &**backend.name() != "far");
    host.reconfigure(settings).expect("it can be");
    host.spawn(AgentSpec::command(["x"]), "me").await.expect("there is room");
    host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_told_in_the_journal() {
    let host = host().await;
    let told = Reloaded::new(vec!["a.b".into()], vec!["c.d".into()]);
    host.note_reload("me", told.clone()).await;
    let topics = vec![TopicFilter::from_text("system")];
    let page = host.journal().read(ReadRequest::new(SubscribeRequest::new(topics, After::Start)));
    let events = page.await.expect("a page").events;
    let last = events.last().expect("an event");
    assert_eq!(&*last.by, "me");
    assert_eq!(last.decode().expect("its body"), EventBody::SystemReloaded(told));
    host.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_drains_takes_agents_again_when_it_is_told_to() {
    let host = host().await;
    host.drain().await;
    let refused = host.spawn(AgentSpec::command(["x"]), "me").await;
    assert!(matches!(refused, Err(AgentError::Draining)), "{refused:?}");
    host.resume_intake();
    host.spawn(AgentSpec::command(["x"]), "me").await.expect("it is taken");
    host.shutdown().await;
}
