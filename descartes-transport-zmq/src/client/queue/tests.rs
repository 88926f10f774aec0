use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(300);
const LONG: Duration = Duration::from_secs(3000);

/// A queue with a clock that stands until it is moved, and no chance: pauses have their full length.
struct Bench {
    queue: Queue,
    now: Instant,
    next: Ticket,
    patience: Duration,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules {
            max_waiting: 1000,
            auto_reconnect: true,
            quick_attempts: 5,
            quick_pause: 5 * SECOND,
            heartbeat: None,
        };
        change(&mut rules);
        let now = Instant::now();
        Self { queue: Queue::new(rules, now), now, next: 0, patience: PATIENCE }
    }

    fn push_of(&mut self, kind: &str) -> Result<Ticket, Full> {
        let command = Command {
            method: kind.to_owned(),
            params: RawValue::from_string("{}".to_owned()).unwrap(),
            key: (kind != "read").then(|| "k".to_owned()),
            control: kind == "kill",
            waits: kind == "action",
            deadline: SECOND,
        };
        self.queue.room(&command)?;
        self.next += 1;
        self.queue.accept(self.next, Arc::new(command), self.now + self.patience, false);
        Ok(self.next)
    }

    fn push(&mut self) -> Ticket {
        self.push_of("spawn").unwrap()
    }

    fn steps(&mut self) -> Vec<Step> {
        std::iter::from_fn(|| self.queue.step(self.now)).collect()
    }

    fn lose(&mut self) {
        assert!(self.queue.lost(self.now, WHOLE).is_empty());
    }

    fn wait(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
    }

    /// Steps after the daemon was asked and answered.
    fn up(&mut self) -> Vec<Step> {
        assert_eq!(self.steps(), [Step::Ask]);
        self.queue.reached(self.now);
        self.steps()
    }

    fn until_deadline(&self) -> Option<u64> {
        self.queue.deadline().map(|at| at.saturating_duration_since(self.now).as_secs())
    }
}

#[test]
fn nothing_is_sent_before_the_daemon_has_spoken() {
    let mut bench = Bench::new(|_| {});
    assert_eq!(bench.steps(), []);
    let (first, second) = (bench.push(), bench.push());
    assert_eq!(bench.up(), [Step::Send(first), Step::Send(second)]);
    assert_eq!(bench.queue.waiting(), 0);
}

#[test]
fn quick_attempts_are_followed_by_slow_ones_and_commands_stay() {
    let mut bench = Bench::new(|_| {});
    bench.push();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert_eq!(bench.steps(), [Step::Ask]);
        bench.lose();
        assert_eq!(bench.steps(), []);
        let pause = bench.until_deadline().unwrap();
        bench.wait(pause);
        pauses.push(pause);
    }
    assert_eq!(pauses, [5, 5, 5, 5, 5, 30, 30, 30]);
    assert_eq!(bench.queue.waiting(), 1);
}

#[test]
fn pauses_are_between_half_and_the_whole_of_their_length() {
    for (random, millis) in [(0, 15_000), (WHOLE / 2, 22_500), (WHOLE, 30_000), (9 * WHOLE, 30_000)]
    {
        assert_eq!(share(30 * SECOND, random), Duration::from_millis(millis));
    }
}

#[test]
fn one_more_than_fits_is_refused_at_once_and_control_is_not() {
    let mut bench = Bench::new(|_| {});
    for _ in 0..1000 {
        bench.push();
    }
    assert_eq!(bench.push_of("spawn"), Err(Full { waiting: 1000 }));
    let kill = bench.push_of("kill").unwrap();
    assert_eq!(bench.queue.waiting(), 1001);
    let sent = bench.up();
    assert_eq!(sent[0], Step::Send(kill));
    assert_eq!(sent.len(), 1 + IN_FLIGHT);
    for _ in 0..CONTROL_IN_FLIGHT - 1 {
        bench.push_of("kill").unwrap();
    }
    assert_eq!(bench.steps().len(), CONTROL_IN_FLIGHT - 1);
    for _ in 0..CONTROL_QUEUED {
        bench.push_of("kill").unwrap();
    }
    assert_eq!(bench.push_of("kill"), Err(Full { waiting: CONTROL_QUEUED }));
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let mut bench = Bench::new(|rules| rules.max_waiting = 100_000);
    let params = format!("\"{}\"", "a".repeat(1024 * 1024));
    let mut taken = 0;
    loop {
        let command = Command {
            method: "agent.write_stdin".to_owned(),
            params: RawValue::from_string(params.clone()).unwrap(),
            key: None,
            control: false,
            waits: false,
            deadline: SECOND,
        };
        if bench.queue.room(&command).is_err() {
            break;
        }
        taken += 1;
        bench.queue.accept(taken, Arc::new(command), bench.now + PATIENCE, false);
    }
    assert_eq!(taken, 63);
    assert_eq!(bench.push_of("kill"), Ok(1), "the rest is left for what is small");
}

