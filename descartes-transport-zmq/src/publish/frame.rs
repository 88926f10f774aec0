//! An event as the one frame that subscribers get: its topic, a space, its JSON.

use std::{borrow::Cow, collections::BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

/// The topics whose messages are the chunk itself, with the event's members beside it.
const CHAT: &str = "chat/";

/// The message of `event`, which is an event object as JSON.
///
/// The JSON is the one that was written for all readers; here it is copied behind its topic, and
/// nothing of it is read but that.
///
/// # Errors
///
/// When it is no event.
pub(super) fn message(event: &Bytes) -> serde_json::Result<Bytes> {
    if let Some(topic) = leading_topic(event) {
        return if topic.starts_with(CHAT.as_bytes()) {
            flattened(event)
        } else {
            Ok(joined(topic, event))
        };
    }
    let topic = serde_json::from_slice::<OnlyTopic<'_>>(event)?.topic;
    if topic.starts_with(CHAT) {
        return flattened(event);
    }
    Ok(joined(topic.as_bytes(), event))
}

fn joined(topic: &[u8], json: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(topic.len() + 1 + json.len());
    message.put_slice(topic);
    message.put_u8(b' ');
    message.put_slice(json);
    message.freeze()
}

/// The topic where our own events have it: `{"cursor":"…","seq":1,"topic":"…"`; nothing when it
/// stands elsewhere or is written with escapes.
fn leading_topic(event: &[u8]) -> Option<&[u8]> {
    let rest = event.strip_prefix(b"{\"cursor\":\"")?;
    let (_, rest) = plain_text(rest)?;
    let rest = rest.strip_prefix(b",\"seq\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = rest[digits..].strip_prefix(b",\"topic\":\"")?;
    plain_text(rest).map(|(topic, _)| topic)
}

/// A text up to its closing quote, and what follows that.
fn plain_text(from: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = from.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    (from[end] == b'"').then(|| (&from[..end], &from[end + 1..]))
}

#[derive(Deserialize)]
struct OnlyTopic<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
}

/// An event of a chat, of which every member stays as it is written.
#[derive(Deserialize)]
struct ChatEvent<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    cursor: &'a RawValue,
    #[serde(borrow)]
    seq: &'a RawValue,
    #[serde(borrow)]
    offset: &'a RawValue,
    #[serde(borrow)]
    timestamp: &'a RawValue,
    #[serde(borrow)]
    by: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The chunk with the event's members beside it; what both have is the chunk's. So a client that
/// splits at the first space and reads `type` and `content` works.
fn flattened(event: &[u8]) -> serde_json::Result<Bytes> {
    let chat: ChatEvent<'_> = serde_json::from_slice(event)?;
    let chunk = chat.data.get().trim();
    let Some(inside) = chunk.strip_suffix('}').filter(|_| chunk.starts_with('{')) else {
        return Ok(joined(chat.topic.as_bytes(), event));
    };
    let Names(taken) = serde_json::from_str(chunk)?;
    let session = serde_json::value::to_raw_value(chat.topic.strip_prefix(CHAT).unwrap_or(""))?;
    let topic = serde_json::value::to_raw_value(&chat.topic)?;
    let members: [(&str, &RawValue); 7] = [
        ("session_id", &session),
        ("cursor", chat.cursor),
        ("seq", chat.seq),
        ("topic", &topic),
        ("offset", chat.offset),
        ("timestamp", chat.timestamp),
        ("by", chat.by),
    ];
    let mut message = BytesMut::with_capacity(event.len() + topic.get().len() + chunk.len());
    message.put_slice(chat.topic.as_bytes());
    message.put_u8(b' ');
    message.put_slice(inside.trim_end().as_bytes());
    let mut comma = if taken.is_empty() { "" } else { "," };
    for (name, value) in members.iter().filter(|(name, _)| !taken.contains(*name)) {
        message.put_slice(format!("{comma}\"{name}\":{}", value.get()).as_bytes());
        comma = ",";
    }
    message.put_u8(b'}');
    Ok(message.freeze())
}

/// The names of an object's members.
struct Names<'a>(BTreeSet<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Names<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
        let members = std::collections::BTreeMap::<Name<'_>, IgnoredAny>::deserialize(input)?;
        Ok(Self(members.into_keys().map(|Name(name)| name).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(event: &str) -> String {
        let message = message(&Bytes::copy_from_slice(event.as_bytes())).unwrap();
        String::from_utf8(message.to_vec()).unwrap()
    }

    #[test]
    fn an_event_stands_behind_its_topic() {
        for event in [
            r#"{"cursor":"c.1.7","seq":7,"topic":"agent/01/output","offset":0,"data":{"topic":"x"}}"#,
            r#"{"cursor": "c.1.7", "seq": 7, "topic": "agent/01/output"}"#,
            r#"{"seq":7,"topic":"agent\/01\u002foutput"}"#,
        ] {
            assert_eq!(published(event), format!("agent/01/output {event}"));
        }
    }

    #[test]
    fn what_is_no_event_is_not_published() {
        for text in ["", "{}", "[]", r#"{"topic":1}"#, r#"{"cursor":"c","seq":7,"topic":"a"#] {
            assert!(message(&Bytes::copy_from_slice(text.as_bytes())).is_err(), "{text}");
        }
    }

    #[test]
    fn on_chats_the_chunk_is_the_message_and_the_events_members_are_beside_it() {
        let event = concat!(
            r#"{"cursor":"c.1.9","seq":41,"topic":"chat/0198","offset":7,"#,
            r#""timestamp":"2026-11-21T04:16:00.120Z","by":"local","type":"chat.chunk","#,
            r#""data":{"type":"text","content":"Hi","turn":1}}"#
        );
        let expected = concat!(
            r#"chat/0198 {"type":"text","content":"Hi","turn":1,"session_id":"0198","#,
            r#""cursor":"c.1.9","seq":41,"topic":"chat/0198","offset":7,"#,
            r#""timestamp":"2026-11-21T04:16:00.120Z","by":"local"}"#
        );
        assert_eq!(published(event), expected);
    }

    #[test]
    fn no_member_of_a_chat_message_is_there_twice() {
        let event = |data: &str| {
            format!(
                r#"{{"cursor":"c","seq":1,"topic":"chat/s","offset":0,"timestamp":"t","by":"b","type":"chat.chunk","data":{data}}}"#
            )
        };
        assert_eq!(
            published(&event(r#"{"type":"closed","by":"ann","session_id":"other" } "#)),
            r#"chat/s {"type":"closed","by":"ann","session_id":"other","cursor":"c","seq":1,"topic":"chat/s","offset":0,"timestamp":"t"}"#
        );
        assert_eq!(
            published(&event("{}")),
            r#"chat/s {"session_id":"s","cursor":"c","seq":1,"topic":"chat/s","offset":0,"timestamp":"t","by":"b"}"#
        );
        let no_chunk = event("7");
        assert_eq!(published(&no_chunk), format!("chat/s {no_chunk}"));
    }
}
