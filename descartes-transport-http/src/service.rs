//! All routes as one service, to be mounted in an application or served by [`crate::HttpTransport`].

mod aliases;
mod identify;
mod log;
mod pages;
mod upgrade;

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use descartes_rpc::{
    auth::Principal,
    connection::{Answer, answer_until},
    openrpc::API_VERSION,
    peer::Peer,
    service::RpcService,
};
use http::{
    Extensions, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request,
};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use tower::Service;

use crate::{
    caller::{Caller, Stranger, TRANSPORT},
    cors,
    guard::{Head, content_type, host},
    openapi::OpenApi,
    options::HttpOptions,
    refusal::Refusal,
    request_body,
    response_body::ResponseBody,
    route::{self, NoRoute, Route},
    serve::{ConnectionState, Phase, Upgraded},
    sse::{EventBody, Framing},
    ws::handshake::NoHandshake,
};

const API_HEADER: HeaderName = HeaderName::from_static("descartes-api");
const API: HeaderValue = HeaderValue::from_static(API_VERSION);
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// The text format of Prometheus.
const NUMBERS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Makes a service of all routes of this transport.
///
/// It may stand under any prefix, as long as the prefix is stripped from the path (axum's
/// `nest_service` does). Who calls is said by the application: a [`Principal`] (or a whole
/// [`Peer`]) in the extensions of the request, or [`HttpOptions::caller`] for all; without either
/// the answer is 401.
pub fn service<S: RpcService>(rpc: S, options: HttpOptions) -> HttpService<S> {
    HttpService { server: Arc::new(Server::new(rpc, options)) }
}

/// The routes of this transport as a [`tower::Service`]; cheap to clone, always ready.
pub struct HttpService<S> {
    server: Arc<Server<S>>,
}

impl<S> Clone for HttpService<S> {
    fn clone(&self) -> Self {
        Self { server: Arc::clone(&self.server) }
    }
}

impl<S> fmt::Debug for HttpService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpService").field("options", &self.server.options).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<B>> for HttpService<S>
where
    S: RpcService,
    B: Body<Data: Send, Error: Send> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = Arc::clone(&self.server);
        Box::pin(async move {
            let caller = server.mounted_caller(request.extensions());
            let link = Link::mounted(&caller);
            let deadline = server.options.limits.body_deadline;
            Ok(server.respond(&link, Some(deadline), request).await)
        })
    }
}

/// What is known of the way that a request came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    pub(crate) caller: &'a Caller,
    /// The socket's own address.
    pub(crate) local: Option<IpAddr>,
    /// The connection, when it is one of our own accept loop; it watches the deadlines.
    pub(crate) state: Option<&'a Arc<ConnectionState>>,
    /// Where the connection is told what it becomes; without it that is a task of its own.
    pub(crate) upgraded: Option<&'a Upgraded>,
    /// There is no room for the connection: it is only heard so that it can be told.
    pub(crate) full: bool,
    /// It came over TLS of our own. Who mounts the service may have any in front of it.
    pub(crate) secure: bool,
}

impl<'a> Link<'a> {
    /// Nothing but the caller.
    const fn mounted(caller: &'a Caller) -> Self {
        Self { caller, local: None, state: None, upgraded: None, full: false, secure: false }
    }

    /// Who calls.
    fn identify(&self, head: &Head<'_>) -> Result<&'a Peer, Stranger> {
        match self.caller {
            Caller::Vouched(peer) => Ok(peer),
            Caller::Known(_) if head.forwarded => Err(Stranger::Forwarded),
            Caller::Known(peer) => Ok(peer),
            Caller::Stranger(stranger, _) => Err(*stranger),
        }
    }

    /// The request is whole. A stranger stays a newcomer, so that another user's connections give
    /// way however many they are.
    fn arrived(&self) {
        let Some(state) = self.state else { return };
        state.enter(Phase::Answer);
        if !matches!(self.caller, Caller::Stranger(..)) {
            self.settle();
        }
    }

    /// The connection is no newcomer's any more.
    fn settle(&self) {
        if let Some(state) = self.state
            && !self.full
        {
            state.settle();
        }
    }
}

/// What every request of a server shares.
#[derive(Debug)]
pub(crate) struct Server<S> {
    pub(crate) rpc: S,
    pub(crate) options: HttpOptions,
    openapi: OpenApi,
}

impl<S> Server<S> {
    pub(crate) fn new(rpc: S, options: HttpOptions) -> Self {
        let openapi = OpenApi::new(options.numbers.is_some());
        Self { rpc, options, openapi }
    }
}

impl<S: RpcService> Server<S> {
    /// Lets audit know of those who are turned away for who they are, or for where they come from.
    fn note(&self, link: &Link<'_>, refusal: &Refusal) {
        if let Some(auth) = self.options.auth.as_ref().filter(|_| refusal.is_of_stranger()) {
            auth.turned_away(&link.caller.stranger(), &refusal.error());
        }
    }

