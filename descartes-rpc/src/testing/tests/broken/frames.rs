//! Messages that come twice, not at all, in part, or as others.

use bytes::Bytes;
use serde_json::Value;

use super::{Fault, Heard, Sent, assert_noticed, is_answer, is_event, method_of, parsed};

const RESUMED: &str = "whoever comes back with any cursor sees the rest and nothing twice";
const LIVE: &str = "history comes first, then word that it was all, then what is new";
const ANSWERED: &str = "64 calls sent at once are answered each";
const UNSUBSCRIBED: &str = "a subscription ends when its reader asks";
const BATCH: &str = "big answers come whole in one batch";
const LINE: &str = "a line of 200,000 bytes arrives whole";

/// Sends what `which` picks twice.
fn twice(which: fn(&[u8]) -> bool) -> impl Fault {
    Heard(move |frame: Bytes| if which(&frame) { vec![frame.clone(), frame] } else { vec![frame] })
}

/// Loses the first of what `which` picks.
fn first_lost(which: fn(&[u8]) -> bool) -> impl Fault {
    let mut lost = false;
    Heard(
        move |frame: Bytes| {
            if which(&frame) && !std::mem::replace(&mut lost, true) { vec![] } else { vec![frame] }
        },
    )
}

fn is(method: &'static str) -> impl Fn(&[u8]) -> bool {
    move |frame| method_of(frame).as_deref() == Some(method)
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_twice_is_noticed() {
    assert_noticed(|| twice(is_answer), &[ANSWERED, "answers come as they are ready"]).await;
    assert_noticed(|| twice(is_event), &[RESUMED, LIVE]).await;
    assert_noticed(|| twice(|frame| is("event.synced")(frame)), &[LIVE]).await;
    let last = ["after its last word a stream is closed, and nothing follows", UNSUBSCRIBED];
    assert_noticed(|| twice(|frame| is("event.ended")(frame)), &last).await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_lost_is_noticed() {
    assert_noticed(|| first_lost(is_answer), &[ANSWERED, "a number as id"]).await;
    assert_noticed(|| first_lost(is_event), &[RESUMED, LIVE]).await;
    assert_noticed(|| first_lost(|frame| is("event.synced")(frame)), &[LIVE]).await;
    let ends = ["on shutdown a subscription ends with word", UNSUBSCRIBED];
    assert_noticed(|| first_lost(|frame| is("event.ended")(frame)), &ends).await;
    let gap = ["what is no longer kept is told as a gap"];
    assert_noticed(|| first_lost(|frame| is("event.gap")(frame)), &gap).await;
}

#[tokio::test(start_paused = true)]
async fn one_event_lost_far_inside_is_noticed() {
    let third_lost = || {
        let mut events = 0;
        Heard(move |frame: Bytes| {
            events += usize::from(is_event(&frame));
            if is_event(&frame) && events == 3 { vec![] } else { vec![frame] }
        })
    };
    assert_noticed(third_lost, &[RESUMED, "history is the same whenever it is read"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_arrives_is_noticed() {
    let every_fifth_lost = || {
        let mut count = 0;
        Sent(move |frame| {
            count += 1;
            if count % 5 == 0 { vec![] } else { vec![frame] }
        })
    };
    assert_noticed(
        every_fifth_lost,
        &[ANSWERED, "who leaves takes back nothing that was asked for"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_cut_off_is_noticed() {
    const LONGEST: usize = 60_000;
    let cut = || Heard(|frame: Bytes| vec![frame.slice(..frame.len().min(LONGEST))]);
    assert_noticed(cut, &[BATCH, LINE]).await;
    let in_two = || {
        Heard(|mut frame: Bytes| {
            if frame.len() <= LONGEST {
                return vec![frame];
            }
            let first = frame.split_to(LONGEST);
            vec![first, frame]
        })
    };
    assert_noticed(in_two, &[BATCH, LINE]).await;
}

#[tokio::test(start_paused = true)]
async fn frames_that_come_as_one_are_noticed() {
    let merged = || {
        let mut kept: Option<Bytes> = None;
        Heard(move |frame: Bytes| match kept.take() {
            Some(before) => vec![[&before[..], b"\n", &frame[..]].concat().into()],
            None if is_event(&frame) => {
                kept = Some(frame);
                vec![]
            }
            None => vec![frame],
        })
    };
    assert_noticed(merged, &[RESUMED, LIVE]).await;
}

#[tokio::test(start_paused = true)]
async fn a_big_message_that_is_swallowed_is_noticed() {
    const LONGEST: usize = 256 << 10;
    let small = |frame: Bytes| if frame.len() > LONGEST { vec![] } else { vec![frame] };
    assert_noticed(move || Heard(small), &[BATCH, "answers that nobody reads for long are whole"])
        .await;
    let limits = ["a message of just the limit is taken", "a message of one byte too many"];
    assert_noticed(move || Sent(small), &limits).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_answered_in_pieces_is_noticed() {
    let pieces = || {
        Heard(|frame: Bytes| match serde_json::from_slice::<Vec<Value>>(&frame) {
            Ok(answers) => answers.iter().map(|answer| answer.to_string().into()).collect(),
            Err(_) => vec![frame],
        })
    };
    let cases = ["a mixed batch", "a batch is one array, whole when its slowest is done"];
    assert_noticed(pieces, &cases).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_notification_is_noticed() {
    let with_id = || {
        Sent(|frame: Bytes| match parsed(&frame) {
            Value::Object(mut call) if call.contains_key("method") && !call.contains_key("id") => {
                call.insert("id".into(), Value::Null);
                vec![Value::Object(call).to_string().into()]
            }
            _ => vec![frame],
        })
    };
    let cases = ["a notification", "a notification of nothing", "a notification that fails"];
    assert_noticed(with_id, &cases).await;
}

#[tokio::test(start_paused = true)]
async fn numbers_that_go_through_a_number_type_are_noticed() {
    let number_type = || {
        Heard(|frame: Bytes| {
            let parsed = serde_json::from_slice::<Value>(&frame);
            vec![parsed.map_or(frame, |value| value.to_string().into())]
        })
    };
    let cases = [
        "an id beyond 2^64",
        "numbers come back as they were written",
        "numbers mean what they meant when they come back",
    ];
    assert_noticed(number_type, &cases).await;
}

#[tokio::test(start_paused = true)]
async fn text_that_loses_characters_is_noticed() {
    let ascii = || {
        Sent(|frame: Bytes| {
            vec![frame.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }).collect()]
        })
    };
    assert_noticed(ascii, &["text comes back as it was sent", "an id beyond ASCII", LINE]).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_of_the_transports_own_is_noticed() {
    const PING: &[u8] = br#"{"jsonrpc":"2.0","method":"ping"}"#;
    let chatty = || {
        Heard(|frame: Bytes| {
            let ping = is_answer(&frame).then(|| Bytes::from_static(PING));
            [frame].into_iter().chain(ping).collect()
        })
    };
    let cases = ["a number as id", "a connection hears only of its own subscriptions"];
    assert_noticed(chatty, &cases).await;
}
