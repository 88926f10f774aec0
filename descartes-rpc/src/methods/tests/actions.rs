//! `agent.action` and `action.list`.

use std::sync::Arc;
use std::time::Duration;

use descartes_core::Descartes;
use descartes_core::action::{ActionContext, ActionError};
use descartes_core::testing::FakeRunner;
use serde_json::{Value, json};

use super::{echo, params, refused};
use crate::client::Client;
use crate::error::ErrorKind;
use crate::service::Rpc;
use crate::wire::action::ActionParams;
use crate::wire::system::NoParams;

async fn greet(context: ActionContext) -> Result<Value, ActionError> {
    let [whom]: [String; 1] = context.params()?;
    if whom.is_empty() {
        return Err(ActionError::Failed("nobody".into()));
    }
    Ok(json!(format!("{} greets {whom} for {}", context.agent.name, context.by)))
}

async fn sleep(_: ActionContext) -> Result<(), ActionError> {
    tokio::time::sleep(Duration::from_secs(60)).await;
    Ok(())
}

async fn client() -> Client {
    let builder = Descartes::builder().runner(Arc::new(FakeRunner::echo()));
    let builder = builder.action("greet", "Greets.", greet).action("sleep", "Sleeps.", sleep);
    let client = Client::in_memory(Rpc::builder(builder.build().await.unwrap()).build());
    client.agent_spawn(echo("worker")).await.unwrap();
    client
}

async fn run(client: &Client, rest: Value) -> Result<String, crate::error::RpcError> {
    let mut asked = json!({"agent_id": "worker"});
    asked.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    match client.agent_action(params::<ActionParams>(asked)).await {
        Ok(result) => Ok(result.data.0.get().to_owned()),
        error => Err(refused(error)),
    }
}

#[tokio::test(start_paused = true)]
async fn actions_are_listed_by_name_with_those_that_are_always_there() {
    let listed = client().await.action_list(NoParams {}).await.unwrap();
    let names: Vec<_> = listed.actions.iter().map(|action| action.name.as_str()).collect();
    assert_eq!(names, ["echo", "get_env", "greet", "ping", "sleep"]);
}

#[tokio::test(start_paused = true)]
async fn an_action_is_given_its_agent_its_parameters_and_who_asks() {
    let client = client().await;
    let greeted = run(&client, json!({"action": "greet", "params": ["ann"]})).await.unwrap();
    assert_eq!(greeted, "\"worker greets ann for local\"");
    let echoed = run(&client, json!({"action": "echo", "params": {"a": [1, null]}})).await;
    assert_eq!(echoed.unwrap(), r#"{"a":[1,null]}"#);
    assert_eq!(run(&client, json!({"action": "echo"})).await.unwrap(), "null");
    let pong = run(&client, json!({"action": "ping"})).await.unwrap();
    assert_eq!(pong, r#"{"pong":true,"status":"running"}"#);
    assert_eq!(run(&client, json!({"action": "get_env"})).await.unwrap(), r#"{"names":[]}"#);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_cannot_be_run_says_why() {
    let client = client().await;
    let unknown = run(&client, json!({"action": "nosuch"})).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert_eq!(unknown.detail("what").unwrap(), "action");
    assert_eq!(unknown.detail("available").unwrap().as_array().unwrap().len(), 5);
    let wrong = run(&client, json!({"action": "greet", "params": {"a": 1}})).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidParams);
    assert_eq!(wrong.detail("path").unwrap(), "params");
    let failed = run(&client, json!({"action": "greet", "params": [""]})).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Other);
    assert_eq!(failed.message(), "greet: nobody");
    let nobody = json!({"agent_id": "nobody", "action": "ping"});
    assert_eq!(run(&client, nobody).await.unwrap_err().kind(), ErrorKind::AgentNotFound);
    let long = json!({"action": "ping", "timeout_secs": 3601});
    assert_eq!(run(&client, long).await.unwrap_err().detail("path").unwrap(), "timeout_secs");
}

#[tokio::test(start_paused = true)]
async fn an_action_may_take_as_long_as_it_is_given_and_no_longer() {
    let client = client().await;
    let began = tokio::time::Instant::now();
    let late = run(&client, json!({"action": "sleep"})).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(run(&client, json!({"action": "sleep", "timeout_secs": 61})).await.unwrap(), "null");
}