#[test]
fn what_was_sent_and_not_answered_goes_back_to_its_place() {
    let mut bench = Bench::new(|_| {});
    let (a, b, c) = (bench.push(), bench.push(), bench.push());
    assert_eq!(bench.up().len(), 3);
    bench.queue.answered(b, bench.now);
    bench.lose();
    let d = bench.push();
    assert_eq!(bench.queue.waiting(), 3);
    assert_eq!(bench.steps(), []);
    bench.wait(1);
    assert_eq!(bench.up(), [Step::Send(a), Step::Send(c), Step::Send(d)]);
    assert_eq!(bench.queue.get(a).unwrap().1, 2);
    assert_eq!(bench.queue.get(d).unwrap().1, 1);
}

#[test]
fn waiting_ends_and_says_whether_the_command_was_sent() {
    let mut bench = Bench::new(|_| {});
    let (a, b) = (bench.push(), bench.push());
    assert_eq!(bench.up().len(), 2);
    bench.queue.answered(b, bench.now);
    // While it is under way its own deadline counts.
    bench.wait(400);
    assert_eq!(bench.steps(), []);
    bench.lose();
    let c = bench.push();
    assert_eq!(bench.steps(), [Step::Expire(a, true, Some("k".to_owned()))]);
    bench.wait(299);
    assert_eq!(bench.steps(), [Step::Ask]);
    assert_eq!(bench.until_deadline(), Some(1));
    bench.wait(1);
    assert_eq!(bench.steps(), [Step::Expire(c, false, Some("k".to_owned()))]);
    assert_eq!((bench.queue.waiting(), bench.until_deadline()), (0, None));
}

#[test]
fn a_caller_that_leaves_takes_its_command_along_only_if_it_was_not_sent() {
    let mut bench = Bench::new(|_| {});
    let (write, read) = (bench.push(), bench.push_of("read").unwrap());
    bench.up();
    assert!(!bench.queue.withdraw(write) && !bench.queue.withdraw(read));
    bench.lose();
    assert!(!bench.queue.withdraw(write), "it may have had its effect");
    assert!(bench.queue.withdraw(read));
    let third = bench.push();
    assert!(bench.queue.withdraw(third) && !bench.queue.withdraw(third));
    bench.wait(5);
    assert_eq!(bench.up(), [Step::Send(write)]);
}

#[test]
fn what_is_held_counts_and_is_not_sent() {
    let mut bench = Bench::new(|rules| rules.max_waiting = 2);
    let first = bench.push();
    let command = Arc::clone(bench.queue.get(first).unwrap().0);
    bench.queue.accept(7, command, bench.now + PATIENCE, true);
    assert_eq!(bench.push_of("spawn"), Err(Full { waiting: 2 }));
    assert_eq!(bench.up(), [Step::Send(first)]);
    assert!(bench.queue.release(7));
    assert_eq!(bench.steps(), [Step::Send(7)]);
    assert!(!bench.queue.release(8));
}

