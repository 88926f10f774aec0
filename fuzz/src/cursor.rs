//! Cursors: text that was given out is read back as the same place, other text is refused, and a
//! reader that comes back with one is given everything behind it, in order, and nothing twice.

use std::sync::Arc;

use descartes_core::{
    Descartes,
    cursor::{Cursor, Position},
    event::{EventBody, NewEvent, Topic, TopicFilter},
    journal::{After, ReadPage, ReadRequest, SubscribeError, SubscribeRequest},
    store::Batch,
    testing::FakeRunner,
    time::Timestamp,
};
use tokio::runtime::Runtime;

use crate::input::Input;

pub(crate) const WORDS: &[&str] = &[
    ".",
    "0",
    "1",
    "00000000",
    "ffffffff",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "start",
    "now",
    "\u{1}",
    "\u{2}",
];

/// Events of the history that readers come back to.
const EVENTS: u64 = 30;

thread_local! {
    static HISTORY: History = History::new();
}

struct History {
    runtime: Runtime,
    descartes: Descartes,
    /// The last position before our events.
    begin: u64,
}

/// Byte 0 says what the rest is: 0 a text, 1 the numbers of two cursors, 2 a place in a history,
/// else a text behind the beginning of a cursor of that history.
pub fn cursor(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() {
        0 => any_text(&String::from_utf8_lossy(input.rest())),
        1 => {
            let (one, other) = (numbers(&mut input), numbers(&mut input));
            text_and_place_are_the_same(one, other);
        }
        2 => HISTORY.with(|history| history.a_reader_comes_back(&mut input)),
        _ => HISTORY.with(|history| {
            let ours = history.descartes.journal().head().to_string();
            let (store, _) = ours.split_once('.').expect("a cursor has parts");
            any_text(&format!("{store}.{}", String::from_utf8_lossy(input.rest())));
        }),
    }
}

fn numbers(input: &mut Input<'_>) -> Cursor {
    let (store, epoch) = (input.number(), input.number());
    let narrow = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap_or_default();
    let position = Position(input.number());
    Cursor { store: narrow(store >> 8), epoch: narrow(epoch), position, byte: narrow(store >> 40) }
}

fn text_and_place_are_the_same(one: Cursor, other: Cursor) {
    for cursor in [one, other] {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let whole = cursor.read_whole();
        let begun = u64::from(cursor.byte > 0);
        assert_eq!(whole.0, cursor.position.0.saturating_sub(begun), "what was read whole");
    }
    assert_eq!(one == other, one.to_string() == other.to_string(), "{one} and {other}");
}

fn any_text(text: &str) {
    let place = After::from_text(text);
    match (text, place) {
        ("start", place) => assert_eq!(place.ok(), Some(After::Start)),
        ("now", place) => assert_eq!(place.ok(), Some(After::Now)),
        (text, Ok(After::Cursor(cursor))) => {
            assert_eq!(cursor.to_string(), text, "one place has one text");
            HISTORY.with(|history| history.read_behind(cursor));
        }
        (text, Ok(place)) => panic!("{text:?} is {place:?}"),
        (text, Err(error)) => {
            assert!(matches!(error, SubscribeError::NotACursor(_)), "{text:?}: {error}");
            assert!(!is_cursor(text), "{text:?} is one");
        }
    }
}

/// The grammar of cursors, once more: `store.epoch.position[.byte]`.
fn is_cursor(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let hex = |part: &str| {
        part.len() == 8 && part.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())
    };
    let decimal = |part: &str, most: u128| {
        let plain = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        let canonical = part == "0" || !part.starts_with('0');
        plain && canonical && part.parse::<u128>().is_ok_and(|number| number <= most)
    };
    let (narrow, wide) = (u128::from(u32::MAX), u128::from(u64::MAX));
    match parts.as_slice() {
        [store, epoch, position] => hex(store) && decimal(epoch, narrow) && decimal(position, wide),
        [store, epoch, position, byte] => {
            let whole = hex(store) && decimal(epoch, narrow) && decimal(position, wide);
            whole && decimal(byte, narrow) && *byte != "0"
        }
        _ => false,
    }
}