    /// Answers one request. `body_deadline` is for those whose connection watches none itself.
    pub(crate) async fn respond<B: Body>(
        &self,
        link: &Link<'_>,
        body_deadline: Option<std::time::Duration>,
        request: Request<B>,
    ) -> Response<ResponseBody> {
        let (mut parts, body) = request.into_parts();
        if let Some(state) = link.state {
            state.begin();
        }
        let unread = !body.is_end_stream();
        let mut response = match self.route(link, body_deadline, &mut parts, body).await {
            Ok(response) => response,
            Err(refusal) => {
                self.note(link, &refusal);
                self.options.meter.refused(TRANSPORT, refusal.reason(), &refusal.error());
                if let Some(state) = link.state {
                    state.enter(Phase::Answer);
                    if unread {
                        state.leave_body_unread();
                    }
                }
                // What is too long is not read to its end, so no other request can follow: said, or
                // a client would send one on a connection that is about to close.
                let last = matches!(refusal, Refusal::TooLarge(_) | Refusal::Full);
                let ends = link.state.is_some() && last;
                let mut response = refusal.into_response();
                if ends {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(API_HEADER, API);
        // For browsers that say too little of their pages: what is answered is no script, image or
        // style of another site.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
        cors::tell(&parts.headers, &self.options.allowed.load().origins, response.headers_mut());
        response
    }

    async fn route<B: Body>(
        &self,
        link: &Link<'_>,
        body_deadline: Option<std::time::Duration>,
        parts: &mut request::Parts,
        body: B,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let found = self.find(&parts.method, parts.uri.path());
        match found {
            Ok(Route::WebSocket) if body.is_end_stream() => {
                let upgrade = parts.extensions.remove::<OnUpgrade>();
                let head = Head::read(&parts.headers);
                self.check_site(link, &head, parts)?;
                link.arrived();
                // In a box, so that the future of the plain call stays small.
                return Box::pin(self.websocket(link, &head, parts, upgrade)).await;
            }
            _ if link.full => return Err(Refusal::Full),
            Ok(Route::Health) => return Ok(answered(link, text("OK"))),
            Ok(Route::Ready) => {
                link.arrived();
                return Ok(self.ready().await);
            }
            _ => {}
        }
        let head = Head::read(&parts.headers);
        self.check_site(link, &head, parts)?;
        if let Err(NoRoute::NotAllowed(methods)) = found
            && cors::is_preflight(parts, &self.options.allowed.load().origins)
        {
            return Ok(answered(link, cors::permission(methods)));
        }
        let peer = self.guard(link, &head, parts).await?;
        let peer = &*match head.trace(&parts.headers) {
            None => peer,
            trace => Cow::Owned(peer.into_owned().within(trace)),
        };
        match found.map_err(refuse_route)? {
            Route::Call => {
                let message = self.message(&head, body_deadline, body).await?;
                link.arrived();
                Ok(self.call(peer, &head, message).await)
            }
            Route::Method(name) => {
                let params = self.message(&head, body_deadline, body).await?;
                link.arrived();
                // In a box, so that the future of the plain call stays small.
                Box::pin(self.method(peer, &head, (name, &params))).await
            }
            Route::Alias(alias, value) => {
                link.arrived();
                let query = parts.uri.query().unwrap_or_default();
                Box::pin(self.alias(peer, &head, (alias, value, query))).await
            }
            Route::Information => {
                link.arrived();
                Ok(self.information(peer).await)
            }
            Route::Numbers => {
                link.arrived();
                self.numbers(peer).await
            }
            Route::WebSocket => Err(Refusal::Handshake(NoHandshake::Malformed)),
            Route::Health | Route::Ready => Err(Refusal::NotFound),
        }
    }

    /// What `method` and `path` ask for, of what is served here.
    fn find<'a>(&self, method: &Method, path: &'a str) -> Result<Route<'a>, NoRoute> {
        if path == route::NUMBERS && self.options.numbers.is_none() {
            return Err(NoRoute::NotFound);
        }
        route::find(self.options.routes, method, path)
    }

    /// Whether this server is meant, and by nobody's page but its own and configured ones.
    fn check_site(
        &self,
        link: &Link<'_>,
        head: &Head<'_>,
        parts: &request::Parts,
    ) -> Result<(), Refusal> {
        let (options, allowed) = (&self.options, self.options.allowed.load());
        // Who must have credentials, and sends some, is no page: those cannot know them.
        let guarded = head.credentials && options.needs_credentials();
        if !guarded && !matches!(link.caller, Caller::Vouched(_)) {
            host::check(head.host, &parts.uri, link.local, &allowed.hosts)
                .map_err(Refusal::Host)?;
        }
        if head.is_foreign(&allowed.origins, link.secure) {
            return Err(Refusal::ForeignOrigin);
        }
        Ok(())
    }

    /// Who calls, and all else that is decided before the body is read.
    async fn guard<'a>(
        &self,
        link: &Link<'a>,
        head: &Head<'_>,
        parts: &request::Parts,
    ) -> Result<Cow<'a, Peer>, Refusal> {
        let peer = self.identify(link, head).await?;
        if parts.method == Method::POST
            && !content_type::is_json(head.content_type, head.credentials)
        {
            // A path that takes no POST says so whatever the type was.
            self.find(&parts.method, parts.uri.path()).map_err(refuse_route)?;
            return Err(Refusal::ContentType);
        }
        Ok(peer)
    }

