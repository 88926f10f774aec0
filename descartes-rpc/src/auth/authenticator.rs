//! Who has these credentials: configured keys, made keys and tokens, in one place.

mod issue;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use descartes_core::{
    Descartes,
    store::{Document, KeyRange, Space, StoreError},
    time::Clock,
};
use tokio::sync::OnceCell;

use super::{
    Principal,
    key::{self, KeyRecord},
    proven::Proven,
    revoked::{self, Revoked},
    secret::Secret,
    subject,
    throttle::Throttle,
    token::{Flaw, TokenKey},
    validity::{Revocation, Validity},
};
use crate::{
    error::{ErrorKind, RpcError},
    limits::{TOKEN_BYTES, TOKEN_EXPIRY},
    meter::{AuthFailure, Meter},
    peer::Peer,
};

/// Documents that are read at once.
const PAGE: usize = 500;

/// What an [`Authenticator`] goes by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthSettings {
    /// Whether everybody over TCP needs credentials, the same user too.
    pub required: bool,
    /// What tokens are signed and checked with; without it there are none.
    pub tokens: Option<TokenKey>,
    /// How long a token lasts that is made here unless somebody says.
    pub token_expiry: Duration,
    /// A key that may do everything.
    pub api_key: Option<Secret>,
    /// What tells when something has expired.
    pub clock: Clock,
    /// Where it is counted who was not believed.
    pub meter: Meter,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            required: false,
            tokens: None,
            token_expiry: TOKEN_EXPIRY,
            api_key: None,
            clock: Clock::system(),
            meter: Meter::default(),
        }
    }
}

/// What [`Authenticator::renew`] has replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewed {
    /// What tokens are signed and checked with.
    pub tokens: bool,
    /// The configured key.
    pub api_key: bool,
}

/// Tells who has which credentials, makes them and revokes them. Cheap to clone; clones are one.
///
/// An application gives it to its transports, which ask it, and to the service
/// ([`About::auth`](crate::router::About)), whose methods make keys and tokens with it. What is
/// kept in the store is known after [`load`](Self::load). The default knows nobody.
#[derive(Clone, Default)]
pub struct Authenticator(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether everybody over TCP needs credentials; that is not renewed.
    required: bool,
    clock: Clock,
    /// Held while somebody is looked up, so that nobody is let in by what was replaced meanwhile.
    settings: RwLock<AuthSettings>,
    /// Ends what the configured key is used for.
    api_key: Mutex<Revocation>,
    loaded: OnceCell<()>,
    keys: RwLock<Keys>,
    revoked: Mutex<Revoked>,
    throttle: Throttle,
    /// What is looked at also while its address is slowed.
    proven: Proven,
    /// Who is told of those whom transports turned away.
    told: OnceLock<Box<TurnedAway>>,
}

/// Hears who was turned away, and with what.
type TurnedAway = dyn Fn(&Peer, &RpcError) + Send + Sync;

/// Made keys by their identifiers.
type Keys = HashMap<Arc<str>, HeldKey>;

struct HeldKey {
    record: KeyRecord,
    /// Made as soon as it is revoked; the key is held until the store has forgotten it.
    revocation: Revocation,
}

/// Why nobody has these credentials: for the log, never for whoever sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    TooLong,
    NoSuchKey,
    WrongKey,
    ExpiredKey,
    RevokedKey,
    NoTokensHere,
    Token(Flaw),
    RevokedToken,
    RevokedMaker,
}

impl Unknown {
    const fn reason(self) -> AuthFailure {
        match self {
            Self::NoSuchKey | Self::WrongKey => AuthFailure::WrongKey,
            Self::ExpiredKey | Self::Token(Flaw::Expired) => AuthFailure::Expired,
            Self::RevokedKey | Self::RevokedToken | Self::RevokedMaker => AuthFailure::Revoked,
            Self::TooLong | Self::NoTokensHere | Self::Token(_) => AuthFailure::InvalidToken,
        }
    }
}

/// Credentials that did not fit; the answer has to wait.
#[derive(Debug)]
pub(crate) struct Failed(());

impl Authenticator {
    /// Goes by `settings`.
    #[must_use]
    pub fn new(settings: AuthSettings) -> Self {
        let (required, clock) = (settings.required, settings.clock.clone());
        let settings = RwLock::new(settings);
        Self(Arc::new(Inner { required, clock, settings, ..Inner::default() }))
    }

