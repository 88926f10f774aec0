//! Why something was refused, and why somebody was not believed: closed sets.

use crate::error::{ErrorKind, RpcError};

/// The limit that says how often one principal may call.
const RATE_KEY: &str = "limits.rate_per_second";

macro_rules! reasons {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$variant),*];

            /// Its word in labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    /// Why a call, a request or a connection was refused.
    Rejection {
        /// Nobody vouches for the caller, or its credentials are not believed.
        Unauthenticated "unauthenticated",
        /// The caller may not do this.
        Forbidden "forbidden",
        /// One principal calls more often than it may.
        RateLimited "rate_limited",
        /// A bound of the connection or of the daemon is reached.
        Limit "limit",
        /// No slot was free in time.
        Busy "busy",
        /// The daemon stops, or takes no new work.
        Draining "draining",
        /// It is longer than it may be.
        TooLarge "too_large",
        /// It cannot be read as what it should be.
        Malformed "malformed",
        /// Nothing is served there, or not in that way.
        NotServed "not_served",
        /// A `Host` that is not ours.
        Host "host",
        /// A page of another site is behind it.
        Origin "origin",
        /// There are as many connections as there may be, in all or of one address.
        TooManyConnections "too_many_connections",
    }
}

impl Rejection {
    /// Whether `error` says that a call was refused, and why; a call that failed otherwise was not.
    #[must_use]
    pub fn of(error: &RpcError) -> Option<Self> {
        match error.kind() {
            ErrorKind::Unauthenticated => Some(Self::Unauthenticated),
            ErrorKind::Forbidden => Some(Self::Forbidden),
            ErrorKind::ResourceExhausted => {
                Some(match error.detail("limit").and_then(|limit| limit.as_str()) {
                    Some(RATE_KEY) => Self::RateLimited,
                    Some(limit) if limit.ends_with("bytes") => Self::TooLarge,
                    _ => Self::Limit,
                })
            }
            ErrorKind::Unavailable if error.reason_text() == Some("no_slot") => Some(Self::Busy),
            ErrorKind::Unavailable => Some(Self::Draining),
            _ => None,
        }
    }
}

reasons! {
    /// Why somebody was not believed.
    AuthFailure {
        /// There are no credentials, and they are needed.
        NoCredentials "no_credentials",
        /// It is another user's process.
        OtherUser "other_user",
        /// Whose process it is could not be told.
        UnknownUser "unknown_user",
        /// Loopback proves nothing here.
        LoopbackNotTrusted "loopback_not_trusted",
        /// It came through a proxy, without credentials.
        Forwarded "forwarded",
        /// The credentials cannot be read.
        Malformed "malformed",
        /// There is no such key.
        WrongKey "wrong_key",
        /// The token is not one of ours.
        InvalidToken "invalid_token",
        /// The time of the credentials is over.
        Expired "expired",
        /// The credentials were revoked.
        Revoked "revoked",
        /// Too many of that address have failed, and it was not looked at.
        Throttled "throttled",
    }
}

impl AuthFailure {
    /// Why `error` says that its caller was not believed. None where it does not say that, or does
    /// not tell why: what an [`Authenticator`](crate::auth::Authenticator) refuses it counts itself.
    #[must_use]
    pub fn of(error: &RpcError) -> Option<Self> {
        if error.kind() != ErrorKind::Unauthenticated {
            return None;
        }
        match error.reason_text()? {
            "unauthenticated" => Some(Self::NoCredentials),
            reason => Self::ALL.into_iter().find(|one| one.as_str() == reason),
        }
    }
}
