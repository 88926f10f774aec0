//! What the daemon says to whoever started it: where it listens and what to try next.

use std::fmt::Write;
use std::time::Duration;

use crate::directories::Directories;
use crate::endpoints::Endpoints;

/// The notice of a daemon that was ready `after` its start; `guarded`: what has no credentials is
/// refused over TCP.
pub(super) fn ready(
    endpoints: &Endpoints,
    directories: &Directories,
    (after, guarded): (Duration, bool),
) -> String {
    let Endpoints { pid, version, http, ws, zmq, publisher, unix, .. } = endpoints;
    let mut text =
        format!("descartes-daemon {version} is ready after {} ms (pid {pid})", after.as_millis());
    let mut line = |name: &str, value: String| {
        write!(text, "\n  {name:5} {value}").expect("a String can always be written to");
    };
    for (name, url) in [("http", http), ("ws", ws), ("zmq", zmq), ("pub", publisher)] {
        if let Some(url) = url {
            line(name, url.clone());
        }
    }
    if let Some(path) = unix {
        line("unix", path.display().to_string());
    }
    line("data", directories.data.display().to_string());
    match http {
        Some(url) if !guarded && url.starts_with("http:") => line(
            "try",
            format!(
                r#"curl {url} -H 'content-type: application/json' -d '{{"jsonrpc":"2.0","id":1,"method":"agent.spawn","params":{{"agent_type":"basic","name":"hello"}}}}'"#
            ),
        ),
        _ => line("try", "descartes spawn --type basic --name hello".to_owned()),
    }
    line("or", "descartes write hello 'count 3' && descartes logs hello".to_owned());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_says_where_and_what_next() {
        let endpoints = Endpoints {
            pid: 7,
            version: "0.1.0".into(),
            unix: Some("/r/descartes.sock".into()),
            ..Endpoints::default()
        };
        let directories = Directories { data: "/d".into(), runtime: "/r".into() };
        let text = ready(&endpoints, &directories, (Duration::from_millis(12), false));
        assert_eq!(
            text,
            "descartes-daemon 0.1.0 is ready after 12 ms (pid 7)\n  \
             unix  /r/descartes.sock\n  \
             data  /d\n  \
             try   descartes spawn --type basic --name hello\n  \
             or    descartes write hello 'count 3' && descartes logs hello"
        );
    }
}
