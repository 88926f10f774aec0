//! The accept loop that all transports share.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use tokio::{task::unconstrained, time::timeout};

use crate::limits::{ACCEPT_PAUSE, BACKLOG};

/// Lets connections in until the door is `closed`, and then those that had come by that time.
///
/// `poll` is the listener's `poll_accept`; it must leave unaccepted connections where they are when
/// it is not polled again. What it yields goes to `take`, which counts and refuses and must not
/// block: as long as it runs, nobody is let in. After an error of the listener itself, such as no
/// descriptor being left, there is a pause that grows; one that says something of one connection
/// only is passed over. The listener is still open when this returns, so drop it.
///
/// ```
/// # use std::future::ready;
/// # use descartes_rpc::accept::accept;
/// # use tokio::net::{TcpListener, TcpStream};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let _caller = TcpStream::connect(listener.local_addr()?).await?;
/// let mut taken = Vec::new();
/// // Closed already: who waits in the backlog is let in all the same.
/// accept(|cx| listener.poll_accept(cx), ready(()), |(stream, _)| taken.push(stream)).await;
/// drop(listener);
/// assert_eq!(taken.len(), 1);
/// # Ok(())
/// # }
/// ```
pub async fn accept<T>(
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>> + Send,
    closed: impl Future<Output = ()> + Send,
    mut take: impl FnMut(T) + Send,
) {
    let mut closed = pin!(closed);
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut closed => break,
            accepted = poll_fn(&mut poll) => accepted,
        };
        match accepted {
            Ok(accepted) => {
                pause = ACCEPT_PAUSE.0;
                take(accepted);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?pause, "cannot accept connections for now");
                if timeout(pause, &mut closed).await.is_ok() {
                    break;
                }
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }
    for _ in 0..BACKLOG {
        match unconstrained(poll_fn(&mut poll)).now_or_never() {
            Some(Ok(accepted)) => take(accepted),
            Some(Err(error)) if is_of_one_connection(&error) => {}
            _ => return,
        }
    }
}

/// Errors of `accept` that say something of one connection, not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        future::{pending, ready},
        time::Duration,
    };

    use tokio::time::{Instant, sleep};

    use super::*;

    /// A listener that has said so much already.
    fn listener(
        said: impl IntoIterator<Item = Result<u32, io::ErrorKind>>,
    ) -> impl FnMut(&mut Context<'_>) -> Poll<io::Result<u32>> {
        let mut said: VecDeque<_> = said.into_iter().collect();
        move |_| match said.pop_front() {
            Some(one) => Poll::Ready(one.map_err(io::Error::from)),
            None => Poll::Pending,
        }
    }

    const FULL: io::ErrorKind = io::ErrorKind::OutOfMemory;

    async fn taken(
        said: impl IntoIterator<Item = Result<u32, io::ErrorKind>>,
        closed: impl Future<Output = ()> + Send,
    ) -> Vec<u32> {
        let mut taken = Vec::new();
        let poll = listener(said.into_iter().collect::<Vec<_>>());
        accept(poll, closed, |one| taken.push(one)).await;
        taken
    }

    #[tokio::test]
    async fn who_had_come_when_the_door_was_closed_is_let_in_within_a_bound() {
        assert_eq!(taken([Ok(1), Ok(2)], ready(())).await, [1, 2]);
        let gone = Err(io::ErrorKind::ConnectionReset);
        assert_eq!(taken([Ok(1), gone, Ok(2)], ready(())).await, [1, 2]);
        let more = (0..BACKLOG + 10).map(Ok);
        assert_eq!(taken(more, ready(())).await.len(), BACKLOG as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn it_pauses_for_errors_of_the_listener_and_longer_for_more_of_them() {
        let (began, mut at) = (Instant::now(), Vec::new());
        let said = [Err(FULL), Err(FULL), Ok(1), Err(FULL), Ok(2)];
        let work = accept(listener(said), pending(), |_| at.push(began.elapsed().as_millis()));
        assert!(timeout(Duration::from_secs(60), work).await.is_err(), "the door is open");
        assert_eq!(at, [30, 40], "and after one that came, the pause is short again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_when_the_door_is_closed_and_is_bounded() {
        let began = Instant::now();
        let closed = sleep(Duration::from_secs(3600));
        taken(std::iter::repeat_n(Err(FULL), 10_000), closed).await;
        assert_eq!(began.elapsed().as_secs(), 3600);
    }
}
