//! Kinds of sockets and which of them fit.

use std::fmt;

/// What kind of socket an end is (RFC 23, Socket-Type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketType {
    /// Asks, waits, asks.
    Req,
    /// Answers one at a time.
    Rep,
    /// Asks without waiting.
    Dealer,
    /// Answers many.
    Router,
    /// Publishes.
    Pub,
    /// Publishes and is told of subscriptions.
    XPub,
    /// Subscribes.
    Sub,
    /// Subscribes by messages.
    XSub,
}

impl SocketType {
    const ALL: [Self; 8] = [
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Pub,
        Self::XPub,
        Self::Sub,
        Self::XSub,
    ];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Pub => "PUB",
            Self::XPub => "XPUB",
            Self::Sub => "SUB",
            Self::XSub => "XSUB",
        }
    }

    /// The type of this name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    /// Whether the two may talk (the table of "The Socket-Type Property").
    #[must_use]
    pub const fn fits(self, peer: Self) -> bool {
        match self {
            Self::Req => matches!(peer, Self::Rep | Self::Router),
            Self::Rep => matches!(peer, Self::Req | Self::Dealer),
            Self::Dealer => matches!(peer, Self::Rep | Self::Dealer | Self::Router),
            Self::Router => matches!(peer, Self::Req | Self::Dealer | Self::Router),
            Self::Pub | Self::XPub => matches!(peer, Self::Sub | Self::XSub),
            Self::Sub | Self::XSub => matches!(peer, Self::Pub | Self::XPub),
        }
    }

    /// Whether it may have an identity ("The Identity Property").
    pub(super) const fn has_identity(self) -> bool {
        matches!(self, Self::Req | Self::Dealer | Self::Router)
    }

    /// Whether subscriptions are sent to it.
    pub(super) const fn publishes(self) -> bool {
        matches!(self, Self::Pub | Self::XPub)
    }

    /// Whether it sends subscriptions.
    pub(super) const fn subscribes(self) -> bool {
        matches!(self, Self::Sub | Self::XSub)
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in SocketType::ALL {
            assert_eq!(SocketType::named(kind.to_string().as_bytes()), Some(kind));
        }
        for name in [&b""[..], b"req", b"PUSH", b"REQ\0"] {
            assert_eq!(SocketType::named(name), None);
        }
    }

    #[test]
    fn the_table_of_types_that_fit_is_that_of_the_rfc() {
        // RFC 37, "The Socket-Type Property": a row for each type, a star for each that fits.
        let rows = [
            "-*-*----", "*-*-----", "-***----", "*-**----", "------**", "------**", "----**--",
            "----**--",
        ];
        for (ours, row) in SocketType::ALL.into_iter().zip(rows) {
            for (peer, star) in SocketType::ALL.into_iter().zip(row.bytes()) {
                assert_eq!(ours.fits(peer), star == b'*', "{ours} and {peer}");
                assert_eq!(ours.fits(peer), peer.fits(ours), "{ours} and {peer}");
            }
        }
    }
}
