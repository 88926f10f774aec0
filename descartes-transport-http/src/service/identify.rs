//! Who makes a request: by the connection that it came by, or by the credentials in it.

use std::borrow::Cow;

use descartes_rpc::{auth::Principal, error::ErrorKind, peer::Peer, service::RpcService};

use super::{Link, Server};
use crate::{
    caller::{Caller, Stranger},
    guard::{Head, credentials::Presented},
    refusal::Refusal,
};

impl<S: RpcService> Server<S> {
    /// Who calls. Credentials that do not fit are as good as none where the connection is enough;
    /// where it is not, they are refused, the later the more of that address have failed.
    pub(super) async fn identify<'a>(
        &self,
        link: &Link<'a>,
        head: &Head<'_>,
    ) -> Result<Cow<'a, Peer>, Refusal> {
        match (link.caller, link.identify(head)) {
            (Caller::Vouched(peer), _) => Ok(Cow::Borrowed(peer)),
            (_, Ok(peer)) => Ok(self.known(head).map_or(Cow::Borrowed(peer), |principal| {
                Cow::Owned(peer.clone().with_principal(principal))
            })),
            (_, Err(stranger)) => {
                let principal = self.authenticate(link, head, stranger).await?;
                link.settle();
                Ok(Cow::Owned(link.caller.stranger().with_principal(principal)))
            }
        }
    }

    /// Whom the credentials name of somebody who needs none.
    fn known(&self, head: &Head<'_>) -> Option<Principal> {
        let auth = self.options.auth.as_ref()?;
        match head.presented() {
            Presented::Text(secret) => auth.known(&secret),
            Presented::Nothing | Presented::Unreadable => None,
        }
    }

    async fn authenticate(
        &self,
        link: &Link<'_>,
        head: &Head<'_>,
        stranger: Stranger,
    ) -> Result<Principal, Refusal> {
        let Some(auth) = &self.options.auth else { return Err(Refusal::Stranger(stranger)) };
        let address = link.caller.peer().address();
        let failed = match head.presented() {
            Presented::Nothing => return Err(Refusal::Stranger(stranger)),
            Presented::Text(secret) => auth.authenticate(&secret, address).await,
            Presented::Unreadable => Err(auth.refuse_unreadable(address).await),
        };
        failed.map_err(|error| match error.kind() {
            ErrorKind::ResourceExhausted => Refusal::TooManyLogins(error),
            _ => Refusal::Credentials(error),
        })
    }
}