#[test]
fn a_daemon_that_takes_no_work_now_gets_it_later_in_order_and_control_at_once() {
    let mut bench = Bench::new(|_| {});
    let (a, b) = (bench.push(), bench.push());
    bench.up();
    bench.queue.defer(a, bench.now, WHOLE);
    bench.queue.defer(b, bench.now, WHOLE);
    assert_eq!(bench.steps(), []);
    let kill = bench.push_of("kill").unwrap();
    assert_eq!(bench.steps(), [Step::Send(kill)]);
    assert_eq!(bench.queue.deadline(), Some(bench.now + BREATH));
    bench.wait(1);
    assert_eq!(bench.steps(), [Step::Send(a), Step::Send(b)]);
}

#[test]
fn silence_is_broken_by_asking() {
    let mut bench = Bench::new(|rules| rules.heartbeat = Some(30 * SECOND));
    assert_eq!(bench.until_deadline(), None, "nothing was ever wanted");
    let first = bench.push();
    bench.up();
    bench.wait(20);
    bench.queue.answered(first, bench.now);
    assert_eq!(bench.until_deadline(), Some(30));
    bench.wait(30);
    assert_eq!(bench.steps(), [Step::Ask]);
    assert_eq!(bench.until_deadline(), None, "it is asked once");
    bench.queue.reached(bench.now);
    assert_eq!(bench.until_deadline(), Some(30));
    // Nothing waits, and still the connection is made again.
    bench.lose();
    bench.wait(1);
    assert_eq!(bench.steps(), [Step::Ask]);
}

#[test]
fn without_heartbeats_an_idle_client_tries_nothing() {
    let mut bench = Bench::new(|_| {});
    let first = bench.push();
    bench.up();
    bench.queue.answered(first, bench.now);
    bench.lose();
    bench.wait(1000);
    assert_eq!((bench.steps(), bench.until_deadline()), (vec![], None));
    bench.push();
    assert_eq!(bench.steps(), [Step::Ask]);
}

#[test]
fn only_a_connection_that_was_good_for_something_begins_the_count_anew() {
    let mut bench = Bench::new(|_| {});
    bench.push();
    for _ in 0..6 {
        // It says that it is well and is gone again.
        bench.up();
        bench.lose();
        let pause = bench.until_deadline().unwrap();
        bench.wait(pause);
    }
    assert_eq!(bench.steps(), [Step::Ask]);
    bench.lose();
    assert_eq!(bench.until_deadline(), Some(30));
    bench.wait(30);
    bench.up();
    bench.wait(5);
    bench.lose();
    assert_eq!(bench.queue.deadline(), Some(bench.now + BREATH));
}

#[test]
fn without_reconnection_a_loss_is_told_to_all_and_the_next_command_tries_anew() {
    let mut bench = Bench::new(|rules| rules.auto_reconnect = false);
    let (a, b) = (bench.push(), bench.push());
    assert_eq!(bench.steps(), [Step::Ask]);
    let gone = bench.queue.lost(bench.now, WHOLE);
    assert_eq!(gone, [a, b]);
    gone.into_iter().for_each(|ticket| bench.queue.give_up(ticket));
    assert_eq!((bench.steps(), bench.queue.waiting()), (vec![], 0));
    let c = bench.push();
    assert_eq!(bench.up(), [Step::Send(c)]);
    assert_eq!(bench.queue.lost(bench.now, WHOLE), [c]);
}

#[test]
fn a_command_that_breaks_every_connection_is_given_up() {
    let mut bench = Bench::new(|_| {});
    bench.patience = LONG;
    let poison = bench.push();
    for sent in 1..=SENT_MOST {
        assert_eq!(bench.up(), [Step::Send(poison)]);
        let given_up = bench.queue.lost(bench.now, WHOLE);
        assert_eq!(!given_up.is_empty(), sent == SENT_MOST);
        bench.wait(if sent < 6 { 5 } else { 30 });
    }
    bench.queue.give_up(poison);
    let next = bench.push();
    assert_eq!(bench.up(), [Step::Send(next)]);
}

#[test]
fn commands_that_wait_at_the_daemon_keep_no_others_waiting() {
    let mut bench = Bench::new(|_| {});
    for _ in 0..100 {
        bench.push_of("action").unwrap();
    }
    assert_eq!(bench.up().len(), 100);
    bench.push();
    assert_eq!(bench.steps().len(), 1);
    bench.lose();
    assert_eq!(bench.queue.waiting(), 101);
}
