//! Credentials that are made and revoked here.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use descartes_core::{
    Descartes,
    store::{Batch, Expect, Put},
    time::Timestamp,
};

use super::{Authenticator, HeldKey};
use crate::{
    auth::{
        key::{self, KeyRecord, NewKey},
        revoked,
        secret::{Secret, random_hex},
        token::Claims,
        validity::Revocation,
    },
    error::{ErrorKind, RpcError},
    limits::{KEYS, REVOKED_TOKENS, TOKEN_AGE},
};

/// Bytes of the identifier of a token.
const TOKEN_ID_BYTES: usize = 16;

impl Authenticator {
    /// When something ends that lasts for so many seconds; those of the settings without them.
    pub(crate) fn end_of_token(&self, ttl_secs: Option<u64>) -> Timestamp {
        let usual = || self.settings().token_expiry;
        self.end_in(ttl_secs.map_or_else(usual, Duration::from_secs))
    }

    /// When something ends that lasts for `time`.
    pub(crate) fn end_in(&self, time: Duration) -> Timestamp {
        self.settings().clock.now().after(time)
    }

    /// Signs a token.
    pub(crate) fn make_token(
        &self,
        subject: String,
        scopes: Vec<String>,
        (until, makers): (Timestamp, Vec<String>),
    ) -> Result<(Secret, Claims), RpcError> {
        let settings = self.settings();
        let Some(tokens) = &settings.tokens else {
            return Err(RpcError::new(ErrorKind::Other, "this daemon signs no tokens")
                .reason("no_secret")
                .hint(
                    "set [auth] jwt_secret_file or enabled = true, or make a key (auth.key.create)",
                ));
        };
        let id = random_hex(TOKEN_ID_BYTES).map_err(|error| RpcError::internal(&error))?;
        let issued_at = settings.clock.now().as_millis() / 1000;
        let claims = Claims {
            subject,
            scopes,
            issued_at,
            begins_at: issued_at,
            expires_at: until.as_millis() / 1000,
            id: Some(id),
            makers,
        };
        let token = tokens.sign(&claims);
        self.0.proven.add(&token);
        Ok((token, claims))
    }

    /// Revokes the token itself, and says what it was; none when it is none of ours or has expired,
    /// so that there is nothing to revoke.
    pub(crate) async fn revoke_token(
        &self,
        descartes: &Descartes,
        token: &Secret,
        by: &str,
    ) -> Result<Option<Claims>, RpcError> {
        let now = self.0.clock.now();
        let read = self.settings().tokens.as_ref().map(|key| key.verify(token.expose(), now));
        let Some(Ok(claims)) = read else { return Ok(None) };
        let until = Timestamp::from_millis(claims.expires_at * 1000);
        self.remember(descartes, (revoked::name_of(&claims, token), until), by).await?;
        Ok(Some(claims))
    }

    /// Revokes the token of that identifier, which nobody needs to have.
    pub(crate) async fn revoke_token_id(
        &self,
        descartes: &Descartes,
        id: &str,
        by: &str,
    ) -> Result<(), RpcError> {
        let until = self.0.clock.now().after(TOKEN_AGE);
        self.remember(descartes, (revoked::name_of_id(id), until), by).await
    }

    /// In force first and written down then: on a store that cannot write it holds until a restart.
    async fn remember(
        &self,
        descartes: &Descartes,
        (name, until): (Arc<str>, Timestamp),
        by: &str,
    ) -> Result<(), RpcError> {
        self.load(descartes).await?;
        let over = {
            let mut revoked = self.revoked();
            let over = revoked.forget(self.0.clock.now());
            if revoked.is_full() && !revoked.contains(&name) {
                let most = REVOKED_TOKENS as u64;
                return Err(RpcError::exhausted("auth.revoked_tokens", most, most));
            }
            revoked.add(Arc::clone(&name), until);
            over
        };
        let put = Put::new(revoked::place(&name), by.into(), revoked::body(until));
        let batch = over
            .iter()
            .fold(Batch::control().put(put), |batch, name| batch.delete(revoked::place(name)));
        self.commit_without(descartes, batch, self.disown(&name)).await
    }

    /// Makes a key. Its text is in the answer and nowhere else.
    pub(crate) async fn make_key(
        &self,
        descartes: &Descartes,
        new: NewKey,
        by: &str,
    ) -> Result<(KeyRecord, Secret), RpcError> {
        self.load(descartes).await?;
        let count = self.0.keys.read().unwrap_or_else(PoisonError::into_inner).len();
        if count >= KEYS {
            return Err(RpcError::exhausted("auth.keys", count as u64, KEYS as u64)
                .hint("revoke keys that nobody needs"));
        }
        let made = KeyRecord::make(new, by, self.0.clock.now());
        let (record, key) = made.map_err(|error| RpcError::internal(&error))?;
        let place = KeyRecord::place(Arc::clone(&record.id));
        let mut put = Put::new(place, by.into(), record.write());
        put.expect = Expect::Absent;
        descartes.journal().commit(Batch::control().put(put)).await?;
        let held = HeldKey { record: record.clone(), revocation: Revocation::default() };
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(Arc::clone(&record.id), held);
        self.0.proven.add(&key);
        Ok((record, key))
    }

    /// All keys that the store has, oldest first: also one that was revoked where that could not be
    /// written down.
    pub(crate) async fn keys(&self, descartes: &Descartes) -> Result<Vec<KeyRecord>, RpcError> {
        self.load(descartes).await?;
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = keys.values().map(|held| held.record.clone()).collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(all)
    }

    /// Revokes a key with all that was made through it, and ends what that is in use for; false
    /// when there is none of that identifier.
    ///
    /// In force first and written down then. Where that fails the key stays in the list, to be
    /// revoked again: a restart would believe it.
    pub(crate) async fn revoke_key(
        &self,
        descartes: &Descartes,
        id: &str,
    ) -> Result<bool, RpcError> {
        self.load(descartes).await?;
        match self.keys_in_use().get(id) {
            Some(held) => held.revocation.make(),
            None => return Ok(false),
        }
        let mut ended = self.disown(&key::maker(id));
        ended.push(id.into());
        self.commit_without(descartes, Batch::control(), ended).await?;
        Ok(true)
    }

    /// Takes the keys out of use that were made through `maker`, which is over, and tells which.
    /// Tokens that were made through it know it by themselves.
    fn disown(&self, maker: &str) -> Vec<Arc<str>> {
        let keys = self.keys_in_use();
        let made = keys.values().filter(|held| held.record.makers.iter().any(|one| one == maker));
        let ended = made.map(|held| {
            held.revocation.make();
            Arc::clone(&held.record.id)
        });
        ended.collect()
    }

    /// Commits `batch` and that the keys `ended` are gone, which are held until then.
    async fn commit_without(
        &self,
        descartes: &Descartes,
        batch: Batch,
        ended: Vec<Arc<str>>,
    ) -> Result<(), RpcError> {
        let places = ended.iter().map(|id| KeyRecord::place(Arc::clone(id)));
        descartes.journal().commit(places.fold(batch, Batch::delete)).await?;
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        for id in &ended {
            keys.remove(id);
        }
        Ok(())
    }
}
