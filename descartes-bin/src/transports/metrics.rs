//! `GET /metrics` on a port of its own: one small page, and nothing else of HTTP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use descartes_rpc::same_user::{KernelLookup, SameUser};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::taken::UsualPort;
use super::{Door, Ground, Listener};
use crate::daemon::Failure;
use crate::metrics::Scrape;

const PORT: UsualPort = UsualPort { name: "metrics", key: "metrics_port", flag: "--metrics-port" };
/// Readers at once: a few servers, each with one connection.
const READERS: usize = 16;
/// Bytes of a request.
const REQUEST_BYTES: usize = 8 * 1024;
/// How long a reader may take to ask and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long whoever is being answered may take when everything else has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// The pause after an error of the listener, such as no descriptor being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the port.
pub(super) fn open<'a>(ground: &'a Ground<'a>) -> BoxFuture<'a, Result<Vec<Door>, Failure>> {
    async move {
        let server = &ground.config.server;
        let given = ground.given(PORT.name)?;
        let listener = match (&given, server.metrics()) {
            (Some(given), _) => given
                .set_nonblocking(true)
                .and_then(|()| given.try_clone().and_then(TcpListener::from_std)),
            (None, Some(address)) => match TcpListener::bind(address).await {
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    return Ok(vec![PORT.taken(ground, &address.to_string())?]);
                }
                bound => bound,
            },
            (None, None) => return Ok(Vec::new()),
        };
        let listener = listener.map_err(Failure::internal("open the port of metrics"))?;
        let closing = ground.closing.clone();
        let failed = Failure::internal("open the port of metrics");
        let bound = listener.local_addr().map_err(failed)?;
        let own_uid = rustix::process::geteuid().as_raw();
        let lookup = Arc::new(KernelLookup);
        let rule = SameUser::new(PORT.name, own_uid, ground.trust_loopback, lookup);
        let page = Arc::new(Page {
            scrape: ground.scrape.clone(),
            rule: (!server.metrics_public).then_some(rule),
        });
        Ok(vec![Door::Open(Listener {
            name: PORT.name,
            addresses: vec![format!("http://{bound}/metrics")],
            publish: |endpoints, address| endpoints.metrics = Some(address),
            change: super::nothing(),
            serve: Box::new(|_, stop| serve(listener, page, (closing, stop)).boxed()),
        })])
    }
    .boxed()
}

/// What readers are given.
struct Page {
    scrape: Scrape,
    /// Who may read; everybody when there is none.
    rule: Option<SameUser>,
}

/// Answers until it is `closing`; who is being answered then has until it ends, or until a moment
/// after `stop`.
async fn serve(
    listener: TcpListener,
    page: Arc<Page>,
    (closing, stop): (CancellationToken, CancellationToken),
) {
    let (mut readers, room) = (JoinSet::new(), Arc::new(Semaphore::new(READERS)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
            () = stop.cancelled() => break,
        };
        while readers.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                // One that is too many is closed: it asks again in a while anyway.
                let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
                let page = Arc::clone(&page);
                readers.spawn(async move {
                    let answered = tokio::time::timeout(PATIENCE, page.answer(stream, peer)).await;
                    if !matches!(answered, Ok(Ok(()))) {
                        tracing::debug!(%peer, "a reader of metrics was not answered");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a reader of metrics could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = async { while readers.join_next().await.is_some() {} } => {}
        () = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        } => {}
    }
}

impl Page {
    async fn answer(&self, mut stream: TcpStream, peer: SocketAddr) -> std::io::Result<()> {
        let local = stream.local_addr()?;
        let request = read(&mut stream).await?;
        let known = self.rule.as_ref().is_none_or(|rule| rule.judge(peer, local).is_ok());
        let (status, body) = match asked(&request, self.rule.is_none()) {
            Ok(()) if !known => ("401 Unauthorized", "not for you\n".to_owned()),
            Ok(()) => ("200 OK", self.scrape.text()),
            Err(status) => (status, format!("{status}\n")),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        if !request.starts_with(b"HEAD ") {
            stream.write_all(body.as_bytes()).await?;
        }
        stream.shutdown().await
    }
}

/// The head of a request, as far as it is not too long.
async fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut request = Vec::with_capacity(1024);
    while !request.ends_with(b"\r\n\r\n") && request.len() < REQUEST_BYTES {
        let mut more = [0; 1024];
        let count = stream.read(&mut more).await?;
        if count == 0 {
            break;
        }
        request.extend_from_slice(&more[..count]);
    }
    Ok(request)
}

/// Whether the page was asked for; what is wrong otherwise.
fn asked(request: &[u8], by_anyone: bool) -> Result<(), &'static str> {
    const BAD: &str = "400 Bad Request";
    let request = std::str::from_utf8(request).map_err(|_not_text| BAD)?;
    let (head, _) = request.split_once("\r\n\r\n").ok_or(BAD)?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path, version) = (words.next(), words.next(), words.next());
    if !version.is_some_and(|version| version.starts_with("HTTP/1.")) || words.next().is_some() {
        return Err(BAD);
    }
    let header = |line: &'_ str| {
        line.split_once(':')
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let hosts: Vec<_> = lines.filter_map(header).filter(|(name, _)| name == "host").collect();
    match (&hosts[..], path.and_then(|path| path.split('?').next())) {
        _ if !matches!(method, Some("GET" | "HEAD")) => Err("405 Method Not Allowed"),
        ([(_, host)], _) if !by_anyone && !is_own(host) => Err("421 Misdirected Request"),
        ([_], Some("/metrics")) => Ok(()),
        ([_], _) => Err("404 Not Found"),
        _ => Err(BAD),
    }
}

/// Whether a `Host` is of this machine: a name that a page brings along may be anybody's.
fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_given_to_those_who_ask_for_it_and_for_nothing_else() {
        let table = [
            ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9090\r\n\r\n", Ok(())),
            ("HEAD /metrics?x=1 HTTP/1.1\r\nhost: localhost\r\n\r\n", Ok(())),
            ("GET /metrics HTTP/1.1\r\nHost: [::1]:9090\r\n\r\n", Ok(())),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", Err("404")),
            ("POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", Err("405")),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", Err("421")),
            ("GET /metrics HTTP/1.1\r\n\r\n", Err("400")),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Err("400")),
            ("GET /metrics HTTP/2\r\nHost: localhost\r\n\r\n", Err("400")),
            ("GET /metrics HTTP/1.1\r\nHost: localhost\r\n", Err("400")),
            ("", Err("400")),
        ];
        for (request, expected) in table {
            let found = asked(request.as_bytes(), false);
            let found = found.map_err(|status| &status[..3]);
            assert_eq!(found, expected, "{request:?}");
        }
        let far = b"GET /metrics HTTP/1.1\r\nHost: metrics.example\r\n\r\n";
        assert_eq!(asked(far, true), Ok(()), "who is public is asked by any name");
    }
}
