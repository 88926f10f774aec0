//! What a subscriber wants: beginnings of messages, counted and bounded.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::limits::{PREFIX_BYTES, PREFIXES};

/// The prefixes of one subscriber, each with how often it was asked for: who subscribes twice and
/// cancels once is still subscribed, as with libzmq.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    counts: BTreeMap<Bytes, u64>,
    bytes: usize,
}

/// A subscriber asks for more different prefixes than are kept for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more subscriptions than are kept for one subscriber")]
pub(super) struct TooMany;

impl Prefixes {
    /// Counts one more subscription to `prefix`.
    pub(super) fn subscribe(&mut self, prefix: &[u8]) -> Result<(), TooMany> {
        if let Some(count) = self.counts.get_mut(prefix) {
            *count = count.saturating_add(1);
            return Ok(());
        }
        if self.counts.len() >= PREFIXES || self.bytes + prefix.len() > PREFIX_BYTES {
            return Err(TooMany);
        }
        self.bytes += prefix.len();
        // A copy, because what arrived may be part of a buffer that is larger by far.
        self.counts.insert(Bytes::copy_from_slice(prefix), 1);
        Ok(())
    }

    /// Takes one subscription to `prefix` away; one that there is not is nothing.
    pub(super) fn cancel(&mut self, prefix: &[u8]) {
        let Some(count) = self.counts.get_mut(prefix) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(prefix);
            self.bytes -= prefix.len();
        }
    }

    /// What all of them want together.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted::of_sorted(self.counts.keys())
    }
}

/// A set of prefixes of which none begins with another, in order: so that one of them at most can
/// match, and halving finds it. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(Arc<[Bytes]>);

impl Wanted {
    fn of_sorted<'a>(prefixes: impl Iterator<Item = &'a Bytes>) -> Self {
        let mut kept: Vec<Bytes> = Vec::new();
        for prefix in prefixes {
            if kept.last().is_none_or(|last| !prefix.starts_with(last)) {
                kept.push(prefix.clone());
            }
        }
        Self(kept.into())
    }

    /// What is wanted by both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut both: Vec<_> = self.within(other).chain(other.within(self)).collect();
        both.sort_unstable();
        Self::of_sorted(both.into_iter())
    }

    /// The prefixes of which `other` wants every message.
    fn within(&self, other: &Self) -> impl Iterator<Item = &Bytes> {
        self.0.iter().filter(|prefix| other.matches(prefix))
    }

    /// How many prefixes these are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `message` begins with one of them.
    pub(super) fn matches(&self, message: &[u8]) -> bool {
        let before = self.0.partition_point(|prefix| prefix[..] <= *message);
        before.checked_sub(1).is_some_and(|last| message.starts_with(&self.0[last]))
    }

    /// The topics to read, as `event.subscribe` takes them: what covers every message that is
    /// wanted, and little beside it.
    pub(super) fn topics(&self) -> Vec<String> {
        let mut topics: Vec<_> = self.0.iter().filter_map(|prefix| topic_of(prefix)).collect();
        topics.dedup();
        topics
    }
}

impl Wanted {
    /// What covers the same and is refused to nobody: all topics that begin with a word, of which
    /// each reader is shown those that it may read.
    pub(super) fn rooms(&self) -> Vec<String> {
        let room =
            |topic: String| format!("{}*", topic.split(['/', '*']).next().unwrap_or_default());
        let mut rooms: Vec<_> = self.topics().into_iter().map(room).collect();
        rooms.sort_unstable();
        rooms.dedup();
        rooms
    }
}

/// The topics whose messages can begin with `prefix`; none when that is no text.
fn topic_of(prefix: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(prefix) {
        Ok(text) => text,
        // It may end inside of a character; what comes before is whole.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&prefix[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    match text.split_once(' ') {
        Some((topic, json)) if is_whole(topic) && (json.is_empty() || json.starts_with('{')) => {
            Some(topic.to_owned())
        }
        // Beginnings of a topic, or what only looks like one.
        _ => Some(format!("{text}*")),
    }
}

