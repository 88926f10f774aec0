//! The kinds of errors as one table.

use std::fmt;

macro_rules! kinds {
    ($(#[doc = $doc:literal] $kind:ident = $code:literal $name:literal $status:literal $retry:literal;)*) => {
        /// What sort of error it is. Stable: kinds are added, never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $(#[doc = $doc] $kind,)*
        }

        impl ErrorKind {
            /// Every kind, in the order of the published table.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The JSON-RPC code.
            #[must_use]
            pub const fn code(self) -> i32 {
                match self { $(Self::$kind => $code,)* }
            }

            /// The name in `data.kind`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$kind => $doc.trim_ascii(),)* }
            }

            /// The HTTP status where the answer is not a JSON-RPC body.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$kind => $status,)* }
            }

            /// Whether the same call may succeed later, unless the error says otherwise.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$kind => $retry,)* }
            }
        }
    };
}

kinds! {
    /// Not JSON.
    ParseError = -32700 "parse_error" 400 false;
    /// Not a request, or one that cannot be served this way.
    InvalidRequest = -32600 "invalid_request" 400 false;
    /// No method of that name.
    MethodNotFound = -32601 "method_not_found" 404 false;
    /// The parameters do not fit the method.
    InvalidParams = -32602 "invalid_params" 400 false;
    /// A fault of ours.
    Internal = -32603 "internal" 500 false;
    /// None of the other kinds.
    Other = -32000 "other" 500 false;
    /// No, bad or expired credentials.
    Unauthenticated = -32001 "unauthenticated" 401 false;
    /// No agent of that id or name.
    AgentNotFound = -32002 "agent_not_found" 404 false;
    /// The program could not be started.
    SpawnFailed = -32003 "spawn_failed" 422 false;
    /// Something of the process tree is left.
    KillFailed = -32004 "kill_failed" 500 true;
    /// A workflow cannot go on.
    WorkflowError = -32005 "workflow_error" 422 false;
    /// The store cannot do it.
    StateError = -32006 "state_error" 503 true;
    /// Not now.
    Unavailable = -32007 "unavailable" 503 true;
    /// Measurements could not be taken.
    MetricsError = -32008 "metrics_error" 503 true;
    /// It took too long; the effect goes on.
    Timeout = -32009 "timeout" 504 true;
    /// A client or a remote lost its peer.
    ConnectionLost = -32010 "connection_lost" 502 true;
    /// A bound was reached.
    ResourceExhausted = -32011 "resource_exhausted" 429 true;
    /// The caller may not do this.
    Forbidden = -32012 "forbidden" 403 false;
    /// The agent did not stop.
    PauseFailed = -32013 "pause_failed" 409 true;
    /// The agent did not go on.
    ResumeFailed = -32014 "resume_failed" 409 true;
    /// The terminal could not be shared.
    AttachFailed = -32015 "attach_failed" 409 false;
    /// No such thing other than an agent.
    NotFound = -32016 "not_found" 404 false;
    /// It contradicts how things are.
    Conflict = -32017 "conflict" 409 false;
    /// Given up because somebody asked for it.
    Cancelled = -32018 "cancelled" 499 true;
}

impl ErrorKind {
    /// The kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// The kind of a code.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
