//! What a subscriber costs and gets, in front of a journal whose every event is known.

use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    io::ErrorKind,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use descartes_rpc::{
    connection::SubscriptionTicket,
    message::{EndReason, Id, Notification, Reply, Request, Response, Text},
    peer::Peer,
};
use futures_core::Stream;
use futures_util::SinkExt;
use serde::Deserialize;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tower::Service;

use super::{PATIENCE, STALL, Subscriber, connect, connect_as};
use crate::{
    limits::PREFIXES,
    publish::{follow::Follow, prefixes::Prefixes},
    zmtp::{Multipart, SocketType},
};

const TOPICS: [&str; 3] = ["a/x", "a/y", "b"];
/// About how long an event is.
const EVENT_BYTES: u64 = 1000;

/// A journal of so many events, which go round the topics; more can be committed.
#[derive(Clone)]
struct Journal(Arc<Shared>);

struct Shared {
    head: AtomicU64,
    committed: Notify,
    /// How many events readers have taken.
    read: AtomicU64,
    opened: AtomicU64,
    /// History cannot be read at this position, once.
    broken_at: AtomicU64,
}

impl Journal {
    fn new(head: u64) -> Self {
        Self(Arc::new(Shared {
            head: AtomicU64::new(head),
            committed: Notify::new(),
            read: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            broken_at: AtomicU64::new(u64::MAX),
        }))
    }

    fn commit(&self, events: u64) {
        self.0.head.fetch_add(events, Ordering::SeqCst);
        self.0.committed.notify_waiters();
    }

    fn head(&self) -> u64 {
        self.0.head.load(Ordering::SeqCst)
    }

    fn read(&self) -> u64 {
        self.0.read.load(Ordering::SeqCst)
    }

    fn opened(&self) -> u64 {
        self.0.opened.load(Ordering::SeqCst)
    }

    fn breaks_at(&self, place: u64) {
        self.0.broken_at.store(place, Ordering::SeqCst);
    }

    /// Waits until so many readers were opened.
    async fn has_opened(&self, readers: u64) {
        while self.opened() < readers {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until nobody has anything left to do: on a clock that stands still, time goes on only
    /// then.
    async fn has_settled(&self) {
        sleep(Duration::from_millis(1)).await;
        assert!(self.opened() <= self.head() + 1);
    }

    fn topic(place: u64) -> &'static str {
        TOPICS[(place % TOPICS.len() as u64) as usize]
    }

    fn event(place: u64) -> Notification {
        let (topic, offset) = (Self::topic(place), place / TOPICS.len() as u64);
        let text = "x".repeat(EVENT_BYTES as usize);
        let event = format!(
            r#"{{"cursor":"{place}","seq":{place},"topic":"{topic}","offset":{offset},"data":"{text}"}}"#
        );
        Notification::Event {
            subscription_id: Text::default(),
            cursor: place.to_string().into(),
            event: event.into(),
        }
    }
}

#[derive(Deserialize)]
struct Asked {
    topics: Vec<String>,
    after: String,
}

impl Service<Request> for Journal {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        assert_eq!(request.method, "event.subscribe");
        assert!(request.streams);
        let asked: Asked = serde_json::from_slice(request.params.as_bytes().unwrap()).unwrap();
        let ticket = request.connection.open_subscription().unwrap();
        let result = format!(r#"{{"subscription_id":"{}"}}"#, ticket.id());
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        let place = match asked.after.as_str() {
            "now" => self.head(),
            place => place.parse().unwrap(),
        };
        let reader = Reader {
            journal: self.clone(),
            topics: asked.topics,
            ticket,
            place,
            history: Some(self.head()),
            ended: false,
        };
        let outcome = Ok(result.into());
        ready(Ok(Reply {
            response: Some(Response { id: request.id.unwrap_or(Id::Null), outcome }),
            notifications: Some(Box::pin(reader.notifications())),
        }))
    }
}

/// A subscription, as core has them: it says what is next when it is asked.
struct Reader {
    journal: Journal,
    topics: Vec<String>,
    ticket: SubscriptionTicket,
    /// Of the last event that was looked at; the first is 1.
    place: u64,
    history: Option<u64>,
    ended: bool,
}

impl Reader {
    fn notifications(self) -> impl Stream<Item = Notification> + Send {
        futures_util::stream::unfold(self, |mut reader| async move {
            let said = reader.next().await?;
            Some((said, reader))
        })
    }

