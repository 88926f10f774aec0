//! The service inside somebody's application.

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use descartes_rpc::{
    auth::{Principal, Scope, authorize},
    testing::{fake_agent, fake_service},
};
use descartes_transport_http::{HttpOptions, Numbers, service};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::fake::{self, Stage};

fn call(path: &str, host: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", host)
        .header("content-type", "application/json")
        .body(Full::from(r#"{"jsonrpc":"2.0","id":1,"method":"whoami"}"#))
        .unwrap()
}

async fn answer<S>(service: S, request: Request<Full<Bytes>>) -> (StatusCode, String)
where
    S: Service<Request<Full<Bytes>>, Error = std::convert::Infallible>,
    S::Response: Into<http::Response<axum::body::Body>>,
{
    let Ok(response) = service.oneshot(request).await;
    let (parts, body) = response.into().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, String::from_utf8(body.to_vec()).unwrap())
}

fn app(options: HttpOptions) -> Router {
    let descartes = service(fake::service(Arc::new(Stage::default())), options);
    Router::new().nest_service("/descartes", descartes)
}

#[tokio::test]
async fn under_a_prefix_the_application_says_who_calls() {
    let mut request = call("/descartes/rpc", "app.example");
    request.extensions_mut().insert(Principal::new("ann", ["agent:read"]));
    let (status, body) = answer(app(HttpOptions::default()), request).await;
    assert_eq!(status, 200);
    assert!(body.contains("ann"), "{body}");
    let mut request = call("/descartes", "app.example");
    request.extensions_mut().insert(Principal::owner());
    assert_eq!(answer(app(HttpOptions::default()), request).await.0, 200);
}

#[tokio::test]
async fn a_caller_whom_nobody_names_is_refused() {
    let (status, body) =
        answer(app(HttpOptions::default()), call("/descartes/rpc", "localhost")).await;
    assert_eq!(status, 401);
    assert!(body.contains("-32001"), "{body}");
}

#[tokio::test]
async fn an_application_may_take_everyone_for_the_owner_but_no_web_page() {
    let options = HttpOptions::default().everyone_is_owner().allow_host("app.example");
    for (host, status) in [("localhost", 200), ("app.example", 200), ("evil.example", 421)] {
        let answered = answer(app(options.clone()), call("/descartes/rpc", host)).await;
        assert_eq!(answered.0, status, "{host}");
    }
    let mut page = call("/descartes/rpc", "localhost");
    page.headers_mut().insert("origin", "http://evil.example".parse().unwrap());
    assert_eq!(answer(app(options), page).await.0, 403);
}

#[tokio::test]
async fn the_application_ends_streams_with_its_token() {
    let token = CancellationToken::new();
    let options = HttpOptions::default().everyone_is_owner().shutdown(token.clone());
    let request = Request::get("/descartes/events?topic=agent/a")
        .header("host", "localhost")
        .body(Full::default())
        .unwrap();
    let Ok(response) = app(options).oneshot(request).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("event: synced"));
    token.cancel();
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("event: ended"));
}

#[tokio::test]
async fn the_page_of_numbers_is_for_whom_the_application_says() {
    let get = |path: &str, scopes: &[&str]| {
        let mut request = Request::get(path).body(Full::default()).unwrap();
        request.extensions_mut().insert(Principal::new("ann", scopes.to_vec()));
        request
    };
    let mut options = HttpOptions::default();
    let (status, _) = answer(app(options.clone()), get("/descartes/metrics", &["metrics"])).await;
    assert_eq!(status, 404, "there is none by itself");
    options.numbers = Some(Numbers::new(|peer| async move {
        authorize(peer.principal().as_ref(), Scope::Metrics).map(|_| "one 1\n".to_owned())
    }));
    let reader = get("/descartes/metrics", &["metrics"]);
    assert_eq!(answer(app(options.clone()), reader).await, (StatusCode::OK, "one 1\n".to_owned()));
    let (status, body) = answer(app(options.clone()), get("/descartes/metrics", &["audit"])).await;
    assert_eq!(status, 403);
    assert!(body.contains("-32012") && body.contains("metrics"), "{body}");
    let unnamed = Request::get("/descartes/metrics").header("host", "localhost");
    let unnamed = unnamed.body(Full::default()).unwrap();
    assert_eq!(answer(app(options), unnamed).await.0, 401);
}

/// A service with one agent that has written a line, and the path at which its log is followed.
async fn with_an_agent(token: &CancellationToken) -> (Router, String) {
    let options = HttpOptions::default().everyone_is_owner().shutdown(token.clone());
    let app = Router::new().fallback_service(service(fake_service(0).await, options));
    let spawned = answer(app.clone(), method("agent.spawn", &fake_agent())).await.1;
    let spawned: serde_json::Value = serde_json::from_str(&spawned).unwrap();
    let id = spawned["agent_id"].as_str().unwrap_or_else(|| panic!("{spawned}"));
    let line = serde_json::json!({"agent_id": id, "text": "a line\n"});
    assert_eq!(answer(app.clone(), method("agent.write_stdin", &line)).await.0, 200);
    (app, id.to_owned())
}

fn method(name: &str, params: &serde_json::Value) -> Request<Full<Bytes>> {
    let request = Request::post(format!("/rpc/{name}")).header("host", "localhost");
    request.header("content-type", "application/json").body(Full::from(params.to_string())).unwrap()
}

async fn followed(app: &Router, id: &str) -> axum::body::Body {
    let request = Request::get(format!("/agents/{id}/logs?follow=1")).header("host", "localhost");
    let Ok(response) = app.clone().oneshot(request.body(Full::default()).unwrap()).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "a line\n");
    body
}

#[tokio::test]
async fn a_log_that_the_shutdown_cuts_short_is_not_taken_for_whole() {
    let token = CancellationToken::new();
    let (app, id) = with_an_agent(&token).await;
    let body = followed(&app, &id).await;
    token.cancel();
    let cut = body.collect().await.expect_err("a body without its end");
    assert!(cut.to_string().contains("going down"), "{cut}");
}

#[tokio::test]
async fn a_log_whose_agent_has_ended_is_whole_also_while_the_server_goes_down() {
    let token = CancellationToken::new();
    let (app, id) = with_an_agent(&token).await;
    let body = followed(&app, &id).await;
    let killed = answer(app, method("agent.kill", &serde_json::json!({"agent_id": id}))).await;
    assert_eq!(killed.0, 200, "{}", killed.1);
    token.cancel();
    let rest = body.collect().await.expect("a body with its end");
    assert_eq!(rest.to_bytes(), "");
}
