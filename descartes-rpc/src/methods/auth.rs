//! `auth.*`

use std::time::Duration;

use descartes_core::time::Timestamp;

use crate::auth::key::{KeyRecord, NewKey};
use crate::auth::{Authenticator, Secret, grant, subject};
use crate::decode::ParamFault;
use crate::error::{ErrorKind, RpcError};
use crate::idempotency::Effect;
use crate::limits::{MAKERS, TOKEN_AGE};
use crate::router::Call;
use crate::wire::auth as wire;
use crate::wire::encode;
use crate::wire::system::NoParams;

use super::table::Barrier;

/// Seconds that a key may last: a hundred years, so that times stay times.
const KEY_SECS: u64 = 100 * 366 * 24 * 3600;

/// `auth.whoami`
#[expect(clippy::unnecessary_wraps, reason = "every method of the table is called the same way")]
pub(crate) fn whoami(call: &Call, _: &NoParams) -> Result<wire::WhoAmI, RpcError> {
    Ok(who(call))
}

fn who(call: &Call) -> wire::WhoAmI {
    let principal = &call.cx.principal;
    wire::WhoAmI {
        principal: principal.name().to_owned(),
        scopes: principal.grants().texts(),
        agent_id: principal.agent().map(|agent| agent.to_string()),
        transport: call.cx.peer.transport().to_owned(),
        expires_at: principal.validity().expires_at().map(encode::stamp),
    }
}

/// `auth.login`
///
/// Decided on the spot, so that whatever the connection sends after it is the new principal's.
pub(crate) fn login(mut call: Call, params: wire::LoginParams) -> Barrier<wire::WhoAmI> {
    if !call.cx.connection.is_duplex() {
        return Barrier::Now(Err(RpcError::new(
            ErrorKind::InvalidRequest,
            "there is no connection to log in on",
        )
        .reason("no_connection")
        .hint("send the key or token with each request, as Authorization: Bearer")));
    }
    let auth = call.host.about.auth.clone();
    let (presented, peer) = (Secret::new(params.token.0), call.cx.peer.clone());
    match auth.recognise(&presented, peer.address()) {
        Err(busy) => Barrier::Now(Err(call.denied(None, busy))),
        Ok(Ok(principal)) => {
            call.cx.principal = peer.log_in(principal);
            Barrier::Now(Ok(who(&call)))
        }
        Ok(Err(failed)) => Barrier::Later(Box::pin(async move {
            let error = auth.refuse(failed, peer.address()).await;
            Err(call.denied(None, error))
        })),
    }
}

/// `auth.token.create`
pub(crate) async fn create_token(
    effect: Effect,
    params: wire::TokenCreateParams,
) -> (Effect, Result<wire::TokenCreated, RpcError>) {
    let made = make_token(&effect, params);
    (effect, made)
}

fn make_token(
    effect: &Effect,
    params: wire::TokenCreateParams,
) -> Result<wire::TokenCreated, RpcError> {
    let asked = (params.scopes.as_deref(), params.role.as_deref());
    let scopes = scopes(effect, &params.sub, asked)?;
    if !subject::is_valid(&params.sub) {
        return Err(ParamFault::at("sub", subject::EXPECTED).into());
    }
    within("ttl_secs", params.ttl_secs, TOKEN_AGE.as_secs())?;
    let auth = auth(effect);
    let until = auth.end_of_token(params.ttl_secs);
    let until = maker_end(effect).map_or(until, |end| end.min(until));
    let (token, claims) = auth.make_token(params.sub, scopes, (until, makers(effect)?))?;
    Ok(wire::TokenCreated {
        token: wire::SecretText(token.expose().to_owned()),
        token_id: claims.id.unwrap_or_default(),
        sub: claims.subject,
        scopes: claims.scopes,
        expires_at: encode::stamp(Timestamp::from_millis(claims.expires_at * 1000)),
    })
}

/// `auth.token.revoke`
pub(crate) async fn revoke_token(
    effect: Effect,
    params: wire::TokenRevokeParams,
) -> (Effect, Result<wire::TokenRevoked, RpcError>) {
    let (auth, descartes, by) = (auth(&effect), effect.descartes(), effect.by());
    let result = match (params.token, params.token_id) {
        (Some(token), None) => {
            let revoked = auth.revoke_token(descartes, &Secret::new(token.0), &by).await;
            revoked.map(|claims| wire::TokenRevoked {
                revoked: claims.is_some(),
                token_id: claims.and_then(|claims| claims.id),
            })
        }
        (None, Some(id)) if auth.is_credentials(&id) => {
            let expected = "the identifier of a token (`jti`): a token itself is `token`, and a key \
                            is revoked by `auth.key.revoke`";
            Err(ParamFault::at("token_id", expected).into())
        }
        (None, Some(id)) if (1..=128).contains(&id.len()) => {
            let revoked = auth.revoke_token_id(descartes, &id, &by).await;
            revoked.map(|()| wire::TokenRevoked { revoked: true, token_id: Some(id) })
        }
        (None, Some(_)) => Err(ParamFault::at("token_id", "1 to 128 bytes").into()),
        _ => Err(ParamFault::at("token", "exactly one of `token` and `token_id`").into()),
    };
    (effect, result)
}

