//! What the agents of each owner have cost in the last day, and whether that owner may spend more.
//!
//! It is counted where a turn ends, as far as the program tells, and written down with the turn's end
//! in a document of the chat, which only the chat's own task writes. The sums by owner are made of
//! these documents when a host begins.

mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::chat::ChatId;
use crate::limits::{COST_CHATS, COST_OWNERS, COST_TURN_USD};
use crate::store::format::encode_cost;
use crate::store::{Key, Put, Space};
use crate::time::Timestamp;
pub(crate) use window::Window;

/// An owner's agents have cost in the last day what they may.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("what the agents of {owner} may cost in a day is spent: {spent:.2} of {most} USD")]
#[non_exhaustive]
pub struct CostReached {
    /// Whose agents.
    pub owner: Arc<str>,
    /// What they have cost in the last day, in USD.
    pub spent: f64,
    /// What they may cost in a day.
    pub most: f64,
    /// When so much of it is a day old that they may go on, if nothing more is spent until then.
    pub retry_after: Duration,
}

/// What the agents of a chat have cost in the last day: a document.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatCost {
    /// Whose it is.
    pub(crate) owner: Arc<str>,
    pub(crate) window: Window,
}

/// What was spent, by whom.
#[derive(Debug, Default)]
pub(crate) struct Costs(Mutex<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    /// As it is written down.
    chats: HashMap<ChatId, ChatCost>,
    /// The sums; those of owners who are too many are under no name.
    owners: HashMap<Arc<str>, Window>,
}

impl Costs {
    /// Counts what an earlier host has written down.
    pub(crate) fn load(&self, chat: ChatId, cost: ChatCost, now: Timestamp) {
        let mut ledger = self.lock();
        ledger.sum_of(&cost.owner, now).add_all(&cost.window, now);
        ledger.chats.insert(chat, cost);
    }

    /// Counts what a turn of a chat has cost; gives what is to be written down with its end.
    pub(crate) fn spend(
        &self,
        (chat, owner): (ChatId, &Arc<str>),
        usd: f64,
        now: Timestamp,
    ) -> Option<Put> {
        if !usd.is_finite() || usd <= 0.0 {
            return None;
        }
        let (usd, mut ledger) = (usd.min(COST_TURN_USD), self.lock());
        ledger.sum_of(owner, now).add(usd, now);
        if ledger.chats.len() >= COST_CHATS && !ledger.chats.contains_key(&chat) {
            tracing::warn!(%chat, "too many chats cost something: a restart forgets what this one did");
            return None;
        }
        let owner = Arc::clone(owner);
        let cost =
            ledger.chats.entry(chat).or_insert(ChatCost { owner, window: Window::default() });
        cost.window.add(usd, now);
        Some(Put::new(key(chat), Arc::clone(&cost.owner), encode_cost(cost)))
    }

    /// Whether `owner`, who may spend `most` in a day, may spend more.
    pub(crate) fn check(&self, owner: &str, most: f64, now: Timestamp) -> Result<(), CostReached> {
        let mut ledger = self.lock();
        let name = if ledger.knows(owner) { owner } else { SHARED };
        let Some(window) = ledger.owners.get_mut(name) else { return Ok(()) };
        let spent = window.spent(now);
        if spent < most {
            return Ok(());
        }
        let retry_after = window.free_in(most, now);
        Err(CostReached { owner: owner.into(), spent, most, retry_after })
    }

    /// Chats of which nothing counts any more.
    pub(crate) fn old(&self, now: Timestamp) -> Vec<ChatId> {
        let ledger = self.lock();
        let is_old = |(_, cost): &(&ChatId, &ChatCost)| cost.window.clone().spent(now) == 0.0;
        ledger.chats.iter().filter(is_old).map(|(chat, _)| *chat).collect()
    }

