//! The service inside somebody's application.

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use descartes_rpc::auth::Principal;
use descartes_transport_http::{HttpOptions, service};
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
