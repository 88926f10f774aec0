//! The table of routes.

use http::Method;

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Call,
    Information,
    Health,
    Ready,
    Events,
    OpenRpc,
}

/// Why nothing is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    NotFound,
    /// The path exists, for the methods named here (the value of `Allow`).
    NotAllowed(&'static str),
}

const READ: &str = "GET, HEAD";

/// Finds what `method` and `path` ask for; the path is relative to where the service is mounted.
pub(crate) fn find(method: &Method, path: &str) -> Result<Route, NoRoute> {
    let (read, posted, allow) = match path {
        "/" | "" => (Some(Route::Information), Some(Route::Call), "GET, HEAD, POST"),
        "/rpc" => (None, Some(Route::Call), "POST"),
        "/health" => (Some(Route::Health), None, READ),
        "/ready" => (Some(Route::Ready), None, READ),
        "/openrpc.json" => (Some(Route::OpenRpc), None, READ),
        "/events" => (Some(Route::Events), None, "GET"),
        _ => return Err(NoRoute::NotFound),
    };
    let found = match *method {
        Method::GET => read,
        Method::HEAD if allow.contains("HEAD") => read,
        Method::POST => posted,
        _ => None,
    };
    found.ok_or(NoRoute::NotAllowed(allow))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_methods() {
        for (method, path, expected) in [
            (Method::POST, "/", Ok(Route::Call)),
            (Method::POST, "/rpc", Ok(Route::Call)),
            (Method::GET, "/", Ok(Route::Information)),
            (Method::HEAD, "/", Ok(Route::Information)),
            (Method::GET, "/health", Ok(Route::Health)),
            (Method::HEAD, "/ready", Ok(Route::Ready)),
            (Method::GET, "/events", Ok(Route::Events)),
            (Method::GET, "/openrpc.json", Ok(Route::OpenRpc)),
            (Method::GET, "/rpc", Err(NoRoute::NotAllowed("POST"))),
            (Method::HEAD, "/events", Err(NoRoute::NotAllowed("GET"))),
            (Method::POST, "/events", Err(NoRoute::NotAllowed("GET"))),
            (Method::PUT, "/", Err(NoRoute::NotAllowed("GET, HEAD, POST"))),
            (Method::OPTIONS, "/rpc", Err(NoRoute::NotAllowed("POST"))),
            (Method::DELETE, "/health", Err(NoRoute::NotAllowed("GET, HEAD"))),
            (Method::POST, "/rpc/", Err(NoRoute::NotFound)),
            (Method::GET, "/healthz", Err(NoRoute::NotFound)),
            (Method::GET, "//", Err(NoRoute::NotFound)),
            (Method::GET, "/../health", Err(NoRoute::NotFound)),
        ] {
            assert_eq!(find(&method, path), expected, "{method} {path}");
        }
    }
}
