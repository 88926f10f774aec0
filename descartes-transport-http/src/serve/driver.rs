//! Runs one connection to its end: polls it, watches its deadlines, obeys the server.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use descartes_rpc::limits::{DRAIN_PATIENCE, DRAIN_QUIET};
use hyper::{body::Body, rt, server::conn::http1, service::HttpService};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::state::{ConnectionState, Phase};
use crate::limits::{DISCARD_TIME, DRAIN_STEPS, HttpLimits};

/// A connection that can be asked to close after its present answer.
pub(super) trait Drain: Future {
    fn drain(self: Pin<&mut Self>);
}

impl<I, S, B> Drain for http1::UpgradeableConnection<I, S>
where
    S: HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: rt::Read + rt::Write + Unpin + Send + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Why a connection was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// The server wants its place.
    Cut,
    /// It let this phase pass its deadline.
    Late(Phase),
    /// It takes nothing of what it asked for.
    Stalled,
}

/// Resolves with the connection's own output, or with the reason why it was dropped before.
pub(super) async fn drive<C: Drain>(
    connection: C,
    state: &ConnectionState,
    limits: &HttpLimits,
) -> Result<C::Output, GivenUp> {
    let mut connection = pin!(connection);
    let mut watch = Watch::new(state, limits);
    let mut timer = pin!(sleep_until(watch.phase_since + limits.header_deadline));
    let (mut told, mut farewell) = (false, None);
    poll_fn(|cx| {
        state.watch(cx.waker());
        if state.is_cut() {
            return Poll::Ready(Err(GivenUp::Cut));
        }
        if let Poll::Ready(output) = connection.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // What has come is answered first: hyper would forget the requests behind the present one.
        if !told && state.is_draining() {
            let farewell = farewell.get_or_insert_with(|| Farewell::new(state));
            if farewell.poll(state, cx).is_ready() {
                told = true;
                connection.as_mut().drain();
                if let Poll::Ready(output) = connection.as_mut().poll(cx) {
                    return Poll::Ready(Ok(output));
                }
            }
        }
        // Half a request is no reason to stay, nor is the rest of a refused one.
        if told && matches!(state.phase(), Phase::Head | Phase::Discard) {
            return Poll::Ready(Err(GivenUp::Cut));
        }
        watch.poll(timer.as_mut(), cx).map(Err)
    })
    .await
}

/// A connection that is shut down, until its peer says nothing more.
struct Farewell {
    begun: Instant,
    /// What had come when it was looked at last, and how far its requests were.
    heard: (u64, u32),
    /// Steps after which nothing more is begun.
    last_step: u32,
    timer: Pin<Box<Sleep>>,
}

impl Farewell {
    fn new(state: &ConnectionState) -> Self {
        Self {
            begun: Instant::now(),
            heard: (state.heard(), state.steps()),
            last_step: state.steps().saturating_add(DRAIN_STEPS),
            timer: Box::pin(sleep(DRAIN_QUIET)),
        }
    }

    /// Ready when the peer is quiet and all that it asked is answered, or it asks on and on.
    fn poll(&mut self, state: &ConnectionState, cx: &mut Context<'_>) -> Poll<()> {
        if state.steps() >= self.last_step {
            return Poll::Ready(());
        }
        if !matches!(state.phase(), Phase::Idle | Phase::Head | Phase::Discard) {
            return Poll::Pending;
        }
        let heard = (state.heard(), state.steps());
        if heard != self.heard {
            self.heard = heard;
            let longest = self.begun + DRAIN_PATIENCE;
            self.timer.as_mut().reset((Instant::now() + DRAIN_QUIET).min(longest));
        }
        self.timer.as_mut().poll(cx)
    }
}

/// When each thing that is waited for began.
///
/// The timer is only ever moved forward when a nearer deadline appears; a later one is noticed
/// when the timer fires. So a busy connection touches the timer wheel hardly at all.
struct Watch<'a> {
    state: &'a ConnectionState,
    limits: &'a HttpLimits,
    steps: u32,
    phase_since: Instant,
    blocked: Option<(u64, Instant)>,
}

impl<'a> Watch<'a> {
    fn new(state: &'a ConnectionState, limits: &'a HttpLimits) -> Self {
        Self { state, limits, steps: state.steps(), phase_since: Instant::now(), blocked: None }
    }

