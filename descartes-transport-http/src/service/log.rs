//! A log as the bytes that an agent wrote, page by page, and on with what it writes later.
//!
//! The reader pulls: a page is asked for when hyper has room for it. Between pages nothing is held
//! but two waiting calls: one for the next row, one for the agent's end.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use descartes_rpc::{
    connection::{BareCall, call_until},
    error::{ErrorKind, RpcError},
    peer::Peer,
    service::RpcService,
    wire::{
        agent::WaitParams,
        output::{Gap, Logs, LogsParams},
    },
};
use futures_util::{
    future::{BoxFuture, Either, select},
    stream::try_unfold,
};
use http::{HeaderName, HeaderValue, Response, header};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use tokio_util::sync::CancellationToken;

use super::{Server, TEXT};
use crate::{
    alias::{Alias, Asked, Mapped},
    limits::{LOG_PAGE_ROWS, LOG_WAIT_MILLIS},
    response_body::{Interrupted, ResponseBody},
};

const GAP: HeaderName = HeaderName::from_static("descartes-gap");

impl<S: RpcService> Server<S> {
    /// The log that is asked for, or why there is none.
    pub(super) async fn log(
        &self,
        peer: &Peer,
        alias: &Alias,
        mut asked: Asked<'_>,
    ) -> Result<Response<ResponseBody>, RpcError> {
        asked.set("limit", Mapped::Number(u64::from(LOG_PAGE_ROWS)));
        let caller = Caller {
            rpc: self.rpc.clone(),
            peer: peer.clone(),
            shutdown: self.options.shutdown.clone(),
        };
        let first: Logs = caller.call(alias.method, asked.params()).await?;
        let mut params: LogsParams =
            serde_json::from_slice(&asked.params()).map_err(|error| RpcError::internal(&error))?;
        let until = if asked.follow {
            Until::Ended(caller.ended(first.agent_id.clone()))
        } else {
            Until::Lines(params.tail.map_or(first.total, |tail| tail.min(first.total)))
        };
        // The name may mean another agent tomorrow.
        params.agent_id.clone_from(&first.agent_id);
        params.tail = None;
        let response = response(first.gap.as_ref());
        let log = Log { caller, method: alias.method, params, until, first: Some(first) };
        Ok(response.map(|()| ResponseBody::pages(try_unfold(log, Log::next))))
    }
}

/// The head of the answer.
fn response(gap: Option<&Gap>) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, TEXT);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What an agent writes may look like a page of this server's.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(gap) = gap {
        let field = format!("from-offset={}, to-offset={}", gap.from_offset, gap.to_offset);
        if let Ok(field) = HeaderValue::try_from(field) {
            headers.insert(GAP, field);
        }
    }
    response
}

/// Who calls, and until when.
#[derive(Clone)]
struct Caller<S> {
    rpc: S,
    peer: Peer,
    shutdown: CancellationToken,
}

impl<S: RpcService> Caller<S> {
    async fn call<T: DeserializeOwned>(&self, method: &str, params: Bytes) -> Result<T, RpcError> {
        self.call_until(method, params, self.shutdown.cancelled()).await
    }