    async fn message<B: Body>(
        &self,
        head: &Head<'_>,
        deadline: Option<std::time::Duration>,
        body: B,
    ) -> Result<Bytes, Refusal> {
        let read = request_body::read(body, head.content_length, self.options.limits.request_bytes);
        match deadline {
            None => read.await,
            Some(deadline) => {
                tokio::time::timeout(deadline, read).await.unwrap_or(Err(Refusal::BrokenBody))
            }
        }
    }

    async fn call(&self, peer: &Peer, head: &Head<'_>, message: Bytes) -> Response<ResponseBody> {
        let (rpc, peer) = (self.rpc.clone(), peer.clone());
        let streams = head.wants_events();
        let drain = self.options.shutdown.cancelled();
        let answer = answer_until(rpc, peer, message, streams, drain).await;
        if !streams {
            return plain(answer);
        }
        match answer {
            Answer { body: Some(body), notifications, .. } => {
                let events = self.event_body(Framing::Messages, notifications).begin_with(&body);
                event_stream(events)
            }
            silent => plain(silent),
        }
    }

    fn event_body(
        &self,
        framing: Framing,
        notifications: Option<descartes_rpc::message::NotificationStream>,
    ) -> EventBody {
        let options = &self.options;
        EventBody::new(framing, notifications, options.shutdown.clone(), options.limits.heartbeat)
    }

    fn mounted_caller(&self, extensions: &Extensions) -> Caller {
        if let Some(principal) = extensions.get::<Principal>() {
            return Caller::Vouched(Peer::new(TRANSPORT).with_principal(principal.clone()));
        }
        match (extensions.get::<Peer>(), &self.options.caller) {
            (Some(peer), _) => Caller::Vouched(peer.clone()),
            (None, Some(peer)) => Caller::Known(peer.clone()),
            (None, None) if self.options.auth.is_some() => {
                Caller::Stranger(Stranger::Credentials, Peer::new(TRANSPORT))
            }
            (None, None) => Caller::Stranger(Stranger::Unnamed, Peer::new(TRANSPORT)),
        }
    }
}

fn refuse_route(fault: NoRoute) -> Refusal {
    match fault {
        NoRoute::NotFound => Refusal::NotFound,
        NoRoute::NotAllowed(allow) => Refusal::NotAllowed(allow),
    }
}

fn answered(link: &Link<'_>, response: Response<ResponseBody>) -> Response<ResponseBody> {
    link.arrived();
    response
}

/// The answer to a message: JSON, or nothing for notifications alone.
fn plain(answer: Answer) -> Response<ResponseBody> {
    match answer.body {
        None => status(StatusCode::NO_CONTENT, ResponseBody::empty()),
        Some(body) => {
            let mut response = json(body);
            if answer.malformed {
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
            response
        }
    }
}

pub(crate) fn json(body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::block(body));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

fn text(word: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::block(word.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    response
}

fn event_stream(events: EventBody) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::events(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    response
}

fn status(status: StatusCode, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