    pub(crate) fn forget(&self, chats: &[ChatId]) {
        let mut ledger = self.lock();
        for chat in chats {
            ledger.chats.remove(chat);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of those who are too many.
const SHARED: &str = "";

impl Ledger {
    /// The sum of `owner`. Where too many spend, those that came last share one.
    fn sum_of(&mut self, owner: &Arc<str>, now: Timestamp) -> &mut Window {
        if !self.knows(owner) {
            self.owners.retain(|_, window| window.spent(now) > 0.0);
        }
        let name = if self.knows(owner) { Arc::clone(owner) } else { SHARED.into() };
        self.owners.entry(name).or_default()
    }

    /// Whether `owner` has a sum of its own, or would have.
    fn knows(&self, owner: &str) -> bool {
        self.owners.len() < COST_OWNERS || self.owners.contains_key(owner)
    }
}

/// The document of what a chat has cost.
pub(crate) fn key(chat: ChatId) -> Key {
    Key::new(Space::COST, chat.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::format::decode_cost;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn spent(costs: &Costs, owner: &str) -> f64 {
        costs.check(owner, 0.001, NOW).err().map_or(0.0, |reached| reached.spent)
    }

    #[test]
    fn each_owner_has_a_sum_over_its_chats_and_what_was_written_down_gives_it_again() {
        let (costs, again) = (Costs::default(), Costs::default());
        let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
        let chats = [ChatId::generate(), ChatId::generate(), ChatId::generate()];
        let mut written = HashMap::new();
        for (chat, owner, usd) in
            [(0, &ann, 1.0), (1, &ann, 0.25), (0, &ann, 0.5), (2, &bob, 4.0), (2, &bob, f64::NAN)]
        {
            let put = costs.spend((chats[chat], owner), usd, NOW);
            assert_eq!(put.is_some(), usd.is_finite());
            written.extend(put.map(|put| (chats[chat], put)));
        }
        for (chat, put) in written {
            assert_eq!(put.key.id.as_ref(), chat.to_string());
            again.load(chat, decode_cost(&put.body).expect("it was encoded"), NOW);
        }
        for costs in [&costs, &again] {
            assert_eq!(
                (spent(costs, "ann"), spent(costs, "bob"), spent(costs, "cy")),
                (1.75, 4.0, 0.0)
            );
            assert_eq!(costs.check("ann", 1.8, NOW), Ok(()));
            let reached = costs.check("ann", 1.75, NOW).unwrap_err();
            assert!(reached.retry_after > Duration::from_secs(24 * 3600), "{reached:?}");
            assert_eq!(costs.check("ann", 1.75, NOW.after(reached.retry_after)), Ok(()));
        }
    }

    #[test]
    fn what_no_program_can_have_spent_neither_breaks_the_sum_nor_what_is_written() {
        let (costs, owner): (_, Arc<str>) = (Costs::default(), "ann".into());
        for usd in [f64::INFINITY, f64::NAN, -1.0, 0.0] {
            assert!(costs.spend((ChatId::generate(), &owner), usd, NOW).is_none(), "{usd}");
        }
        let chat = ChatId::generate();
        for _ in 0..3 {
            let put = costs.spend((chat, &owner), f64::MAX, NOW).expect("it is counted");
            decode_cost(&put.body).expect("it can be read again");
        }
        assert_eq!(spent(&costs, "ann"), 3.0 * COST_TURN_USD);
    }

    #[test]
    fn owners_who_are_too_many_share_a_sum_until_the_others_are_forgotten() {
        let costs = Costs::default();
        for number in 0..COST_OWNERS + 2 {
            costs.spend((ChatId::generate(), &number.to_string().into()), 1.0, NOW);
        }
        assert!(costs.lock().owners.len() <= COST_OWNERS + 1);
        assert_eq!((spent(&costs, "0"), spent(&costs, "one more")), (1.0, 2.0));
        let tomorrow = NOW.after(Duration::from_secs(26 * 3600));
        costs.spend((ChatId::generate(), &"one more".into()), 5.0, tomorrow);
        assert_eq!(costs.check("one more", 5.5, tomorrow), Ok(()));
        assert_eq!(costs.lock().owners.len(), 1);
        let old = costs.old(tomorrow);
        assert_eq!(old.len(), COST_OWNERS + 2);
        costs.forget(&old);
        assert_eq!(costs.lock().chats.len(), 1);
    }
}