    async fn call_until<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Bytes,
        drain: impl Future<Output = ()>,
    ) -> Result<T, RpcError> {
        let call = BareCall::new(method, &params)?;
        let outcome = call_until(self.rpc.clone(), self.peer.clone(), call, drain).await;
        serde_json::from_slice(&outcome.result?).map_err(|error| RpcError::internal(&error))
    }

    /// Whether the agent has ended by now, also while the server is going down: a daemon stops its
    /// agents first, and then their logs are whole.
    async fn has_ended(&self, agent_id: &str) -> bool {
        let timeout_secs = Some(Duration::ZERO.into());
        let params = WaitParams { agent_id: agent_id.to_owned(), r#for: None, timeout_secs };
        let waited: Result<IgnoredAny, _> =
            self.call_until("agent.wait", encode(&params), pending()).await;
        waited.is_ok()
    }

    /// Resolves when the agent has ended.
    fn ended(&self, agent_id: String) -> BoxFuture<'static, Result<(), RpcError>> {
        let caller = self.clone();
        let params = encode(&WaitParams { agent_id, r#for: None, timeout_secs: None });
        Box::pin(async move {
            loop {
                match caller.call::<IgnoredAny>("agent.wait", params.clone()).await {
                    Err(error) if error.kind() == ErrorKind::Timeout => {}
                    waited => return waited.map(drop),
                }
            }
        })
    }
}

/// How far an answer goes.
enum Until {
    /// Until the agent has ended, and then to the end of its log.
    Ended(BoxFuture<'static, Result<(), RpcError>>),
    /// Until so many lines were written, which is all that there was when it began.
    Lines(u64),
    /// Until there is nothing more.
    Empty,
    /// No further.
    Here,
}

/// A log that is being read.
struct Log<S> {
    caller: Caller<S>,
    method: &'static str,
    /// Of the next page.
    params: LogsParams,
    until: Until,
    first: Option<Logs>,
}

impl<S: RpcService> Log<S> {
    /// The next bytes, and what follows them; `None` behind the last.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Interrupted> {
        while !matches!(self.until, Until::Here) {
            let page = match self.first.take() {
                Some(first) => first,
                None => self.page().await?,
            };
            if page.logs.is_empty() && !matches!(self.until, Until::Ended(_)) {
                break;
            }
            let bytes = self.written(&page);
            self.params.after = Some(page.cursor);
            if !bytes.is_empty() {
                return Ok(Some((bytes.into(), self)));
            }
        }
        Ok(None)
    }

    /// The bytes of a page.
    fn written(&mut self, page: &Logs) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in &page.logs {
            row.write_bytes(&mut bytes);
        }
        if let Until::Lines(left) = &mut self.until {
            let lines = page.logs.iter().filter(|row| row.partial != Some(true)).count();
            match left.checked_sub(lines as u64) {
                Some(less) => *left = less,
                // More than there was at first: an agent that never rests is not followed.
                None => self.until = Until::Here,
            }
        }
        bytes
    }

    async fn page(&mut self) -> Result<Logs, Interrupted> {
        if let Until::Ended(ended) = &mut self.until {
            let shutdown = &self.caller.shutdown;
            if !shutdown.is_cancelled() {
                self.params.wait_ms = Some(LOG_WAIT_MILLIS);
                let page = Box::pin(self.caller.call(self.method, encode(&self.params)));
                match select(page, ended).await {
                    Either::Left((Ok(page), _)) => return unbroken(page),
                    // A shutdown ends waits, and is looked at below.
                    _ if shutdown.is_cancelled() => {}
                    Either::Left((Err(error), _)) => return Err(Interrupted::by(error)),
                    Either::Right((waited, _)) => waited.map_err(Interrupted::by)?,
                }
            }
            if shutdown.is_cancelled() && !self.caller.has_ended(&self.params.agent_id).await {
                return Err(Interrupted::by("the server is going down"));
            }
            self.until = Until::Empty;
        }
        unbroken(self.rest().await.map_err(Interrupted::by)?)
    }

    /// What there is now. Nothing is waited for, so a shutdown need not end it.
    async fn rest(&mut self) -> Result<Logs, RpcError> {
        self.params.wait_ms = None;
        self.caller.call_until(self.method, encode(&self.params), pending()).await
    }
}

/// A page that follows the one before it without a gap.
fn unbroken(page: Logs) -> Result<Logs, Interrupted> {
    match &page.gap {
        Some(_) => Err(Interrupted::by("history was trimmed under its reader")),
        None => Ok(page),
    }
}

fn encode(params: &impl Serialize) -> Bytes {
    // Writing plain structs to memory has no way to fail.
    serde_json::to_vec(params).unwrap_or_default().into()
}