    async fn next(&mut self) -> Option<Notification> {
        if self.ended {
            return None;
        }
        loop {
            let shared = Arc::clone(&self.journal.0);
            let committed = shared.committed.notified();
            if let Poll::Ready(reason) = poll_fn(|cx| Poll::Ready(self.ticket.poll_ended(cx))).await
            {
                return Some(self.end(reason));
            }
            if self.history.is_some_and(|end| self.place >= end) {
                self.history = None;
                let cursor = self.place.to_string().into();
                return Some(Notification::Synced { subscription_id: Text::default(), cursor });
            }
            if self.place == self.journal.head() {
                let ended = poll_fn(|cx| self.ticket.poll_ended(cx).map(drop));
                tokio::select! { () = committed => {}, () = ended => {} }
                continue;
            }
            if shared.broken_at.load(Ordering::SeqCst) == self.place {
                self.journal.breaks_at(u64::MAX);
                return Some(self.end(EndReason::StoreError));
            }
            self.place += 1;
            if self.wants(Journal::topic(self.place)) {
                shared.read.fetch_add(1, Ordering::SeqCst);
                return Some(Journal::event(self.place));
            }
        }
    }

    fn wants(&self, topic: &str) -> bool {
        self.topics.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(beginning) => topic.starts_with(beginning),
            None => topic == wanted,
        })
    }

    fn end(&mut self, reason: EndReason) -> Notification {
        self.ended = true;
        let cursor = self.place.to_string().into();
        Notification::Ended { subscription_id: Text::default(), reason, cursor }
    }
}

/// The places of the next `count` messages.
async fn places(subscriber: &mut Subscriber, count: usize) -> Vec<u64> {
    let mut places = Vec::new();
    while places.len() < count {
        let (topic, event) = subscriber.event().await.unwrap();
        let place = event["seq"].as_u64().unwrap();
        assert_eq!(topic, Journal::topic(place));
        places.push(place);
    }
    places
}

