//! The order in which one connection's calls take effect.

use serde_json::json;

use super::serving::Client;
use crate::fixture::Fixture;

#[tokio::test]
async fn changes_of_one_thing_begin_one_after_the_other_and_of_another_at_once() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    client.call(1, "change", "a").await;
    client.call(2, "change", "a").await;
    client.call(3, "change", "b").await;
    client.nothing().await;
    assert_eq!(fixture.log(), ["begin change a", "begin change b"]);
    fixture.open("b", 1);
    assert_eq!(client.answer().await, (3, json!("b")));
    fixture.open("a", 1);
    assert_eq!(client.answer().await, (1, json!("a")));
    client.nothing().await;
    assert_eq!(fixture.log().len(), 3);
    fixture.open("a", 1);
    assert_eq!(client.answer().await, (2, json!("a")));
}

#[tokio::test]
async fn the_next_begins_as_soon_as_the_effect_has_its_place() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    client.call(1, "place", "a").await;
    client.call(2, "change", "a").await;
    client.nothing().await;
    assert_eq!(fixture.log(), ["begin place a", "begin change a"]);
}

#[tokio::test]
async fn control_overtakes_and_what_was_sent_after_it_comes_after_it() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    client.call(1, "change", "a").await;
    client.call(2, "stop", "a").await;
    client.call(3, "change", "a").await;
    client.nothing().await;
    assert_eq!(fixture.log(), ["begin change a", "begin stop a"]);
    fixture.open("a", 2);
    client.answer().await;
    client.answer().await;
    client.nothing().await;
    assert_eq!(fixture.log().len(), 3);
}

#[tokio::test]
async fn a_batch_takes_effect_in_the_order_of_the_array() {
    let (fixture, rpc) = Fixture::rpc();
    let mut client = Client::of(rpc);
    let call = |id| json!({"jsonrpc": "2.0", "id": id, "method": "change", "params": ["a"]});
    client.send(&json!([call(1), call(2), call(3)])).await;
    client.call(4, "change", "a").await;
    fixture.open("a", 3);
    let answers = client.next().await;
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3]);
    client.nothing().await;
    fixture.open("a", 1);
    assert_eq!(client.answer().await, (4, json!("a")));
}
