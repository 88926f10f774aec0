//! Which command is sent when: a state machine without sockets, files or a clock of its own.
//!
//! Commands wait in order, those of control before all others. Whatever was sent and not answered
//! when a connection is lost goes back to its place. The connection is tried by asking the daemon
//! for its health, so that nothing is sent to nobody.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::limits::{
    CONTROL_IN_FLIGHT, CONTROL_QUEUED, IN_FLIGHT, QUEUE_BYTES, SENT_MOST, SLOW_RETRY,
    WAITS_IN_FLIGHT,
};

/// What a command costs beside its parameters.
const COMMAND_BYTES: usize = 512;
/// A connection that held for so long was a good one, whatever it carried.
const STEADY: Duration = Duration::from_secs(5);
/// The pause after a good connection, and before a daemon is asked again that takes no work now.
const BREATH: Duration = Duration::from_millis(500);
/// Pauses are between half and the whole of their length: this is the whole.
pub(super) const WHOLE: u32 = 1000;

/// Names a command; later ones are greater.
pub(super) type Ticket = u64;

/// A call that can wait.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) method: String,
    pub(super) params: Box<RawValue>,
    /// With a key it is executed once, however often it is sent; without one it only reads.
    pub(super) key: Option<String>,
    /// Whether it overtakes what waits.
    pub(super) control: bool,
    /// Whether the daemon may wait long before it answers; then it counts apart.
    pub(super) waits: bool,
    /// How long it may take, from when it is sent.
    pub(super) deadline: Duration,
}

/// What was configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) max_waiting: usize,
    pub(super) auto_reconnect: bool,
    pub(super) quick_attempts: u32,
    pub(super) quick_pause: Duration,
    /// After how much silence the daemon is asked for its health; never without.
    pub(super) heartbeat: Option<Duration>,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask the daemon for its health, over a new connection if there is none.
    Ask,
    /// Send this command.
    Send(Ticket),
    /// It waited for too long and is gone: whether it was sent before, and its key.
    Expire(Ticket, bool, Option<String>),
}

/// There is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// How many wait already.
    pub(super) waiting: usize,
}

/// Commands that were taken and are not answered.
pub(super) struct Queue {
    rules: Rules,
    entries: BTreeMap<Ticket, Entry>,
    work: Lane,
    control: Lane,
    /// When those that wait have waited for too long.
    expiries: BTreeSet<(Instant, Ticket)>,
    bytes: usize,
    link: Link,
    /// Whether the daemon was asked for its health and has not answered.
    asked: bool,
    /// When the daemon last answered anything.
    heard: Instant,
    /// The daemon takes no work before.
    resting: Option<Instant>,
}

struct Entry {
    command: Arc<Command>,
    expires: Instant,
    place: Place,
    /// How often it was sent.
    sent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It may not be sent yet.
    Held,
    /// It is to be sent.
    Waiting,
    /// Its answer is to come.
    Sent,
}

#[derive(Default)]
struct Lane {
    waiting: BTreeSet<Ticket>,
    held: usize,
    sent: usize,
    /// Those that were sent and wait at the daemon.
    away: usize,
}

#[derive(Clone, Copy, Debug)]
enum Link {
    /// Nothing was tried yet, or nothing is to be tried by itself.
    Idle { failed: u32 },
    /// It is to be tried again at a time.
    Away { failed: u32, again: Instant },
    /// The daemon is there.
    Up { failed: u32, since: Instant, useful: bool },
}

