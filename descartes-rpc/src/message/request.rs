//! One call on its way to its method.

use super::{Id, Params, Text};
use crate::{
    connection::Connection,
    peer::Peer,
    service::{Admission, MethodTraits},
};

/// One call: what was asked, by whom, and what may follow the answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// The caller's name for this call; `None` for a notification, which is never answered.
    pub id: Option<Id>,
    /// The method's name as it was sent.
    pub method: Text,
    /// The parameters, undecoded.
    pub params: Params,
    /// Who asks.
    pub peer: Peer,
    /// The connection that this came in by: its waits, subscriptions and order of effects.
    pub connection: Connection,
    /// Whether notifications can follow the answer.
    pub streams: bool,
    /// Whether this is an entry of a batch, which counts as one call of its connection.
    pub batched: bool,
    /// What the service has found out about the call so far.
    pub(crate) admission: Admission,
}

impl Request {
    /// A call of `method` by `peer` on `connection`, without identifier, parameters and stream.
    #[must_use]
    pub fn new(method: Text, peer: Peer, connection: Connection) -> Self {
        Self {
            id: None,
            method,
            params: Params::ABSENT,
            peer,
            connection,
            streams: false,
            batched: false,
            admission: Admission::default(),
        }
    }

    /// How the method wants to be treated, as far as it is known yet.
    #[must_use]
    pub fn traits(&self) -> MethodTraits {
        self.admission.found.map(|found| found.traits).unwrap_or_default()
    }
}