    fn poll(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<GivenUp> {
        let now = Instant::now();
        self.look(now);
        let Some((deadline, reason)) = self.deadline() else { return Poll::Pending };
        if deadline <= now {
            return Poll::Ready(reason);
        }
        if deadline < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Stamps what has changed since the last look.
    fn look(&mut self, now: Instant) {
        let steps = self.state.steps();
        if steps != self.steps {
            self.steps = steps;
            self.phase_since = now;
        }
        let blocked = self.state.blocked_at();
        if blocked != self.blocked.map(|(at, _)| at) {
            self.blocked = blocked.map(|at| (at, now));
        }
    }

    fn deadline(&self) -> Option<(Instant, GivenUp)> {
        let phase = self.state.phase();
        let late =
            self.phase_limit(phase).map(|limit| (self.phase_since + limit, GivenUp::Late(phase)));
        let stalled = self.blocked.map(|(_, since)| (since + self.stall_limit(), GivenUp::Stalled));
        [late, stalled].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }

    fn phase_limit(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Head => Some(self.limits.header_deadline),
            Phase::Body => Some(self.limits.body_time(self.state.body_bytes())),
            Phase::Idle => Some(self.limits.idle_timeout),
            Phase::Discard => Some(DISCARD_TIME),
            Phase::Answer => None,
        }
    }

    fn stall_limit(&self) -> Duration {
        if self.state.is_draining() {
            self.limits.drain_stall_timeout
        } else {
            self.limits.stall_timeout
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::serve::registry::{Registry, Seat};

    /// Polls a closure, so that a test can play the connection.
    struct Played<F>(F);

    impl<F: FnMut() + Unpin> Future for Played<F> {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            (self.0)();
            Poll::Pending
        }
    }

    impl<F: FnMut() + Unpin> Drain for Played<F> {
        fn drain(self: Pin<&mut Self>) {}
    }

    fn seat() -> Seat {
        Registry::new(8, 8).enter(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap()
    }

    async fn lasts(setup: impl Fn(&ConnectionState)) -> (Duration, GivenUp) {
        let (seat, limits) = (seat(), HttpLimits::default());
        setup(&seat.state);
        let began = Instant::now();
        let reason = drive(Played(|| {}), &seat.state, &limits).await.unwrap_err();
        (began.elapsed(), reason)
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_deadline() {
        for (phase, seconds) in
            [(Phase::Head, 10), (Phase::Body, 10), (Phase::Idle, 300), (Phase::Discard, 10)]
        {
            let (lasted, reason) = lasts(|state| state.enter(phase)).await;
            assert_eq!(reason, GivenUp::Late(phase));
            assert_eq!(lasted.as_secs(), seconds, "{phase:?}");
        }
    }

    async fn sends_a_body(bytes_a_second: usize) -> u64 {
        let (seat, limits) = (seat(), HttpLimits::default());
        seat.state.begin();
        let state = &seat.state;
        let sending = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                state.received(bytes_a_second);
                state.waker_for_test();
            }
        };
        let began = Instant::now();
        tokio::select! {
            () = sending => {}
            ended = drive(Played(|| {}), state, &limits) => {
                assert_eq!(ended.unwrap_err(), GivenUp::Late(Phase::Body));
            }
        }
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up_before_one_that_comes() {
        assert!((10..12).contains(&sends_a_body(1).await));
        assert_eq!(sends_a_body(2048).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_its_time_but_a_peer_must_take_it() {
        let (seat, limits) = (seat(), HttpLimits::default());
        seat.state.enter(Phase::Answer);
        let endless = drive(Played(|| {}), &seat.state, &limits);
        let waited = tokio::time::timeout(Duration::from_secs(86_400), endless).await;
        assert!(waited.is_err(), "nothing limits an answer that the peer takes");

        let stall = |state: &ConnectionState| {
            state.enter(Phase::Answer);
            state.send_blocked();
        };
        let (lasted, reason) = lasts(stall).await;
        assert_eq!((lasted.as_secs(), reason), (30, GivenUp::Stalled));
        let drained = |state: &ConnectionState| {
            stall(state);
            state.drain();
        };
        assert_eq!(lasts(drained).await.0.as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_now_and_then_is_not_stalled() {
        let (seat, limits) = (seat(), HttpLimits::default());
        seat.state.enter(Phase::Answer);
        let state = &seat.state;
        let taking = async {
            for _ in 0..10 {
                state.send_blocked();
                tokio::time::sleep(Duration::from_secs(29)).await;
                state.sent(1);
                state.send_blocked();
                state.waker_for_test();
            }
            std::future::pending::<()>().await;
        };
        let began = Instant::now();
        tokio::select! {
            () = taking => {}
            ended = drive(Played(|| {}), state, &limits) => {
                assert_eq!(ended.unwrap_err(), GivenUp::Stalled);
            }
        }
        assert!(began.elapsed() >= Duration::from_secs(290));
    }

    #[tokio::test(start_paused = true)]
    async fn a_nearer_deadline_overtakes_a_later_one() {
        let (seat, limits) = (seat(), HttpLimits::default());
        seat.state.enter(Phase::Idle);
        let state = &seat.state;
        let began = Instant::now();
        let begins = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            state.received(1);
            state.waker_for_test();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = begins => {}
            ended = drive(Played(|| {}), state, &limits) => {
                assert_eq!(ended.unwrap_err(), GivenUp::Late(Phase::Head));
            }
        }
        assert_eq!(began.elapsed().as_secs(), 110);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_is_obeyed_at_once() {
        let (lasted, reason) = lasts(ConnectionState::cut).await;
        assert_eq!((lasted, reason), (Duration::ZERO, GivenUp::Cut));
    }
}
