//! The end of the daemon. It ends once, so its claims are watched together.

use std::{fmt, future::Future};

use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{CLOSING, errors, fresh_key, quiet_topic};
use crate::testing::conformance::{
    Harness, Link, Outcome,
    expect::{Failure, check, failure},
    session::{Feed, Session},
};

const LAST_WORD: &str = "on shutdown a subscription ends with word";
const CLOSED: &str = "after its last word a stream is closed, and nothing follows";
const BEGUN: &str = "on shutdown what was begun is answered";
const EACH: &str = "on shutdown each subscription of a connection ends with word";
const IDLE: &str = "on shutdown an idle connection is closed";
const LATE: &str = "who comes after a shutdown is not served";

/// The claims, those of duplex connections alone with a mark.
pub(in crate::testing::conformance) const CLAIMS: [(&str, bool); 6] = [
    (LAST_WORD, false),
    (CLOSED, false),
    (BEGUN, false),
    (EACH, true),
    (IDLE, true),
    (LATE, false),
];

/// What is still to be seen of a claim once the daemon ends.
type Watch = BoxFuture<'static, Result<(), Failure>>;

/// Ends the daemon, if that can be, and tells what came of each claim.
pub(in crate::testing::conformance) async fn outcomes(
    harness: &dyn Harness,
) -> Vec<(&'static str, Outcome)> {
    let watches = match prepare(harness).await {
        Ok(watches) => watches,
        Err(error) => return all(&Outcome::Failed(format!("before the shutdown: {error}"))),
    };
    if !harness.shut_down().await {
        return all(&Outcome::Skipped("this harness has no way to shut down"));
    }
    let watched = watches.into_iter().map(|(claim, watch)| async move { (claim, watch.await) });
    let mut outcomes = join_all(watched).await;
    outcomes.push((LATE, nobody_is_served(harness).await));
    let outcome = |seen: Result<(), Failure>| match seen {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why.to_string()),
    };
    let mut outcomes: Vec<_> =
        outcomes.into_iter().map(|(claim, seen)| (claim, outcome(seen))).collect();
    if let Link::Exchange(_) = harness.link() {
        let duplex_only = CLAIMS.iter().filter(|(_, duplex)| *duplex);
        let why = Outcome::Skipped("needs a duplex connection");
        outcomes.extend(duplex_only.map(|(claim, _)| (*claim, why.clone())));
    }
    outcomes
}

/// The same outcome for every claim.
pub(in crate::testing::conformance) fn all(outcome: &Outcome) -> Vec<(&'static str, Outcome)> {
    CLAIMS.iter().map(|(claim, _)| (*claim, outcome.clone())).collect()
}

/// Opens what will be watched.
async fn prepare(harness: &dyn Harness) -> Result<Vec<(&'static str, Watch)>, Failure> {
    let mut watches: Vec<(&'static str, Watch)> = Vec::new();
    watches.push((LAST_WORD, Box::pin(ends_with_word(subscribed(harness).await?))));
    watches.push((CLOSED, Box::pin(is_closed(subscribed(harness).await?))));
    watches.push((BEGUN, Box::pin(begun(harness).await?)));
    if let Link::Duplex(_) = harness.link() {
        watches.push((EACH, Box::pin(each_ends(subscribed(harness).await?).await?)));
        watches.push((IDLE, Box::pin(idle(harness).await?)));
    }
    Ok(watches)
}

async fn subscribed(harness: &dyn Harness) -> Result<Feed, Failure> {
    let params = json!({"topics": ["agent/"], "after": "now"});
    let mut feed = Session::open(harness).await?.follow(params).await?;
    feed.expect("event.synced").await?;
    Ok(feed)
}

/// Reads on to the last word, which must be the right one.
async fn last_word(feed: &mut Feed) -> Result<(), Failure> {
    loop {
        let heard = feed.next().await?.ok_or_else(|| failure("it ended without word"))?;
        if heard["method"] == "event.ended" {
            let params = &heard["params"];
            check(params["reason"] == "shutdown", || format!("ended with {params}"))?;
            return check(params["cursor"].is_string(), || format!("no cursor: {params}"));
        }
    }
}

async fn ends_with_word(mut feed: Feed) -> Result<(), Failure> {
    last_word(&mut feed).await
}

async fn is_closed(mut feed: Feed) -> Result<(), Failure> {
    last_word(&mut feed).await?;
    ends(feed.next()).await
}

/// What is listened to says nothing more and ends soon, be it in order or broken off.
async fn ends<T: fmt::Debug>(
    listening: impl Future<Output = Result<Option<T>, Failure>>,
) -> Result<(), Failure> {
    match timeout(CLOSING, listening).await {
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(more))) => Err(failure(format!("before the end came {more:?}"))),
        Ok(Err(broken)) if broken.is_of_channel() => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => Err(failure(format!("still open {} s after it", CLOSING.as_secs()))),
    }
}