/// Those of `range` that are events of a topic which begins with one of `beginnings`.
fn of(range: RangeInclusive<u64>, beginnings: &[&str]) -> Vec<u64> {
    let wanted =
        |place: &u64| beginnings.iter().any(|text| Journal::topic(*place).starts_with(text));
    range.filter(wanted).collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_gets_everything_in_order() {
    let journal = Journal::new(0);
    let mut subscriber = connect(&journal, 64).await;
    subscriber.subscribe("a/").await;
    journal.has_opened(1).await;
    journal.commit(3000);
    let expected = of(1..=3000, &["a/"]);
    assert_eq!(places(&mut subscriber, expected.len()).await, expected);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_costs_what_its_socket_holds_and_is_cut() {
    const HELD: u64 = 256 << 10;
    let journal = Journal::new(0);
    let mut stuck = connect(&journal, 64).await;
    stuck.subscribe("").await;
    journal.has_opened(1).await;
    journal.commit(100_000);
    let started = Instant::now();
    let ended = timeout(PATIENCE, &mut stuck.served).await.unwrap().unwrap().unwrap_err();
    assert_eq!(ended.to_string(), "the subscriber takes nothing");
    assert!(started.elapsed() >= STALL);
    assert!(journal.read() * EVENT_BYTES < HELD, "{} events were taken", journal.read());
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_delays_nobody() {
    let journal = Journal::new(0);
    let mut stuck = connect(&journal, 64).await;
    stuck.subscribe("").await;
    journal.has_opened(1).await;
    let mut good = connect(&journal, 4096).await;
    good.subscribe("").await;
    journal.has_opened(2).await;
    let started = Instant::now();
    for _ in 0..100 {
        journal.commit(100);
        places(&mut good, 100).await;
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn who_takes_little_is_not_cut() {
    let journal = Journal::new(0);
    let mut slow = connect(&journal, 64).await;
    slow.subscribe("").await;
    journal.has_opened(1).await;
    journal.commit(100_000);
    for place in 1..=20 {
        sleep(STALL / 3).await;
        assert_eq!(places(&mut slow, 1).await, [place]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_begins_now_also_for_who_is_behind() {
    let journal = Journal::new(0);
    let mut slow = connect(&journal, 64).await;
    slow.subscribe("b").await;
    journal.has_opened(1).await;
    journal.commit(3000);
    slow.subscribe("a/x").await;
    let mut seen = Vec::new();
    while journal.opened() < 2 {
        seen.extend(places(&mut slow, 1).await);
    }
    assert!(seen.len() < 900, "it was not behind");
    journal.commit(300);
    let mut expected = of(1..=3000, &["b"]);
    expected.extend(of(3001..=3300, &["a/x", "b"]));
    seen.extend(places(&mut slow, expected.len() - seen.len()).await);
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_come_and_go_without_a_gap_in_the_others() {
    let journal = Journal::new(7);
    let mut subscriber = connect(&journal, 4096).await;
    subscriber.subscribe("a/x").await;
    journal.has_opened(1).await;
    let (mut begun, mut readers) = (8, 1);
    for round in 0..20 {
        journal.commit(30);
        if round % 2 == 0 {
            subscriber.subscribe("b").await;
        } else {
            subscriber.cancel("b").await;
        }
        readers += 1;
        journal.has_opened(readers).await;
        journal.commit(30);
        // What is committed between the two may be told or not, in the order of the journal.
        let (mut ours, end) = (Vec::new(), begun + 59);
        while ours.last() != of(begun..=end, &["a/x"]).last() {
            let place = places(&mut subscriber, 1).await[0];
            ours.extend((Journal::topic(place) == "a/x").then_some(place));
        }
        assert_eq!(ours, of(begun..=end, &["a/x"]));
        begun = end + 1;
    }
}

#[tokio::test(start_paused = true)]
async fn who_subscribes_twice_and_cancels_once_is_still_told() {
    let journal = Journal::new(0);
    let mut subscriber = connect(&journal, 4096).await;
    subscriber.subscribe("b").await;
    subscriber.subscribe("b").await;
    subscriber.cancel("b").await;
    subscriber.subscribe("a/x").await;
    journal.has_settled().await;
    journal.commit(30);
    let expected = of(1..=30, &["a/x", "b"]);
    assert_eq!(places(&mut subscriber, expected.len()).await, expected);
    subscriber.cancel("b").await;
    journal.has_settled().await;
    journal.commit(30);
    let expected = of(31..=60, &["a/x"]);
    assert_eq!(places(&mut subscriber, expected.len()).await, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_for_who_wants_nothing() {
    let journal = Journal::new(0);
    let mut subscriber = connect(&journal, 4096).await;
    journal.commit(30);
    journal.has_settled().await;
    assert_eq!((journal.opened(), journal.read()), (0, 0));
    subscriber.subscribe("b").await;
    journal.has_settled().await;
    journal.commit(30);
    assert_eq!(places(&mut subscriber, 10).await, of(31..=60, &["b"]));
    subscriber.cancel("b").await;
    journal.has_settled().await;
    journal.commit(30);
    journal.has_settled().await;
    assert_eq!((journal.opened(), journal.read()), (1, 10));
    subscriber.subscribe("a/x").await;
    journal.has_settled().await;
    journal.commit(30);
    assert_eq!(places(&mut subscriber, 10).await, of(91..=120, &["a/x"]));
}

#[tokio::test(start_paused = true)]
async fn what_no_topic_begins_with_is_asked_of_nobody() {
    let journal = Journal::new(0);
    let mut subscriber = connect(&journal, 4096).await;
    subscriber.socket.subscribe(b"\xff").unwrap();
    subscriber.subscribe("b").await;
    journal.has_settled().await;
    journal.commit(3);
    assert_eq!(places(&mut subscriber, 1).await, of(1..=3, &["b"]));
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_read_for_a_while_loses_nothing() {
    let journal = Journal::new(0);
    let mut subscriber = connect(&journal, 4096).await;
    subscriber.subscribe("").await;
    journal.has_opened(1).await;
    journal.breaks_at(20);
    journal.commit(60);
    assert_eq!(places(&mut subscriber, 60).await, of(1..=60, &[""]));
    assert_eq!(journal.opened(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_sends_what_was_committed_and_hangs_up() {
    let journal = Journal::new(0);
    let mut subscriber = connect(&journal, 64).await;
    subscriber.subscribe("a/").await;
    journal.has_opened(1).await;
    journal.commit(3000);
    subscriber.subscribe("b").await;
    subscriber.shut_down();
    let expected = of(1..=3000, &["a/"]);
    let mut seen = Vec::new();
    while let Some((topic, event)) = subscriber.event().await {
        if topic != "b" {
            seen.push(event["seq"].as_u64().unwrap());
        }
    }
    assert_eq!(seen, expected);
    subscriber.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_nobody_who_takes_nothing_or_wants_nothing() {
    let journal = Journal::new(0);
    let mut stuck = connect(&journal, 64).await;
    stuck.subscribe("").await;
    journal.has_opened(1).await;
    journal.commit(3000);
    journal.has_settled().await;
    let started = Instant::now();
    stuck.shut_down();
    let ended = timeout(PATIENCE, &mut stuck.served).await.unwrap().unwrap().unwrap_err();
    assert_eq!(ended.to_string(), "the subscriber takes nothing");
    assert!(started.elapsed() < STALL / 2);
    let mut idle = connect(&journal, 64).await;
    idle.shut_down();
    assert_eq!(idle.event().await, None);
    idle.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_wants_too_much_is_cut() {
    let journal = Journal::new(0);
    let mut greedy = connect(&journal, 1 << 20).await;
    for number in 0..=PREFIXES {
        greedy.socket.subscribe(format!("topic {number}").as_bytes()).unwrap();
    }
    greedy.socket.flush().await.unwrap();
    let ended = timeout(PATIENCE, &mut greedy.served).await.unwrap().unwrap().unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::QuotaExceeded);
}

#[tokio::test]
async fn who_changes_its_mind_and_takes_nothing_costs_what_it_wants() {
    let mut follow = Follow::new(Journal::new(3000), Peer::owner("zmq"));
    let mut prefixes = Prefixes::default();
    prefixes.subscribe(b"a/").unwrap();
    for number in 0..10_000_u32 {
        prefixes.subscribe(&number.to_be_bytes()).unwrap();
        follow.follow(prefixes.wanted());
        prefixes.cancel(&number.to_be_bytes());
    }
    assert!(follow.remembered() <= 2, "{} prefixes", follow.remembered());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_subscription_is_ignored() {
    let journal = Journal::new(0);
    let mut subscriber = connect_as(SocketType::XSub, &journal, 4096).await;
    for text in ["\x02hello", "", "{\"jsonrpc\":\"2.0\"}"] {
        subscriber.socket.send(Multipart::single(text)).await.unwrap();
    }
    let frames = vec!["\x01b".into(), "more".into()];
    subscriber.socket.send(Multipart::new(frames).unwrap()).await.unwrap();
    subscriber.subscribe("a/x").await;
    journal.has_opened(1).await;
    journal.commit(30);
    let expected = of(1..=30, &["a/x"]);
    assert_eq!(places(&mut subscriber, expected.len()).await, expected);
}