    /// Goes by `settings` from now on, but for `required` and `clock`, which stay. Where tokens are
    /// signed otherwise, those of before end with all that they are used for; a configured key that
    /// is another ends likewise. Made keys stay as they are.
    pub fn renew(&self, settings: AuthSettings) -> Renewed {
        let (required, clock) = (self.0.required, self.0.clock.clone());
        let mut present = self.0.settings.write().unwrap_or_else(PoisonError::into_inner);
        let renewed = Renewed {
            tokens: present.tokens != settings.tokens,
            api_key: present.api_key != settings.api_key,
        };
        let meter = present.meter.clone();
        *present = AuthSettings { required, clock, meter, ..settings };
        if renewed.tokens {
            self.revoked().end_all();
        }
        if renewed.api_key {
            let mut used = self.0.api_key.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *used).make();
        }
        renewed
    }

    fn settings(&self) -> RwLockReadGuard<'_, AuthSettings> {
        self.0.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everybody over TCP needs credentials.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.0.required
    }

    /// Reads the keys that were made and the tokens that were revoked; the first call does.
    ///
    /// # Errors
    ///
    /// When the store cannot be read; another call tries again.
    pub async fn load(&self, descartes: &Descartes) -> Result<(), StoreError> {
        self.0.loaded.get_or_try_init(|| self.read(descartes)).await.map(drop)
    }

    async fn read(&self, descartes: &Descartes) -> Result<(), StoreError> {
        let mut keys = HashMap::new();
        for document in documents(descartes, key::SPACE).await? {
            match KeyRecord::read(&document) {
                Ok(record) => {
                    let held = HeldKey { record, revocation: Revocation::default() };
                    keys.insert(Arc::clone(&held.record.id), held);
                }
                Err(error) => tracing::error!(%error, "a key cannot be used"),
            }
        }
        let now = self.0.clock.now();
        for document in documents(descartes, revoked::SPACE).await? {
            // What cannot be read stays revoked.
            let until =
                revoked::read(&document).unwrap_or_else(|| now.after(crate::limits::TOKEN_AGE));
            self.revoked().add(document.key.id, until);
        }
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Who has `presented`, which came from `address` (with its port).
    ///
    /// What fails is answered late, the later the more of that address has failed, and the answer
    /// never says why. Dropping the future lets the next one of that address wait as long. What was
    /// good before is looked at however much of that address has failed: behind a proxy, or on one
    /// machine, that is everybody's address.
    ///
    /// # Errors
    ///
    /// `unauthenticated`, or `resource_exhausted` where too many failures of that address wait.
    pub async fn authenticate(
        &self,
        presented: &Secret,
        address: Option<&str>,
    ) -> Result<Principal, RpcError> {
        match self.recognise(presented, address)? {
            Ok(principal) => Ok(principal),
            Err(failed) => Err(self.refuse(failed, address).await),
        }
    }

    /// Who has `presented`; a failure is neither counted nor slowed.
    #[cfg(test)]
    pub(crate) fn known(&self, presented: &Secret) -> Option<Principal> {
        self.look(presented).ok()
    }

    /// Notes for audit that a transport turned `peer` away with `error`, before it came to a call.
    /// Without a service that has methods, nobody hears it.
    pub fn turned_away(&self, peer: &Peer, error: &RpcError) {
        if let Some(told) = self.0.told.get() {
            told(peer, error);
        }
    }

    /// Lets `told` hear who is turned away. One service hears it: the first.
    pub(crate) fn tell(&self, told: impl Fn(&Peer, &RpcError) + Send + Sync + 'static) {
        self.0.told.get_or_init(|| Box::new(told));
    }

    /// What credentials of `address` are answered with that cannot be read, as late as others that
    /// do not fit.
    pub async fn refuse_unreadable(&self, address: Option<&str>) -> RpcError {
        match self.0.throttle.check(address) {
            Ok(()) => {
                self.settings().meter.auth_failed(AuthFailure::Malformed);
                self.refuse(Failed(()), address).await
            }
            Err(busy) => self.too_many(busy),
        }
    }

    /// The same as [`authenticate`](Self::authenticate) at once; a failure has still to be answered
    /// by [`refuse`](Self::refuse).
    pub(crate) fn recognise(
        &self,
        presented: &Secret,
        address: Option<&str>,
    ) -> Result<Result<Principal, Failed>, RpcError> {
        if let Err(busy) = self.0.throttle.check(address) {
            // What was never good is not looked at, and what is no longer good hears the same.
            let found = self.0.proven.has(presented).then(|| self.look(presented).ok()).flatten();
            return found.map(Ok).ok_or_else(|| self.too_many(busy));
        }
        let found = self.look(presented);
        if found.is_ok() {
            self.0.proven.add(presented);
        }
        Ok(found.map_err(|why| {
            self.settings().meter.auth_failed(why.reason());
            tracing::debug!(?why, from = address, "a login has failed");
            Failed(())
        }))
    }

    /// The answer to a failure, when it may be given.
    pub(crate) async fn refuse(&self, _: Failed, address: Option<&str>) -> RpcError {
        self.0.throttle.pay(address).await;
        Self::not_valid()
    }

    /// What all credentials are answered with that do not fit, whatever is wrong with them.
    #[must_use]
    pub fn not_valid() -> RpcError {
        RpcError::new(ErrorKind::Unauthenticated, "these credentials are not valid")
            .hint("use a key or token of this daemon that has neither expired nor been revoked")
    }

    /// Counts one that was not looked at.
    fn too_many(&self, busy: RpcError) -> RpcError {
        self.settings().meter.auth_failed(AuthFailure::Throttled);
        busy
    }

    /// Whether `text` is itself what somebody comes in with, or looks like a key of ours: it may be
    /// kept and shown nowhere.
    pub(crate) fn is_credentials(&self, text: &str) -> bool {
        key::id_of(text).is_some() || self.look(&Secret::new(text)).is_ok()
    }

    fn look(&self, presented: &Secret) -> Result<Principal, Unknown> {
        let (settings, text) = (self.settings(), presented.expose());
        if text.len() > TOKEN_BYTES {
            return Err(Unknown::TooLong);
        }
        if settings.api_key.as_ref().is_some_and(|key| key == presented) {
            let used = self.0.api_key.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let validity = Validity::default().revoked_by(used);
            return Ok(Principal::new("api_key", ["*"]).valid_for(validity));
        }
        if let Some(id) = key::id_of(text) {
            return self.key(id, presented);
        }
        let tokens = settings.tokens.as_ref().ok_or(Unknown::NoTokensHere)?;
        let claims = tokens.verify(text, settings.clock.now()).map_err(Unknown::Token)?;
        let name = revoked::name_of(&claims, presented);
        let keys = self.keys_in_use();
        let mut revoked = self.revoked();
        if revoked.contains(&name) {
            return Err(Unknown::RevokedToken);
        }
        let until = descartes_core::time::Timestamp::from_millis(claims.expires_at * 1000);
        let validity = Validity::until(until, settings.clock.clone())
            .revoked_by(revoked.use_of(Arc::clone(&name)));
        let validity = with_makers(validity, &claims.makers, &keys, &mut revoked)?;
        let scopes = claims.scopes.iter().map(String::as_str);
        let principal = Principal::new(&claims.subject, scopes).valid_for(validity);
        Ok(principal.known_by(lineage(claims.makers, &name)))
    }

    fn key(&self, id: &str, presented: &Secret) -> Result<Principal, Unknown> {
        let clock = &self.0.clock;
        let keys = self.keys_in_use();
        let HeldKey { record, revocation } = keys.get(id).ok_or(Unknown::NoSuchKey)?;
        if !record.is(presented) {
            return Err(Unknown::WrongKey);
        }
        if revocation.is_made() {
            return Err(Unknown::RevokedKey);
        }
        let validity = match record.expires_at {
            Some(at) if at <= clock.now() => return Err(Unknown::ExpiredKey),
            Some(at) => Validity::until(at, clock.clone()),
            None => Validity::default(),
        };
        let validity = validity.revoked_by(revocation.clone());
        let validity = with_makers(validity, &record.makers, &keys, &mut self.revoked())?;
        let (name, scopes) = (subject::of_key(&record.name), record.scopes.iter());
        let principal = Principal::new(&name, scopes.map(String::as_str)).valid_for(validity);
        Ok(principal.known_by(lineage(record.makers.clone(), &key::maker(id))))
    }

    /// Who needs revoked tokens too takes these first.
    fn keys_in_use(&self) -> RwLockReadGuard<'_, Keys> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn revoked(&self) -> MutexGuard<'_, Revoked> {
        self.0.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `validity`, but no longer than that of each of `makers`. A key that there is no more was
/// revoked.
fn with_makers(
    mut validity: Validity,
    makers: &[String],
    keys: &Keys,
    revoked: &mut Revoked,
) -> Result<Validity, Unknown> {
    for maker in makers {
        let revocation = match key::made_by(maker) {
            Some(id) => {
                let held = keys.get(id).filter(|held| !held.revocation.is_made());
                held.ok_or(Unknown::RevokedMaker)?.revocation.clone()
            }
            None if revoked.contains(maker) => return Err(Unknown::RevokedMaker),
            None => revoked.use_of_maker(maker.as_str().into()),
        };
        validity = validity.revoked_by(revocation);
    }
    Ok(validity)
}

/// `makers`, and behind them the one that they have made.
fn lineage(mut makers: Vec<String>, made: &str) -> Vec<String> {
    makers.push(made.to_owned());
    makers
}

/// All documents of `space`.
async fn documents(descartes: &Descartes, space: Space) -> Result<Vec<Document>, StoreError> {
    let mut range = KeyRange::new(space, "", PAGE);
    let mut all: Vec<Document> = Vec::new();
    loop {
        let page = descartes.journal().store().list(&range).await?;
        all.extend(page.documents);
        match all.last() {
            Some(last) if page.more => range.after = Some(Arc::clone(&last.key.id)),
            _ => return Ok(all),
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("settings", &*self.settings()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
