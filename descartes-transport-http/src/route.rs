//! What is served where.

use http::Method;

use crate::{
    alias::{ALIASES, Alias, AnswerAs},
    options::Routes,
};

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// JSON-RPC messages.
    Call,
    /// One method, whose name is the last of the path, as it is written there.
    Method(&'a str),
    /// A row of the table of aliases, and what stands in the path where it has a parameter.
    Alias(&'static Alias, &'a str),
    Information,
    Health,
    Ready,
    /// The page of numbers, where there is one.
    Numbers,
    WebSocket,
}

/// Why nothing is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    NotFound,
    /// The path exists, for the methods named here (the value of `Allow`).
    NotAllowed(&'static str),
}

const READ: &str = "GET, HEAD";

/// Where the page of numbers is.
pub(crate) const NUMBERS: &str = "/metrics";

/// Finds what `method` and `path` ask for; the path is relative to where the service is mounted.
pub(crate) fn find<'a>(
    routes: Routes,
    method: &Method,
    path: &'a str,
) -> Result<Route<'a>, NoRoute> {
    let (read, posted, allow) = match path {
        "/ws" => (Some(Route::WebSocket), None, "GET"),
        "/" | "" if routes == Routes::WebSocket => (Some(Route::WebSocket), None, "GET"),
        _ if routes == Routes::WebSocket => return Err(NoRoute::NotFound),
        "/" | "" => (Some(Route::Information), Some(Route::Call), "GET, HEAD, POST"),
        "/rpc" => (None, Some(Route::Call), "POST"),
        "/health" => (Some(Route::Health), None, READ),
        "/ready" => (Some(Route::Ready), None, READ),
        NUMBERS => (Some(Route::Numbers), None, READ),
        other => derived(other)?,
    };
    let found = match *method {
        Method::GET => read,
        Method::HEAD if allow.contains("HEAD") => read,
        Method::POST => posted,
        _ => None,
    };
    found.ok_or(NoRoute::NotAllowed(allow))
}

type Found<'a> = (Option<Route<'a>>, Option<Route<'a>>, &'static str);

/// The paths that follow from the methods: each one's own, and the aliases.
fn derived(path: &str) -> Result<Found<'_>, NoRoute> {
    if let Some(name) = path.strip_prefix("/rpc/") {
        let one = !name.is_empty() && !name.contains('/');
        return if one {
            Ok((None, Some(Route::Method(name)), "POST"))
        } else {
            Err(NoRoute::NotFound)
        };
    }
    let found = ALIASES.iter().find_map(|alias| Some((alias, alias.value_in(path)?)));
    let (alias, value) = found.ok_or(NoRoute::NotFound)?;
    // A stream has no length that could be told without it.
    let allow = match alias.answer {
        AnswerAs::Result | AnswerAs::OpenApi => READ,
        AnswerAs::Events | AnswerAs::Bytes => "GET",
    };
    Ok((Some(Route::Alias(alias, value)), None, allow))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alias::{EVENTS, LOGS, OPENRPC};

    #[test]
    fn each_path_has_its_methods() {
        for (method, path, expected) in [
            (Method::POST, "/", Ok(Route::Call)),
            (Method::POST, "/rpc", Ok(Route::Call)),
            (Method::POST, "/rpc/system.health", Ok(Route::Method("system.health"))),
            (Method::GET, "/", Ok(Route::Information)),
            (Method::HEAD, "/", Ok(Route::Information)),
            (Method::GET, "/health", Ok(Route::Health)),
            (Method::HEAD, "/ready", Ok(Route::Ready)),
            (Method::GET, "/metrics", Ok(Route::Numbers)),
            (Method::POST, "/metrics", Err(NoRoute::NotAllowed("GET, HEAD"))),
            (Method::GET, "/events", Ok(Route::Alias(&EVENTS, ""))),
            (Method::GET, "/openrpc.json", Ok(Route::Alias(&OPENRPC, ""))),
            (Method::HEAD, "/openrpc.json", Ok(Route::Alias(&OPENRPC, ""))),
            (Method::GET, "/agents/a%20b/logs", Ok(Route::Alias(&LOGS, "a%20b"))),
            (Method::GET, "/ws", Ok(Route::WebSocket)),
            (Method::POST, "/ws", Err(NoRoute::NotAllowed("GET"))),
            (Method::HEAD, "/ws", Err(NoRoute::NotAllowed("GET"))),
            (Method::GET, "/rpc", Err(NoRoute::NotAllowed("POST"))),
            (Method::GET, "/rpc/system.health", Err(NoRoute::NotAllowed("POST"))),
            (Method::HEAD, "/events", Err(NoRoute::NotAllowed("GET"))),
            (Method::POST, "/events", Err(NoRoute::NotAllowed("GET"))),
            (Method::DELETE, "/agents/a/logs", Err(NoRoute::NotAllowed("GET"))),
            (Method::PUT, "/", Err(NoRoute::NotAllowed("GET, HEAD, POST"))),
            (Method::OPTIONS, "/rpc", Err(NoRoute::NotAllowed("POST"))),
            (Method::DELETE, "/health", Err(NoRoute::NotAllowed("GET, HEAD"))),
            (Method::POST, "/rpc/", Err(NoRoute::NotFound)),
            (Method::POST, "/rpc/a/b", Err(NoRoute::NotFound)),
            (Method::GET, "/agents", Err(NoRoute::NotFound)),
            (Method::GET, "/agents//logs", Err(NoRoute::NotFound)),
            (Method::GET, "/agents/a/b/logs", Err(NoRoute::NotFound)),
            (Method::GET, "/agents/a/logs/", Err(NoRoute::NotFound)),
            (Method::GET, "/healthz", Err(NoRoute::NotFound)),
            (Method::GET, "//", Err(NoRoute::NotFound)),
            (Method::GET, "/../health", Err(NoRoute::NotFound)),
        ] {
            assert_eq!(find(Routes::All, &method, path), expected, "{method} {path}");
        }
    }
    #[test]
    fn a_port_for_websocket_alone_serves_nothing_else() {
        for (method, path, expected) in [
            (Method::GET, "/", Ok(Route::WebSocket)),
            (Method::GET, "", Ok(Route::WebSocket)),
            (Method::GET, "/ws", Ok(Route::WebSocket)),
            (Method::POST, "/", Err(NoRoute::NotAllowed("GET"))),
            (Method::POST, "/rpc", Err(NoRoute::NotFound)),
            (Method::GET, "/health", Err(NoRoute::NotFound)),
            (Method::GET, "/metrics", Err(NoRoute::NotFound)),
        ] {
            assert_eq!(find(Routes::WebSocket, &method, path), expected, "{method} {path}");
        }
    }
}
