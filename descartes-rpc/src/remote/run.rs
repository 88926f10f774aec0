//! The task that owns a run: follows it, passes on what is asked of it, and tells how it ended.

use std::future::pending;
use std::sync::Arc;

use descartes_core::agent::AgentId;
use descartes_core::runner::{AgentDriver, RunExit};
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::control::{Hands, Told};
use super::follow::Follow;
use super::reach::{Owned, Remote};
use super::start::Begun;
use super::{StartOutcome, exit, outlook};

/// What is known of a run when its task begins.
pub(super) struct Place {
    /// Which agent of ours.
    pub(super) agent: AgentId,
    /// Which run of it.
    pub(super) run: u32,
    /// What the remote calls it, when that is known.
    pub(super) id: Option<Arc<str>>,
    /// Where its events go on; from their beginning when absent.
    pub(super) cursor: Option<String>,
    /// Whether the remote has said that there is such an agent.
    pub(super) sure: bool,
    /// Whether it was told to end by a host that died.
    pub(super) stopping: bool,
    /// What becomes of its start, which a host that died left in the queue.
    pub(super) starting: Option<BoxFuture<'static, StartOutcome>>,
}

impl Place {
    /// It has just begun.
    pub(super) fn begun(agent: AgentId, run: u32, begun: Begun) -> Self {
        let (id, cursor) = (Some(begun.id.into()), Some(begun.cursor));
        Self { agent, run, id, cursor, sure: true, stopping: false, starting: None }
    }

    /// An earlier host had it.
    pub(super) fn unsure(agent: AgentId, run: u32, id: Option<String>) -> Self {
        let id = id.map(Into::into);
        Self { agent, run, id, cursor: None, sure: false, stopping: false, starting: None }
    }
}

/// How a run ended, and whether anything of it may be left at the remote.
pub(super) struct End {
    pub(super) exit: RunExit,
    pub(super) is_gone: bool,
}

impl End {
    /// Nothing of it is left.
    pub(super) fn gone(exit: RunExit) -> Self {
        Self { exit, is_gone: true }
    }

    /// It may still run.
    fn left(why: &'static str) -> Self {
        Self { exit: exit::lost(why), is_gone: false }
    }
}

/// A run of the remote, as its task owns it.
pub(super) struct Run {
    remote: Arc<Remote>,
    owned: Owned,
    place: Place,
}

impl Run {
    pub(super) fn new(remote: Arc<Remote>, owned: Owned, place: Place) -> Self {
        Self { remote, owned, place }
    }

    /// Works until the run has ended, or nobody has it any more.
    pub(super) async fn work(self, driver: AgentDriver) {
        let Self { remote, owned, place } = self;
        let (mut controls, events) = driver.split();
        let (follows, is_followed) = watch::channel(true);
        let (found, id) = watch::channel(place.id.clone());
        let (tell, told) = watch::channel(Told::None);
        let mut hands = Hands::new(Arc::clone(&remote), id, tell);
        let patience = outlook::patience(&events, remote.away(), is_followed, remote.lost_after());
        let follow = Follow::new(Arc::clone(&remote), place, (follows, found));
        let end = tokio::select! {
            biased;
            end = follow.until_it_ends(&events) => end,
            exit = seen_by_a_kill(told.clone()) => End::gone(exit),
            () = patience => match told.borrow().as_ref() {
                Some((exit, _)) => End::gone(*exit),
                None => End::left("the remote did not answer for too long"),
            },
            () = hands.work(&mut controls) => End::left("nobody has the agent any more"),
        };
        if end.is_gone {
            owned.release();
        } else {
            drop(owned);
        }
        hands.settle().await;
        events.exited(end.exit).await;
    }
}

/// The end that a kill told, when its event does not come.
async fn seen_by_a_kill(mut told: watch::Receiver<Told>) -> RunExit {
    let seen = told.wait_for(Option::is_some).await.ok().and_then(|told| *told);
    match seen {
        Some((exit, counts)) => {
            sleep_until(counts).await;
            exit
        }
        None => pending().await,
    }
}
