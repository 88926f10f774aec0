//! Who makes a request: by the credentials in it, or by the connection that it came by.

use std::borrow::Cow;

use descartes_rpc::{auth::Principal, error::ErrorKind, peer::Peer, service::RpcService};

use super::{Link, Server};
use crate::{
    caller::Caller,
    guard::{Head, credentials::Presented},
    refusal::Refusal,
};

impl<S: RpcService> Server<S> {
    /// Who calls. Credentials that do not fit are refused, the later the more of that address have
    /// failed, also where the connection would be enough: or somebody whose key was revoked would be
    /// the owner.
    pub(super) async fn identify<'a>(
        &self,
        link: &Link<'a>,
        head: &Head<'_>,
    ) -> Result<Cow<'a, Peer>, Refusal> {
        match (link.caller, link.identify(head)) {
            (Caller::Vouched(peer), _) => Ok(Cow::Borrowed(peer)),
            (_, Ok(peer)) => {
                let found = self.authenticate(link, head, true).await?;
                Ok(found.map_or(Cow::Borrowed(peer), |principal| {
                    Cow::Owned(peer.clone().with_principal(principal))
                }))
            }
            (_, Err(stranger)) => {
                let found = self.authenticate(link, head, false).await?;
                let principal = found.ok_or(Refusal::Stranger(stranger))?;
                link.settle();
                Ok(Cow::Owned(link.caller.stranger().with_principal(principal)))
            }
        }
    }

    /// Whom the credentials name, if there are any. Where the connection is `enough`, those of
    /// another scheme are for somebody else.
    async fn authenticate(
        &self,
        link: &Link<'_>,
        head: &Head<'_>,
        enough: bool,
    ) -> Result<Option<Principal>, Refusal> {
        let Some(auth) = &self.options.auth else { return Ok(None) };
        let address = link.caller.peer().address();
        let found = match head.presented() {
            Presented::Nothing => return Ok(None),
            Presented::Foreign if enough => return Ok(None),
            Presented::Text(secret) => auth.authenticate(&secret, address).await,
            Presented::Foreign | Presented::Unreadable => {
                Err(auth.refuse_unreadable(address).await)
            }
        };
        found.map(Some).map_err(|error| match error.kind() {
            ErrorKind::ResourceExhausted => Refusal::TooManyLogins(error),
            _ => Refusal::Credentials(error),
        })
    }
}