/// A call that waits, begun for certain: something that stands before it in the same message has
/// had its effect.
async fn begun(
    harness: &dyn Harness,
) -> Result<impl Future<Output = Result<(), Failure>> + use<>, Failure> {
    let key = fresh_key("shutdown");
    let put = json!({"key": key, "value": true});
    let wait = json!({"topics": [quiet_topic()], "after": "now", "wait_ms": 30_000});
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "state.put", "params": put},
        {"jsonrpc": "2.0", "id": 2, "method": "event.read", "params": wait},
    ]);
    let mut session = Session::open(harness).await?;
    let asked = tokio::spawn(async move { session.ask(batch.to_string()).await });
    super::calls::keys_of(&mut Session::open(harness).await?, &key, 1).await?;
    Ok(async move {
        let answer = asked.await.map_err(|error| failure(format!("asking failed: {error}")))??;
        let answers: Vec<Value> = serde_json::from_slice(&answer)
            .map_err(|error| failure(format!("not the answers to a batch: {error}")))?;
        let of = |id| answers.iter().find(|answer| answer["id"] == id);
        let put = of(1).is_some_and(|answer| answer.get("result").is_some());
        check(put, || format!("not told what had its effect: {answers:?}"))?;
        let wait = of(2).ok_or_else(|| failure("the wait was not answered"))?;
        errors::whole(&wait["error"], "unavailable").map(drop)
    })
}

/// Two subscriptions of one connection, each with a last word of its own.
async fn each_ends(
    mut feed: Feed,
) -> Result<impl Future<Output = Result<(), Failure>> + use<>, Failure> {
    let params = json!({"topics": [quiet_topic()], "after": "now"});
    feed.duplex()?.call("event.subscribe", params).await?;
    Ok(async move {
        let mut ended = std::collections::BTreeSet::new();
        while ended.len() < 2 {
            let heard = feed.next().await?.ok_or_else(|| failure("it ended without word"))?;
            if heard["method"] == "event.ended" {
                let of = heard["params"]["subscription_id"].to_string();
                check(ended.insert(of), || "one of them ended twice".into())?;
            }
        }
        ends(feed.next()).await
    })
}

async fn idle(
    harness: &dyn Harness,
) -> Result<impl Future<Output = Result<(), Failure>> + use<>, Failure> {
    let mut duplex = Session::open(harness).await?.duplex()?;
    duplex.call("system.health", json!({})).await?;
    Ok(async move { ends(duplex.frame()).await })
}

/// Whoever comes now is turned away at the door, or told so.
async fn nobody_is_served(harness: &dyn Harness) -> Result<(), Failure> {
    let come = async {
        loop {
            let mut session = Session::open(harness).await?;
            let answered = session.try_call("system.health", json!({})).await;
            // A client that keeps connections comes by one that was there before: it is heard as
            // long as the end of that may be on its way.
            if !matches!((harness.link(), &answered), (Link::Exchange(_), Ok(Ok(_)))) {
                break answered;
            }
        }
    };
    match timeout(CLOSING, come).await {
        Ok(Ok(Ok(health))) => Err(failure(format!("it was answered {health}"))),
        Ok(Ok(Err(_)) | Err(_)) => Ok(()),
        Err(_) => Err(failure("it was left waiting, or was served on and on")),
    }
}
