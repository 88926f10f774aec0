//! What a chat does when its agent's process does not end.

use std::sync::Arc;
use std::time::Duration;

use super::{chat, turn};
use crate::dialect::Prompt;
use crate::event::StreamName;
use crate::runner::{
    AgentDriver, AgentRunner, Control, ControlError, ControlOutcome, Launch, SpawnError, Started,
};
use crate::testing::FakeChat;
use crate::{Caller, Descartes, PromptRequest};

/// How long a kill takes to fail.
const STRUGGLE: Duration = Duration::from_secs(5);

/// Agents that answer every prompt and cannot be killed.
struct Unkillable;

#[async_trait::async_trait]
impl AgentRunner for Unkillable {
    async fn spawn(&self, _: Launch, driver: AgentDriver) -> Result<Started, SpawnError> {
        tokio::spawn(async move {
            let (mut controls, events) = driver.split();
            let mut at = 0;
            let mut answer = "session s\nready\n";
            while let Some(request) = {
                events.output(StreamName::Stdout, at, answer.as_bytes()).await;
                at += answer.len() as u64;
                answer = "";
                controls.next().await
            } {
                match &request.control {
                    Control::WriteStdin { .. } => {
                        answer = "text yes\ndone\n";
                        request.done(ControlOutcome::Done);
                    }
                    _ => {
                        tokio::time::sleep(STRUGGLE).await;
                        request.fail(ControlError::Failed("it hangs in the kernel".into()));
                    }
                }
            }
        });
        Ok(Started::default())
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_end_fails_the_prompt_that_waits_for_its_end() {
    let builder = Descartes::builder().runner(Arc::new(Unkillable)).backend(FakeChat::backend());
    let host = builder.build().await.expect("it begins");
    let chat = chat(&host).await;
    assert_eq!(&*turn(&host, chat, "one").await.content, "yes");
    tokio::time::sleep(super::super::ChatTimes::default().idle_stop + STRUGGLE / 2).await;
    let request = PromptRequest::new(Prompt::text("two"));
    let mut me = Caller::new("me");
    let asked = host.chat_prompt(chat, request, &mut me, None);
    let asked = tokio::time::timeout(Duration::from_secs(60), asked).await.expect("an answer");
    let error = asked.expect_err("no process can be asked").to_string();
    assert!(error.contains("it hangs in the kernel"), "{error}");
    assert_eq!(&*turn(&host, chat, "three").await.content, "yes");
}