impl Queue {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            entries: BTreeMap::new(),
            work: Lane::default(),
            control: Lane::default(),
            expiries: BTreeSet::new(),
            bytes: 0,
            link: Link::Idle { failed: 0 },
            asked: false,
            heard: now,
            resting: None,
        }
    }

    /// How many commands wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.work.queued() + self.control.queued()
    }

    /// Whether there is room for `command`.
    pub(super) fn room(&self, command: &Command) -> Result<(), Full> {
        let most = if command.control { CONTROL_QUEUED } else { self.rules.max_waiting };
        let waiting = self.lane(command.control).queued();
        if waiting >= most || self.bytes + weight(command) > QUEUE_BYTES {
            return Err(Full { waiting });
        }
        Ok(())
    }

    /// Takes a command that may wait until `expires`; with `held` it is not sent before
    /// [`Self::release`].
    pub(super) fn accept(
        &mut self,
        ticket: Ticket,
        command: Arc<Command>,
        expires: Instant,
        held: bool,
    ) {
        self.bytes += weight(&command);
        let lane = self.lane_mut(command.control);
        let place = if held {
            lane.held += 1;
            Place::Held
        } else {
            lane.waiting.insert(ticket);
            self.expiries.insert((expires, ticket));
            Place::Waiting
        };
        self.entries.insert(ticket, Entry { command, expires, place, sent: 0 });
    }

    /// A command that was held may be sent; false if it is gone.
    pub(super) fn release(&mut self, ticket: Ticket) -> bool {
        let Some(entry) = self.entries.get_mut(&ticket) else { return false };
        if entry.place == Place::Held {
            entry.place = Place::Waiting;
            let (control, expires) = (entry.command.control, entry.expires);
            self.expiries.insert((expires, ticket));
            let lane = self.lane_mut(control);
            lane.held -= 1;
            lane.waiting.insert(ticket);
        }
        true
    }

    /// Nobody waits for the answer any more; true if the command is gone. What was sent stays
    /// until its outcome is known, unless it only reads.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> bool {
        let Some(entry) = self.entries.get(&ticket) else { return false };
        let goes = match entry.place {
            Place::Held => true,
            Place::Waiting => entry.sent == 0 || entry.command.key.is_none(),
            Place::Sent => false,
        };
        if goes {
            self.remove(ticket);
        }
        goes
    }

    /// The command, and how often it was sent.
    pub(super) fn get(&self, ticket: Ticket) -> Option<(&Arc<Command>, u32)> {
        self.entries.get(&ticket).map(|entry| (&entry.command, entry.sent))
    }

    /// The daemon has answered.
    pub(super) fn answered(&mut self, ticket: Ticket, now: Instant) {
        self.hear(now);
        if let Link::Up { useful, .. } = &mut self.link {
            *useful = true;
        }
        self.remove(ticket);
    }

    /// The command is not to be seen through any more, wherever it is.
    pub(super) fn give_up(&mut self, ticket: Ticket) {
        self.remove(ticket);
    }

    /// Whether there is a connection, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// The daemon takes no work now: the command goes back to its place.
    pub(super) fn defer(&mut self, ticket: Ticket, now: Instant, random: u32) {
        self.hear(now);
        self.resting = Some(now + share(BREATH, random));
        self.put_back(ticket);
    }

    /// The daemon has said how it is.
    pub(super) fn reached(&mut self, now: Instant) {
        self.hear(now);
        self.asked = false;
        self.link = match self.link {
            Link::Idle { failed } | Link::Away { failed, .. } => {
                Link::Up { failed, since: now, useful: false }
            }
            up @ Link::Up { .. } => up,
        };
    }

    /// There is no connection, or it is lost. What was sent goes back to its place, unless that
    /// was done often enough; without reconnection nothing does, and nothing that waits is kept.
    /// Told is what has to be given up.
    pub(super) fn lost(&mut self, now: Instant, random: u32) -> Vec<Ticket> {
        self.asked = false;
        self.resting = None;
        let (failed, pause) = match self.link {
            Link::Up { since, useful, .. } if useful || now >= since + STEADY => (0, BREATH),
            Link::Idle { failed } | Link::Away { failed, .. } | Link::Up { failed, .. } => {
                let failed = failed.saturating_add(1);
                (failed, self.pause(failed))
            }
        };
        if self.rules.auto_reconnect {
            self.link = Link::Away { failed, again: now + share(pause, random) };
            let sent = self.entries.iter().filter(|(_, entry)| entry.place == Place::Sent);
            let sent = sent.map(|(ticket, entry)| (*ticket, entry.sent >= SENT_MOST));
            let (given_up, kept): (Vec<_>, Vec<_>) = sent.partition(|(_, often)| *often);
            kept.into_iter().for_each(|(ticket, _)| self.put_back(ticket));
            return given_up.into_iter().map(|(ticket, _)| ticket).collect();
        }
        self.link = Link::Idle { failed: 0 };
        let unheld = self.entries.iter().filter(|(_, entry)| entry.place != Place::Held);
        unheld.map(|(ticket, _)| *ticket).collect()
    }

    /// Those that wait and were never sent, so that they had no effect.
    pub(super) fn unsent(&self) -> Vec<Ticket> {
        let unsent =
            self.entries.iter().filter(|(_, entry)| entry.sent == 0 && entry.place != Place::Held);
        unsent.map(|(ticket, _)| *ticket).collect()
    }

    /// What is to be done now; to be asked until there is nothing.
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        if let Some(&(expires, ticket)) = self.expiries.first()
            && expires <= now
        {
            let entry = self.remove(ticket);
            let (sent, key) =
                entry.map_or((false, None), |entry| (entry.sent > 0, entry.command.key.clone()));
            return Some(Step::Expire(ticket, sent, key));
        }
        let asks = match self.link {
            Link::Idle { .. } => self.is_wanted(),
            Link::Away { again, .. } => now >= again && self.is_wanted_or_watched(),
            Link::Up { .. } => {
                if let Some(ticket) = self.next(now) {
                    return Some(Step::Send(ticket));
                }
                self.heartbeat_at().is_some_and(|at| now >= at)
            }
        };
        if asks && !self.asked {
            self.asked = true;
            return Some(Step::Ask);
        }
        None
    }

    /// When something is to be done by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let expiry = self.expiries.first().map(|(expires, _)| *expires);
        let link = match self.link {
            Link::Idle { .. } => None,
            Link::Away { again, .. } => Some(again).filter(|_| self.is_wanted_or_watched()),
            Link::Up { .. } => self.heartbeat_at(),
        };
        let link = link.filter(|_| !self.asked);
        let rest = self.resting.filter(|_| !self.work.waiting.is_empty());
        [expiry, link, rest].into_iter().flatten().min()
    }

    /// The command that is sent next.
    fn next(&mut self, now: Instant) -> Option<Ticket> {
        if self.resting.is_some_and(|until| now >= until) {
            self.resting = None;
        }
        let urgent = self.first(&self.control, CONTROL_IN_FLIGHT);
        let rests = self.resting.is_some();
        let ticket = urgent.or_else(|| self.first(&self.work, IN_FLIGHT).filter(|_| !rests))?;
        let entry = self.entries.get_mut(&ticket)?;
        entry.place = Place::Sent;
        entry.sent += 1;
        let (command, expires) = (Arc::clone(&entry.command), entry.expires);
        self.expiries.remove(&(expires, ticket));
        let lane = self.lane_mut(command.control);
        lane.waiting.remove(&ticket);
        *lane.under_way(&command) += 1;
        Some(ticket)
    }

    /// The first of a lane, if not too many are under way.
    fn first(&self, lane: &Lane, most: usize) -> Option<Ticket> {
        let ticket = *lane.waiting.first()?;
        let waits = self.entries.get(&ticket).is_some_and(|entry| entry.command.waits);
        let is_free = if waits { lane.away < WAITS_IN_FLIGHT } else { lane.sent < most };
        is_free.then_some(ticket)
    }

    fn heartbeat_at(&self) -> Option<Instant> {
        self.rules.heartbeat.map(|interval| self.heard + interval)
    }

    fn is_wanted(&self) -> bool {
        !(self.work.waiting.is_empty() && self.control.waiting.is_empty())
    }

    fn is_wanted_or_watched(&self) -> bool {
        self.is_wanted() || self.rules.heartbeat.is_some()
    }

    fn pause(&self, failed: u32) -> Duration {
        if failed <= self.rules.quick_attempts { self.rules.quick_pause } else { SLOW_RETRY }
    }

    fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    fn put_back(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get_mut(&ticket) else { return };
        entry.place = Place::Waiting;
        let (command, expires) = (Arc::clone(&entry.command), entry.expires);
        self.expiries.insert((expires, ticket));
        let lane = self.lane_mut(command.control);
        *lane.under_way(&command) -= 1;
        lane.waiting.insert(ticket);
    }

    /// Takes a command out, wherever it is.
    fn remove(&mut self, ticket: Ticket) -> Option<Entry> {
        let entry = self.entries.remove(&ticket)?;
        self.bytes -= weight(&entry.command);
        self.expiries.remove(&(entry.expires, ticket));
        let lane = self.lane_mut(entry.command.control);
        match entry.place {
            Place::Held => lane.held -= 1,
            Place::Waiting => {
                lane.waiting.remove(&ticket);
            }
            Place::Sent => *lane.under_way(&entry.command) -= 1,
        }
        Some(entry)
    }

    fn lane(&self, control: bool) -> &Lane {
        if control { &self.control } else { &self.work }
    }

    fn lane_mut(&mut self, control: bool) -> &mut Lane {
        if control { &mut self.control } else { &mut self.work }
    }
}

impl Lane {
    fn queued(&self) -> usize {
        self.waiting.len() + self.held
    }

    /// Where a command that was sent is counted.
    fn under_way(&mut self, command: &Command) -> &mut usize {
        if command.waits { &mut self.away } else { &mut self.sent }
    }
}

fn weight(command: &Command) -> usize {
    COMMAND_BYTES + command.params.get().len()
}

/// Between half of `whole` and all of it, as `random` of 0 to [`WHOLE`] says.
fn share(whole: Duration, random: u32) -> Duration {
    whole.saturating_mul(WHOLE + random.min(WHOLE)) / (2 * WHOLE)
}
