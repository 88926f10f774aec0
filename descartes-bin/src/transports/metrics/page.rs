//! Who is given the page, and how.

use std::net::SocketAddr;
use std::time::Duration;

use descartes_core::Swap;
use descartes_rpc::auth::{Authenticator, Scope};
use descartes_rpc::error::{ErrorKind, RpcError};
use descartes_rpc::meter::{AuthFailure, Meter, Rejection};
use descartes_rpc::peer::Peer;
use descartes_rpc::same_user::SameUser;
use descartes_rpc::service::Rpc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::request::{Asked, Named, Presented, Refused};
use crate::metrics::Scrape;

/// Bytes of the head of a request.
const HEAD_BYTES: usize = 16 * 1024;
/// Bytes behind the head that are read and not looked at, so that the answer is not lost with them.
const REST_BYTES: u64 = 64 * 1024;
/// How long a reader may take to leave.
const LINGER: Duration = Duration::from_secs(1);

/// What readers are given, before there is a service.
pub(super) struct Page {
    pub(super) scrape: Scrape,
    /// Who is let in without credentials.
    pub(super) rule: SameUser,
    /// Who has which credentials.
    pub(super) auth: Authenticator,
    pub(super) meter: Meter,
    pub(super) named: Swap<Named>,
}

/// What readers are given.
pub(super) struct Served {
    page: Page,
    rpc: Rpc,
}

impl Page {
    /// The page of those whom `rpc` lets read it.
    pub(super) fn of(self, rpc: Rpc) -> Served {
        Served { page: self, rpc }
    }

    /// Who asks: by its credentials, or by its connection where it shows none and that is enough.
    async fn identify(
        &self,
        asked: &Asked<'_>,
        (peer, local): (SocketAddr, SocketAddr),
    ) -> Result<Peer, RpcError> {
        let no_credentials = |reason: AuthFailure| {
            RpcError::new(ErrorKind::Unauthenticated, "credentials are needed")
                .reason(reason.as_str())
        };
        let judged = if self.auth.is_required() {
            Err(no_credentials(AuthFailure::NoCredentials))
        } else if asked.forwarded {
            Err(no_credentials(AuthFailure::Forwarded))
        } else {
            self.rule.judge(peer, local).map_err(|stranger| stranger.error())
        };
        let address = peer.to_string();
        // Bad credentials are refused also where the connection would be enough: or somebody whose
        // key was revoked would be the owner.
        let principal = match (&judged, asked.presented()) {
            (_, Presented::Nothing) | (Ok(_), Presented::Foreign) => None,
            (_, Presented::Text(secret)) => {
                Some(self.auth.authenticate(&secret, Some(&address)).await?)
            }
            (Err(_), Presented::Foreign) | (_, Presented::Unreadable) => {
                return Err(self.auth.refuse_unreadable(Some(&address)).await);
            }
        };
        match (judged, principal) {
            (Ok(peer), Some(principal)) => Ok(peer.with_principal(principal)),
            (Err(_), Some(principal)) => {
                Ok(self.rule.unknown(peer, local).with_principal(principal))
            }
            (judged, None) => judged,
        }
    }
}

impl Served {
    /// Says that there is no room. The socket's buffer is empty, so this does not block.
    pub(super) fn turn_away(&self, stream: &TcpStream) {
        self.page.meter.rejected(Rejection::TooManyConnections);
        let full =
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        if let Err(error) = stream.try_write(full) {
            tracing::debug!(%error, "a reader of metrics that was too many has gone");
        }
    }

    /// Answers one request and closes.
    pub(super) async fn answer(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
    ) -> std::io::Result<()> {
        let local = stream.local_addr()?;
        let head = read(&mut stream).await?;
        let asked = Asked::read(&head);
        let bodiless = asked.as_ref().is_ok_and(|asked| asked.method == "HEAD");
        let (status, body) = match self.decide(asked, (peer, local)).await {
            Ok(()) => ("200 OK", self.page.scrape.made().await),
            Err(refused) => {
                self.page.meter.rejected(refused.why);
                (refused.status, format!("{}\n", refused.status))
            }
        };
        let more = match &status[..3] {
            "401" => "WWW-Authenticate: Bearer realm=\"descartes\"\r\n",
            "405" => "Allow: GET, HEAD\r\n",
            "429" => "Retry-After: 1\r\n",
            _ => "",
        };
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: {}\r\nX-Content-Type-Options: nosniff\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\n{more}\
             Connection: close\r\n\r\n",
            body.len()
        );
        if !bodiless {
            answer.push_str(&body);
        }
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let (mut rest, mut nowhere) = (stream.take(REST_BYTES), tokio::io::sink());
        let read = tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut nowhere)).await;
        read.map_or(Ok(()), |read| read.map(drop))
    }

    async fn decide(
        &self,
        asked: Result<Asked<'_>, Refused>,
        ends: (SocketAddr, SocketAddr),
    ) -> Result<(), Refused> {
        let (asked, named) = (asked?, self.page.named.load());
        let guarded =
            self.page.auth.is_required() && matches!(asked.presented(), Presented::Text(_));
        let stranger = || self.page.rule.unknown(ends.0, ends.1);
        if let Err(refused) = asked.check(&named, guarded) {
            if matches!(refused.why, Rejection::Host | Rejection::Origin) {
                let error = RpcError::new(ErrorKind::Forbidden, refused.status);
                self.page.auth.turned_away(&stranger(), &error.reason(refused.why.as_str()));
            }
            return Err(refused);
        }
        if named.by_anyone {
            return Ok(());
        }
        let (peer, found) = match self.page.identify(&asked, ends).await {
            Ok(peer) => {
                let found = self.rpc.permits(&peer, Scope::Metrics).await;
                (peer, found)
            }
            Err(error) => (stranger(), Err(error)),
        };
        found.map_err(|error| {
            if let Some(why) = AuthFailure::of(&error) {
                self.page.meter.auth_failed(why);
            }
            self.page.auth.turned_away(&peer, &error);
            refused(&error)
        })
    }
}

fn refused(error: &RpcError) -> Refused {
    let (status, why) = match error.kind() {
        ErrorKind::Forbidden => ("403 Forbidden", Rejection::Forbidden),
        ErrorKind::ResourceExhausted => ("429 Too Many Requests", Rejection::Unauthenticated),
        _ => ("401 Unauthorized", Rejection::Unauthenticated),
    };
    Refused { status, why }
}

/// The head of a request; what came of it where it is too long, or the reader left.
async fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut head = Vec::with_capacity(1024);
    while head.len() < HEAD_BYTES {
        let mut more = [0; 1024];
        let count = stream.read(&mut more).await?;
        // The end may have begun in what came before.
        let from = head.len().saturating_sub(END.len() - 1);
        head.extend_from_slice(&more[..count]);
        if let Some(at) = head[from..].windows(END.len()).position(|bytes| bytes == END) {
            head.truncate(from + at + END.len());
            break;
        }
        if count == 0 {
            break;
        }
    }
    Ok(head)
}
