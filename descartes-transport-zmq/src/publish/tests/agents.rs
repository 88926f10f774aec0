//! What a subscriber is told of agents.

use std::time::Duration;

use descartes_rpc::{
    client::Client,
    service::Rpc,
    testing::{fake_agent, fake_service},
    wire::{agent::SpawnParams, control::WriteParams, event::ReadParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{Subscriber, connect};

fn params<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

struct House {
    rpc: Rpc,
    client: Client,
    /// An agent whose output tells that a subscription is in force.
    bell: String,
}

impl House {
    async fn new() -> Self {
        let rpc = fake_service(0).await;
        let client = Client::in_memory(rpc.clone());
        let mut house = Self { rpc, client, bell: String::new() };
        house.bell = house.spawn().await;
        house
    }

    async fn spawn(&self) -> String {
        let spawned = self.client.agent_spawn(params::<SpawnParams>(fake_agent())).await;
        spawned.unwrap().agent_id
    }

    async fn write(&self, agent: &str, text: &str, close: bool) {
        let write = json!({"agent_id": agent, "text": text, "close": close});
        self.client.agent_write_stdin(params::<WriteParams>(write)).await.unwrap();
    }

    /// A subscriber whose subscription to `prefix` is in force.
    async fn subscriber(&self, prefix: &str) -> Subscriber {
        let mut subscriber = connect(&self.rpc, 64 << 10).await;
        subscriber.subscribe(prefix).await;
        let bell = format!("agent/{}/output ", self.bell);
        subscriber.subscribe(&bell).await;
        loop {
            self.write(&self.bell, "ding\n", false).await;
            if timeout(Duration::from_millis(100), subscriber.event()).await.is_ok() {
                return subscriber;
            }
        }
    }

    /// The next event that is not the bell's.
    async fn event(&self, subscriber: &mut Subscriber) -> (String, Value) {
        loop {
            let (topic, event) = subscriber.event().await.unwrap();
            if !topic.contains(&self.bell) {
                return (topic, event);
            }
        }
    }

    /// All events of a topic or prefix.
    async fn read(&self, topic: &str) -> Vec<Value> {
        let read = ReadParams { topics: vec![topic.to_owned()], ..ReadParams::default() };
        let page = self.client.event_read(read).await.unwrap();
        page.events.iter().map(|event| serde_json::from_str(event.json()).unwrap()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn an_agents_life_as_a_subscriber_sees_it_is_what_event_read_tells() {
    let house = House::new().await;
    let mut subscriber = house.subscriber("agent/").await;
    let agent = house.spawn().await;
    for number in 0..20 {
        house.write(&agent, &format!("line {number}\n"), number == 19).await;
    }
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event: &Value| event["type"] != "agent.exited") {
        let (topic, event) = house.event(&mut subscriber).await;
        assert_eq!(event["topic"], topic.as_str());
        seen.push(event);
    }
    assert_eq!(seen, house.read(&format!("agent/{agent}/")).await);
}

#[tokio::test(start_paused = true)]
async fn a_late_subscriber_sees_what_comes_and_not_what_was() {
    let house = House::new().await;
    let early = house.spawn().await;
    house.write(&early, "before\n", false).await;
    while house.read(&format!("agent/{early}/output")).await.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let mut subscriber = house.subscriber(&format!("agent/{early}/out")).await;
    house.write(&early, "after\n", false).await;
    let (topic, event) = house.event(&mut subscriber).await;
    assert_eq!(topic, format!("agent/{early}/output"));
    assert_eq!(event["data"]["text"], "after\n");
    assert_eq!(event["offset"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_comes_again_heals_what_it_missed_by_its_cursor() {
    let house = House::new().await;
    let agent = house.spawn().await;
    let output = format!("agent/{agent}/output");
    let mut first = house.subscriber(&output).await;
    house.write(&agent, "one\n", false).await;
    let (_, one) = house.event(&mut first).await;
    drop(first);
    house.write(&agent, "two\n", false).await;
    let mut second = house.subscriber(&output).await;
    house.write(&agent, "three\n", false).await;
    let (_, three) = house.event(&mut second).await;
    assert_eq!((&one["offset"], &three["offset"]), (&json!(0), &json!(2)));
    let read = ReadParams {
        topics: vec![output],
        after: one["cursor"].as_str().map(str::to_owned),
        ..ReadParams::default()
    };
    let page = house.client.event_read(read).await.unwrap();
    let missed: Value = serde_json::from_str(page.events[0].json()).unwrap();
    assert_eq!(missed["data"]["text"], "two\n");
    assert_eq!(page.events[1].head().cursor, three["cursor"].as_str().unwrap());
}