/// `auth.key.create`
pub(crate) async fn create_key(
    effect: Effect,
    params: wire::KeyCreateParams,
) -> (Effect, Result<wire::KeyCreated, RpcError>) {
    let made = make_key(&effect, params).await;
    (effect, made)
}

async fn make_key(
    effect: &Effect,
    params: wire::KeyCreateParams,
) -> Result<wire::KeyCreated, RpcError> {
    let asked = (params.scopes.as_deref(), params.role.as_deref());
    let scopes = scopes(effect, &subject::of_key(&params.name), asked)?;
    if !subject::is_valid(&params.name) {
        return Err(ParamFault::at("name", subject::EXPECTED).into());
    }
    within("expires_in_secs", params.expires_in_secs, KEY_SECS)?;
    let asked = params.expires_in_secs.map(|secs| auth(effect).end_in(Duration::from_secs(secs)));
    let expires_at = [asked, maker_end(effect)].into_iter().flatten().min();
    let makers = makers(effect)?;
    let new = NewKey { name: params.name, scopes, expires_at, makers };
    let (record, key) = auth(effect).make_key(effect.descartes(), new, &effect.by()).await?;
    Ok(wire::KeyCreated {
        key_id: record.id.as_ref().to_owned(),
        key: wire::SecretText(key.expose().to_owned()),
        name: record.name,
        scopes: record.scopes,
        expires_at: record.expires_at.map(encode::stamp),
    })
}

/// `auth.key.list`
pub(crate) async fn list_keys(call: Call, _: NoParams) -> Result<wire::KeyList, RpcError> {
    let keys = call.host.about.auth.keys(call.descartes()).await?;
    let keys: Vec<_> = keys.into_iter().map(info).collect();
    Ok(wire::KeyList { count: u64::try_from(keys.len()).unwrap_or(u64::MAX), keys })
}

fn info(record: KeyRecord) -> wire::KeyInfo {
    wire::KeyInfo {
        key_id: record.id.as_ref().to_owned(),
        name: record.name,
        scopes: record.scopes,
        created_at: encode::stamp(record.created_at),
        created_by: record.created_by,
        expires_at: record.expires_at.map(encode::stamp),
    }
}

/// `auth.key.revoke`
pub(crate) async fn revoke_key(
    effect: Effect,
    params: wire::KeyRevokeParams,
) -> (Effect, Result<wire::KeyRevoked, RpcError>) {
    let revoked = auth(&effect).revoke_key(effect.descartes(), &params.key_id).await;
    let result = match revoked {
        Ok(true) => Ok(wire::KeyRevoked { key_id: params.key_id, revoked: true }),
        Ok(false) => Err(RpcError::new(ErrorKind::NotFound, "there is no such key")
            .with("what", "key")
            .hint("auth.key.list tells the key_id of each")),
        Err(error) => Err(error),
    };
    (effect, result)
}

fn auth(effect: &Effect) -> &Authenticator {
    &effect.call.host.about.auth
}

/// When the maker's own credentials end: nothing that it makes outlives them.
fn maker_end(effect: &Effect) -> Option<Timestamp> {
    effect.call.cx.principal.validity().expires_at()
}

/// Through which keys and tokens it is made: it ends with each of them.
fn makers(effect: &Effect) -> Result<Vec<String>, RpcError> {
    let makers = effect.call.cx.principal.lineage();
    if makers.len() <= MAKERS {
        return Ok(makers.to_vec());
    }
    Err(RpcError::exhausted("auth.makers", makers.len() as u64, MAKERS as u64)
        .hint("make it with a key or token that fewer others were needed for"))
}

fn scopes(
    effect: &Effect,
    subject: &str,
    (listed, role): (Option<&[String]>, Option<&str>),
) -> Result<Vec<String>, RpcError> {
    let grants = grant::granted((&effect.call.cx.principal, subject), listed, role)?;
    Ok(grants.texts())
}

fn within(name: &'static str, secs: Option<u64>, most: u64) -> Result<(), ParamFault> {
    if secs.is_none_or(|secs| (1..=most).contains(&secs)) {
        return Ok(());
    }
    Err(ParamFault::at(name, &format!("1 to {most} seconds")))
}
