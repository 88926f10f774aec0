//! How a run ended there, in the words of here.

use descartes_core::agent::{ExitReason, signal_name};
use descartes_core::runner::RunExit;

use crate::client::ClientError;
use crate::error::ErrorKind;
use crate::wire::agent as wire;

/// The greatest signal number of Linux.
const SIGNALS: i32 = 64;

/// The end that `exit` tells of.
pub(super) fn of(exit: &wire::Exit) -> RunExit {
    let mut run = RunExit::lost();
    run.code = exit.code;
    run.signal = exit.signal.as_deref().and_then(number);
    run.reason = reason(exit);
    run.forced = exit.forced;
    run.swept = exit.swept;
    if run.reason == ExitReason::HostDied {
        run.why = Some("the remote daemon died");
    }
    run
}

fn reason(exit: &wire::Exit) -> ExitReason {
    use wire::ExitReason as W;
    match exit.reason {
        // Bounds of a later daemon, which ended it.
        W::MemoryLimit | W::Budget => ExitReason::Killed,
        W::Unknown if exit.code.is_some() => ExitReason::Exited,
        W::Unknown if exit.signal.is_some() => ExitReason::Signalled,
        known => ExitReason::from_text(known.as_str()).unwrap_or(ExitReason::Lost),
    }
}

fn number(name: &str) -> Option<i32> {
    (1..=SIGNALS).find(|number| signal_name(*number) == name)
}

/// The end of a run whose start came to nothing.
pub(super) fn never_began(error: &ClientError) -> RunExit {
    if error.kind() != ErrorKind::SpawnFailed {
        return lost("the remote never began it");
    }
    let mut run = RunExit::lost();
    run.reason = ExitReason::ExecFailed;
    run.why = Some("the remote could not start it");
    run
}

/// An end that nobody saw, and why.
pub(super) fn lost(why: &'static str) -> RunExit {
    let mut run = RunExit::lost();
    run.why = Some(why);
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> RunExit {
        let rest = r#""at":"2026-01-01T00:00:00.000Z","stderr_tail":"","forced":true,"swept":2"#;
        of(&serde_json::from_str(&format!("{{{json},{rest}}}")).unwrap())
    }

    #[test]
    fn every_end_of_the_remote_is_one_of_here() {
        let table = [
            (r#""code":3,"reason":"exited""#, Some(3), None, ExitReason::Exited),
            (r#""signal":"SIGTERM","reason":"killed""#, None, Some(15), ExitReason::Killed),
            (r#""signal":"SIG42","reason":"signalled""#, None, Some(42), ExitReason::Signalled),
            (r#""reason":"wall_limit""#, None, None, ExitReason::WallLimit),
            (r#""reason":"memory_limit""#, None, None, ExitReason::Killed),
            (r#""reason":"host_died""#, None, None, ExitReason::HostDied),
            (r#""code":1,"reason":"of_tomorrow""#, Some(1), None, ExitReason::Exited),
            (r#""reason":"of_tomorrow""#, None, None, ExitReason::Lost),
        ];
        for (json, code, signal, reason) in table {
            let run = told(json);
            assert_eq!((run.code, run.signal, run.reason), (code, signal, reason), "{json}");
            assert_eq!((run.forced, run.swept), (true, 2));
        }
    }
}