impl History {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime without I/O needs nothing");
        let descartes = runtime.block_on(async {
            let runner = Arc::new(FakeRunner::echo());
            let built = Descartes::builder().runner(runner).build().await;
            built.expect("a store in memory opens")
        });
        let begin = descartes.journal().head().position.0;
        let history = Self { runtime, descartes, begin };
        for number in 0..EVENTS {
            let (by, body) = (Arc::from("fuzz"), EventBody::SystemRecovered);
            let event = NewEvent::new(topic(number), by, Timestamp::default(), &body);
            let commit = history.descartes.journal().commit(Batch::control().event(event));
            history.runtime.block_on(commit).expect("memory has room");
        }
        history
    }

    /// Reads page by page from a place on, with the texts that it was given.
    fn a_reader_comes_back(&self, input: &mut Input<'_>) {
        let of_topic = u64::from(input.byte() % 4);
        let begun = u32::from(input.byte() % 2);
        let place = self.begin + u64::from(input.byte()) % (EVENTS + 1);
        let mut cursor = self.descartes.journal().cursor(Position(place));
        cursor.byte = begun;
        // An event that was only begun is given again.
        let from = place.saturating_sub(u64::from(begun));
        let ours = (self.begin + 1)..=(self.begin + EVENTS);
        let due = ours.filter(|position| *position > from);
        let in_topic =
            |position: &u64| of_topic == 3 || (position - self.begin - 1) % 3 == of_topic;
        let due: Vec<u64> = due.filter(in_topic).collect();
        let mut seen = Vec::new();
        for _ in 0..=EVENTS {
            let limit = 1 + usize::from(input.byte() % 7);
            let page = self.read(cursor, of_topic, limit).expect("a place of this history");
            assert!(page.events.len() <= limit, "a page of {} for {limit}", page.events.len());
            assert!(page.gaps.is_empty(), "nothing was trimmed");
            seen.extend(page.events.iter().map(|event| event.position.0));
            assert!(page.cursor.position >= cursor.read_whole(), "a reader goes forward");
            cursor = page.cursor.to_string().parse().expect("what was given out is taken");
            if page.synced {
                break;
            }
        }
        seen.retain(|position| *position > self.begin);
        assert_eq!(seen, due, "from {place}, topic {of_topic}");
    }

    /// A cursor of this store and no later than its end is a place; every other is foreign.
    fn read_behind(&self, cursor: Cursor) {
        let head = self.descartes.journal().head();
        let known = cursor.store == head.store && cursor.epoch == head.epoch;
        match self.read(cursor, 3, 100) {
            Ok(page) => {
                assert!(known && cursor.position <= head.position, "{cursor} is not ours");
                let from = cursor.read_whole();
                assert!(page.events.iter().all(|event| event.position > from), "behind {cursor}");
            }
            Err(SubscribeError::Foreign) => {
                assert!(!known || cursor.position > head.position, "{cursor} is ours");
            }
            Err(error) => panic!("{cursor}: {error}"),
        }
    }

    fn read(
        &self,
        cursor: Cursor,
        of_topic: u64,
        limit: usize,
    ) -> Result<ReadPage, SubscribeError> {
        let filter = match of_topic {
            3 => TopicFilter::All,
            number => TopicFilter::Exact(topic(number)),
        };
        let follow = SubscribeRequest::new(vec![filter], After::Cursor(cursor));
        let mut request = ReadRequest::new(follow);
        request.limit = limit;
        self.runtime.block_on(self.descartes.journal().read(request))
    }
}

fn topic(number: u64) -> Topic {
    Topic::new(format!("fuzz/{}", number % 3))
}
