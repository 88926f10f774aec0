//! `GET /metrics` on a port of its own: one small page, and nothing else of HTTP. The port of HTTP
//! has the same page, by its own rules.

mod page;
mod request;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use descartes_core::Swap;
use descartes_rpc::accept::accept;
use descartes_rpc::same_user::{KernelLookup, SameUser};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::taken::UsualPort;
use super::{Change, Door, Ground, Listener, Prepared};
use crate::config::Server;
use crate::daemon::Failure;
use page::Page;
use request::Named;

const PORT: UsualPort = UsualPort { name: "metrics", key: "metrics_port", flag: "--metrics-port" };
/// Readers at once: a few servers, each with one connection, and some that are slow.
const READERS: usize = 32;
/// How long a reader may take to ask, to be believed, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long whoever is being answered may take when everything else has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Opens the port, or serves the given ones.
pub(super) fn open<'a>(ground: &'a Ground<'a>) -> BoxFuture<'a, Result<Vec<Door>, Failure>> {
    async move {
        let mut doors = Vec::new();
        for (address, given) in ground.places(PORT.name, ground.config.server.metrics())? {
            let listener = match given {
                Some(given) => given
                    .set_nonblocking(true)
                    .and_then(|()| given.try_clone().and_then(TcpListener::from_std)),
                None => TcpListener::bind(address).await,
            };
            doors.push(match listener {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    PORT.taken(ground, &address.to_string())?
                }
                listener => listener
                    .and_then(|listener| door(ground, listener))
                    .map_err(Failure::internal("open the port of metrics"))?,
            });
        }
        Ok(doors)
    }
    .boxed()
}

fn door(ground: &Ground<'_>, listener: TcpListener) -> io::Result<Door> {
    let bound = listener.local_addr()?;
    let closing = ground.closing.clone();
    let own_uid = rustix::process::geteuid().as_raw();
    let named = Swap::new(named(&ground.config.server));
    let change = change(named.clone());
    let page = Page {
        scrape: ground.scrape.clone(),
        rule: SameUser::new(PORT.name, own_uid, ground.trust_loopback, Arc::new(KernelLookup)),
        auth: ground.auth.clone(),
        meter: ground.meter.clone(),
        named,
    };
    Ok(Door::Open(Listener {
        name: PORT.name,
        addresses: vec![format!("http://{bound}/metrics")],
        publish: |endpoints, address| endpoints.metrics = Some(address),
        change,
        serve: Box::new(|rpc, stop| {
            serve(listener, Arc::new(page.of(rpc)), (closing, stop)).boxed()
        }),
    }))
}

fn named(server: &Server) -> Named {
    Named {
        hosts: server.allowed_hosts.0.clone(),
        origins: server.allowed_origins.0.clone(),
        by_anyone: server.metrics_public,
    }
}

/// What can change while the page is served: names and pages. Whom it is for takes a restart.
fn change(there: Swap<Named>) -> Change {
    Box::new(move |config| {
        let by_anyone = there.load().by_anyone;
        let (there, named) = (there.clone(), Named { by_anyone, ..named(&config.server) });
        Ok(Prepared { anew: Vec::new(), take_over: Box::new(move || there.store(named)) })
    })
}

/// Answers until it is `closing`; who is being answered then has until it ends, or until a moment
/// after `stop`.
async fn serve(
    listener: TcpListener,
    page: Arc<page::Served>,
    (closing, stop): (CancellationToken, CancellationToken),
) {
    let (mut readers, room) = (JoinSet::new(), Arc::new(Semaphore::new(READERS)));
    let closed = async {
        tokio::select! {
            () = closing.cancelled() => {}
            () = stop.cancelled() => {}
        }
    };
    let take = |(stream, peer)| {
        while readers.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            return page.turn_away(&stream);
        };
        let page = Arc::clone(&page);
        readers.spawn(async move {
            let answered = tokio::time::timeout(PATIENCE, page.answer(stream, peer)).await;
            if !matches!(answered, Ok(Ok(()))) {
                tracing::debug!(%peer, "a reader of metrics was not answered");
            }
            drop(place);
        });
    };
    accept(|cx| listener.poll_accept(cx), closed, take).await;
    drop(listener);
    tokio::select! {
        () = async { while readers.join_next().await.is_some() {} } => {}
        () = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        } => {}
    }
}
