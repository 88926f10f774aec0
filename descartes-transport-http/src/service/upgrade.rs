//! `GET /ws`: the request with which a connection becomes a WebSocket.

use descartes_rpc::{error::RpcError, meter::Rejection, service::RpcService};
use futures_util::FutureExt;
use http::{Response, request};
use hyper::upgrade::OnUpgrade;

use super::{Link, Server};
use crate::{
    guard::Head,
    refusal::{self, Refusal},
    response_body::ResponseBody,
    ws::{
        Admission, Close, CloseCode, Session, TRANSPORT,
        handshake::{self, NoHandshake},
    },
};

impl<S: RpcService> Server<S> {
    /// Whoever may not stay is told so after the upgrade: a page sees no status, only close codes.
    pub(super) async fn websocket(
        &self,
        link: &Link<'_>,
        head: &Head<'_>,
        parts: &request::Parts,
        upgrade: Option<OnUpgrade>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let key = handshake::read(parts.version, &parts.headers).map_err(Refusal::Handshake)?;
        // Whoever serves this service must offer upgrades; hyper does so for HTTP/1.1 only.
        let upgrade = upgrade.ok_or(Refusal::Handshake(NoHandshake::UpgradeRequired))?;
        let response = handshake::accepted(key);
        let admission = self.admission(link, head).await;
        let known = admission.login().cloned();
        let session = Session::new(self.rpc.clone(), admission, upgrade, &self.options);
        let state = link.state.cloned();
        let settle = async move {
            if let (Some(peer), Some(state)) = (known, state) {
                peer.known().await;
                state.settle();
            }
            std::future::pending::<()>().await;
        };
        match link.upgraded {
            Some(connection) => connection.go_on_as(
                async move {
                    tokio::select! {
                        () = session.run() => {}
                        () = settle => {}
                    }
                }
                .boxed(),
            ),
            None => drop(tokio::spawn(session.run_for(self.options.limits.drain))),
        }
        Ok(response)
    }

    async fn admission(&self, link: &Link<'_>, head: &Head<'_>) -> Admission {
        let refused =
            |code, why: &RpcError| Admission::Refused(Close::new(code, why.message().to_owned()));
        if link.full {
            self.options.meter.rejected(Rejection::TooManyConnections);
            return refused(CloseCode::Overloaded, &refusal::full());
        }
        match self.identify(link, head).await {
            Ok(peer) => Admission::Granted(peer.into_owned().over(TRANSPORT)),
            // A page cannot send a field with its handshake, so it logs in afterwards.
            Err(Refusal::Stranger(_)) if self.options.auth.is_some() => {
                Admission::Login(link.caller.stranger().over(TRANSPORT))
            }
            Err(refusal) => {
                self.note(link, &refusal);
                let error = refusal.error();
                self.options.meter.refused(TRANSPORT, refusal.reason(), &error);
                let code = match refusal {
                    Refusal::TooManyLogins(_) => CloseCode::Overloaded,
                    _ => CloseCode::Unauthenticated,
                };
                refused(code, &error)
            }
        }
    }
}
