//! What a person or a probe looks at: the front page, readiness and numbers.
//!
//! All of it but the numbers is asked from the service itself, so nothing here can disagree with it.

use std::collections::BTreeMap;

use bytes::Bytes;
use descartes_rpc::{connection::answer, peer::Peer, service::RpcService};
use http::{Response, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{NO_STORE, NUMBERS, Server, json, text};
use crate::{caller::TRANSPORT, refusal::Refusal, response_body::ResponseBody};

const READY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"system.ready"}"#;
const INFO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"system.info"}"#;
const DISCOVER: &str = r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;

#[derive(Deserialize)]
struct Outcome<T> {
    result: T,
}

#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    #[serde(default)]
    checks: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Info {
    version: Option<String>,
    transports: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct Discovered {
    methods: Vec<Method>,
}

#[derive(Deserialize)]
struct Method {
    name: String,
}

#[derive(Serialize)]
struct FrontPage<'a> {
    name: &'a str,
    version: &'a str,
    methods: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transports: Option<Box<RawValue>>,
}

impl<S: RpcService> Server<S> {
    /// `READY`, or which checks say no. Asked in our own name: the word is for everybody.
    pub(super) async fn ready(&self) -> Response<ResponseBody> {
        let not_ready = match self.ask::<Readiness>(&Peer::owner(TRANSPORT), READY).await {
            Some(readiness) if readiness.ready => return text("READY"),
            Some(readiness) => failing(&readiness.checks),
            None => "no answer".to_owned(),
        };
        let mut response = text(format!("NOT READY: {not_ready}"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }

    pub(super) async fn information(&self, peer: &Peer) -> Response<ResponseBody> {
        let info: Info = self.ask(peer, INFO).await.unwrap_or_default();
        let discovered: Discovered = self.ask(peer, DISCOVER).await.unwrap_or_default();
        let page = FrontPage {
            name: &self.options.name,
            version: info.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION")),
            methods: discovered.methods.into_iter().map(|method| method.name).collect(),
            transports: info.transports,
        };
        json(serde_json::to_vec(&page).unwrap_or_default().into())
    }

    /// The page of numbers, for whom it is.
    pub(super) async fn numbers(&self, peer: &Peer) -> Result<Response<ResponseBody>, Refusal> {
        let numbers = self.options.numbers.as_ref().ok_or(Refusal::NotFound)?;
        let page = numbers.page(peer.clone()).await.map_err(|error| {
            if let Some(auth) = &self.options.auth {
                auth.turned_away(peer, &error);
            }
            Refusal::Denied(error)
        })?;
        let mut response = text(page);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, NUMBERS);
        headers.insert(header::CACHE_CONTROL, NO_STORE);
        Ok(response)
    }

    async fn ask<T: DeserializeOwned>(&self, peer: &Peer, message: &'static str) -> Option<T> {
        let body = self.answer(peer, message).await.body?;
        serde_json::from_slice(&body).ok().map(|outcome: Outcome<T>| outcome.result)
    }

    async fn answer(
        &self,
        peer: &Peer,
        message: &'static str,
    ) -> descartes_rpc::connection::Answer {
        answer(self.rpc.clone(), peer.clone(), Bytes::from_static(message.as_bytes())).await
    }
}

fn failing(checks: &BTreeMap<String, String>) -> String {
    let names: Vec<&str> =
        checks.iter().filter(|(_, word)| *word != "ok").map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { "unavailable".to_owned() } else { names.join(", ") }
}