/// Whether `event.subscribe` takes `topic` for this one topic and looks up no name in it.
fn is_whole(topic: &str) -> bool {
    const IDENTIFIER: usize = 36;
    let Some((agent, _)) = topic.strip_prefix("agent/").and_then(|rest| rest.split_once('/'))
    else {
        return !topic.is_empty() && !topic.ends_with(['/', '*']);
    };
    agent.len() == IDENTIFIER
        && agent.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
        && !topic.ends_with(['/', '*'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn wanted(prefixes: &[&str]) -> Wanted {
        let mut all = Prefixes::default();
        for prefix in prefixes {
            all.subscribe(prefix.as_bytes()).unwrap();
        }
        all.wanted()
    }

    #[test]
    fn a_message_is_wanted_when_it_begins_with_a_prefix() {
        let some = wanted(&["agent/01/", "agent/01/output", "sys", "system {\"x"]);
        for (message, is_wanted) in [
            ("agent/01/output {}", true),
            ("agent/01/", true),
            ("agent/01", false),
            ("agent/02/output {}", false),
            ("system {}", true),
            ("sy", false),
            ("zzz", false),
            ("", false),
        ] {
            assert_eq!(some.matches(message.as_bytes()), is_wanted, "{message}");
        }
        assert!(wanted(&[""]).matches(b""));
        assert!(!wanted(&[]).matches(b"anything"));
    }

    #[test]
    fn rooms_cover_what_is_wanted_and_name_nothing_in_them() {
        let of = |prefixes: &[&str]| wanted(prefixes).rooms();
        assert_eq!(of(&["agent/x/output", "agent/y", "audit "]), ["agent*", "audit*"]);
        assert_eq!(of(&["sys", "chat/1 {"]), ["chat*", "sys*"]);
        assert_eq!(of(&["", "audit"]), ["*"]);
    }

    #[test]
    fn who_subscribes_twice_and_cancels_once_is_still_subscribed() {
        let mut prefixes = Prefixes::default();
        prefixes.subscribe(b"a").unwrap();
        prefixes.subscribe(b"a").unwrap();
        prefixes.cancel(b"a");
        assert!(prefixes.wanted().matches(b"abc"));
        prefixes.cancel(b"a");
        assert!(prefixes.wanted().is_empty());
        prefixes.cancel(b"a");
        prefixes.subscribe(b"a").unwrap();
        assert!(prefixes.wanted().matches(b"abc"));
    }

    #[test]
    fn subscriptions_are_bounded_in_number_and_in_bytes() {
        let mut many = Prefixes::default();
        for number in 0..PREFIXES {
            many.subscribe(&number.to_be_bytes()).unwrap();
        }
        assert_eq!(many.subscribe(b"one more"), Err(TooMany));
        many.subscribe(&0_usize.to_be_bytes()).unwrap();
        let mut long = Prefixes::default();
        long.subscribe(&vec![b'x'; PREFIX_BYTES]).unwrap();
        assert_eq!(long.subscribe(b"y"), Err(TooMany));
        long.cancel(&vec![b'x'; PREFIX_BYTES]);
        long.subscribe(b"y").unwrap();
    }

    #[test]
    fn what_is_read_covers_what_is_wanted() {
        const ID: &str = "0194c8e0-7a00-7000-8000-0123456789ab";
        for (prefix, topic) in [
            ("", "*".to_owned()),
            ("agent/", "agent/*".to_owned()),
            ("agent/01", "agent/01*".to_owned()),
            ("system", "system*".to_owned()),
            ("system ", "system".to_owned()),
            ("system {\"cursor\":\"1", "system".to_owned()),
            ("two words {", "two words {*".to_owned()),
            (" {", " {*".to_owned()),
            ("agent/name/output ", "agent/name/output *".to_owned()),
            (&format!("agent/{ID}/output "), format!("agent/{ID}/output")),
            (&format!("agent/{ID}/output"), format!("agent/{ID}/output*")),
        ] {
            assert_eq!(topic_of(prefix.as_bytes()), Some(topic), "{prefix}");
        }
        assert_eq!(topic_of(b"caf\xc3"), Some("caf*".to_owned()));
        assert_eq!(topic_of(b"caf\xff/"), None);
    }

    proptest! {
        #[test]
        fn halving_finds_what_looking_at_each_finds(
            prefixes in proptest::collection::vec("[ab]{0,4}", 0..8),
            others in proptest::collection::vec("[ab]{0,4}", 0..4),
            message in "[ab]{0,6}",
            bytes in any::<Vec<u8>>(),
        ) {
            let of = |texts: &[String]| wanted(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let slow = |texts: &[String]| texts.iter().any(|prefix| message.starts_with(prefix));
            let set = of(&prefixes);
            assert_eq!(set.matches(message.as_bytes()), slow(&prefixes));
            let both = set.and(&of(&others));
            assert_eq!(both.matches(message.as_bytes()), slow(&prefixes) && slow(&others));
            let _ = topic_of(&bytes);
        }
    }
}
