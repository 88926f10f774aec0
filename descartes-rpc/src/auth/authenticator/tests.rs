use descartes_core::store::MemoryStore;
use descartes_core::testing::{FakeRunner, Fault, FaultyStore};
use descartes_core::time::Timestamp;

use super::*;
use crate::auth::Scope;
use crate::auth::key::NewKey;
use crate::auth::validity::Over;
use crate::limits::{FAILURES_WAITING, FREE_FAILURES};

const API_KEY: &str = "a key of twenty letters or more";

fn settings() -> AuthSettings {
    let secret = Secret::new("a secret of more than thirty-two bytes, for tests");
    AuthSettings {
        tokens: Some(TokenKey::new(secret, "descartes").unwrap()),
        api_key: Some(Secret::new(API_KEY)),
        clock: Clock::fake(Timestamp::from_millis(1_795_223_000_000)),
        ..AuthSettings::default()
    }
}

async fn descartes(store: &Arc<MemoryStore>) -> Descartes {
    let builder = Descartes::builder().store(Arc::clone(store) as _);
    builder.runner(Arc::new(FakeRunner::echo())).build().await.unwrap()
}

fn scopes() -> Vec<String> {
    vec!["agent:read".to_owned()]
}

async fn who(auth: &Authenticator, presented: &Secret) -> Option<Principal> {
    auth.authenticate(presented, None).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_made_key_is_its_principal_until_it_is_revoked_also_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let first = descartes(&store).await;
    let auth = Authenticator::new(settings());
    let new =
        NewKey { name: "ci".to_owned(), scopes: scopes(), expires_at: None, makers: Vec::new() };
    let (record, key) = auth.make_key(&first, new, "local").await.unwrap();

    let again = Authenticator::new(settings());
    assert!(who(&again, &key).await.is_none(), "nothing is read yet");
    again.load(&first).await.unwrap();
    let principal = who(&again, &key).await.unwrap();
    assert_eq!(principal.name(), "key:ci");
    assert!(principal.has_scope(Scope::AgentRead) && !principal.has_scope(Scope::Admin));
    let wrong = Secret::new(format!("{}0", &key.expose()[..key.expose().len() - 1]));
    assert!(who(&again, &wrong).await.is_none() || wrong == key);

    assert!(again.revoke_key(&first, &record.id).await.unwrap());
    assert_eq!(principal.validity().is_over(), Some(Over::Revoked));
    assert!(who(&again, &key).await.is_none());
    assert!(!again.revoke_key(&first, &record.id).await.unwrap());
    let third = Authenticator::new(settings());
    third.load(&first).await.unwrap();
    assert!(who(&third, &key).await.is_none());
    assert!(third.keys(&first).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_could_not_be_written_holds_and_can_be_made_again() {
    let (store, switch) = FaultyStore::new(MemoryStore::new());
    let builder = Descartes::builder().store(Arc::new(store));
    let descartes = builder.runner(Arc::new(FakeRunner::echo())).build().await.unwrap();
    let auth = Authenticator::new(settings());
    let new = |makers| NewKey { name: "ci".to_owned(), scopes: scopes(), expires_at: None, makers };
    let (maker, key) = auth.make_key(&descartes, new(Vec::new()), "local").await.unwrap();
    let makers = vec![key::maker(&maker.id)];
    let (_, made) = auth.make_key(&descartes, new(makers), "key:ci").await.unwrap();
    let in_use = who(&auth, &made).await.unwrap();

    switch.set(Fault::Full);
    auth.revoke_key(&descartes, &maker.id).await.unwrap_err();
    assert_eq!(in_use.validity().is_over(), Some(Over::Revoked));
    assert!(who(&auth, &key).await.is_none() && who(&auth, &made).await.is_none());
    assert_eq!(auth.keys(&descartes).await.unwrap().len(), 2, "the store has them still");

    switch.set(Fault::None);
    assert!(auth.revoke_key(&descartes, &maker.id).await.unwrap());
    assert!(auth.keys(&descartes).await.unwrap().is_empty());
    let again = Authenticator::new(settings());
    again.load(&descartes).await.unwrap();
    assert!(who(&again, &key).await.is_none() && who(&again, &made).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_its_subject_until_it_expires_or_is_revoked() {
    let store = Arc::new(MemoryStore::new());
    let descartes = descartes(&store).await;
    let auth = Authenticator::new(settings());
    let make = || {
        auth.make_token("ann".to_owned(), scopes(), (auth.end_of_token(Some(60)), Vec::new()))
            .unwrap()
    };
    let (token, _) = make();
    let principal = who(&auth, &token).await.unwrap();
    assert_eq!(principal.name(), "ann");
    assert_eq!(principal.validity().over().await, Over::Expired);
    assert!(who(&auth, &token).await.is_none());

    let ((one, _), (other, claims)) = (make(), make());
    let in_use = who(&auth, &one).await.unwrap();
    let was = auth.revoke_token(&descartes, &one, "local").await.unwrap();
    assert!(was.is_some());
    auth.revoke_token_id(&descartes, claims.id.as_deref().unwrap(), "local").await.unwrap();
    assert_eq!(in_use.validity().is_over(), Some(Over::Revoked));
    assert!(who(&auth, &one).await.is_none() && who(&auth, &other).await.is_none());
    let was = auth.revoke_token(&descartes, &Secret::new("x"), "local").await.unwrap();
    assert!(was.is_none());
    let again = Authenticator::new(AuthSettings { clock: auth.0.clock.clone(), ..settings() });
    assert!(who(&again, &one).await.is_some(), "the test would see nothing otherwise");
    again.load(&descartes).await.unwrap();
    assert!(who(&again, &one).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn every_refusal_says_the_same() {
    let store = Arc::new(MemoryStore::new());
    let descartes = descartes(&store).await;
    let auth = Authenticator::new(settings());
    let now = auth.end_of_token(Some(0));
    let new = NewKey {
        name: "old".to_owned(),
        scopes: scopes(),
        expires_at: Some(now),
        makers: Vec::new(),
    };
    let (_, expired_key) = auth.make_key(&descartes, new, "local").await.unwrap();
    let (expired_token, _) =
        auth.make_token("ann".to_owned(), scopes(), (now, Vec::new())).unwrap();
    let (revoked, _) =
        auth.make_token("ann".to_owned(), scopes(), (auth.end_of_token(None), Vec::new())).unwrap();
    assert!(auth.revoke_token(&descartes, &revoked, "local").await.unwrap().is_some());
    let made_up = format!("dsk_0011223344556677_{}", "0".repeat(64));
    let mut said = Vec::new();
    for presented in [
        expired_key,
        expired_token,
        revoked,
        Secret::new(""),
        Secret::new(made_up),
        Secret::new("x".repeat(1 << 20)),
        Secret::new(&API_KEY[1..]),
    ] {
        let error = auth.authenticate(&presented, Some("192.0.2.1:1")).await.unwrap_err();
        said.push(serde_json::to_string(&error.data()).unwrap() + error.message());
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    let owner = who(&auth, &Secret::new(API_KEY)).await.unwrap();
    assert!(owner.has_scope(Scope::Admin));
}

#[tokio::test(start_paused = true)]
async fn junk_from_an_address_does_not_keep_out_what_was_good_before() {
    const HERE: Option<&str> = Some("192.0.2.1:1");
    let descartes = descartes(&Arc::new(MemoryStore::new())).await;
    let new = |name: &str| NewKey {
        name: name.to_owned(),
        scopes: scopes(),
        expires_at: None,
        makers: Vec::new(),
    };
    let earlier = Authenticator::new(settings());
    let make = async |name| earlier.make_key(&descartes, new(name), "local").await.unwrap();
    let ((_, good), (gone, revoked), (_, unused)) =
        (make("good").await, make("gone").await, make("unused").await);
    let auth = Authenticator::new(settings());
    auth.load(&descartes).await.unwrap();
    let (_, made) = auth.make_key(&descartes, new("made"), "local").await.unwrap();
    for key in [&good, &revoked] {
        // From anywhere: it is the credentials that were good.
        auth.authenticate(key, Some("192.0.2.2:1")).await.unwrap();
    }
    assert!(auth.revoke_key(&descartes, &gone.id).await.unwrap());

    let junk = Secret::new("junk");
    let try_junk = || auth.authenticate(&junk, HERE);
    for _ in 0..FREE_FAILURES {
        try_junk().await.unwrap_err();
    }
    let mut waiting = futures_util::future::join_all((0..FAILURES_WAITING).map(|_| try_junk()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let kind =
        async |key: &Secret| auth.authenticate(key, HERE).await.map_err(|error| error.kind());
    assert_eq!(kind(&good).await.unwrap().name(), "key:good");
    assert_eq!(kind(&made).await.unwrap().name(), "key:made", "it never was anything but good");
    for key in [&unused, &revoked, &junk] {
        assert_eq!(kind(key).await, Err(ErrorKind::ResourceExhausted));
    }
    waiting.await;
    assert_eq!(kind(&unused).await.unwrap().name(), "key:unused");
    assert_eq!(kind(&revoked).await, Err(ErrorKind::Unauthenticated));
}

#[tokio::test(start_paused = true)]
async fn without_a_secret_there_are_no_tokens_and_the_default_knows_nobody() {
    let (token, _) = {
        let auth = Authenticator::new(settings());
        auth.make_token("ann".to_owned(), scopes(), (auth.end_of_token(None), Vec::new())).unwrap()
    };
    let auth = Authenticator::default();
    assert!(who(&auth, &token).await.is_none() && who(&auth, &Secret::new("")).await.is_none());
    let refused = auth
        .make_token("ann".to_owned(), scopes(), (auth.end_of_token(None), Vec::new()))
        .unwrap_err();
    assert_eq!(refused.reason_text(), Some("no_secret"));
}

#[tokio::test(start_paused = true)]
async fn what_a_replaced_secret_has_signed_ends_and_made_keys_stay() {
    let store = Arc::new(MemoryStore::new());
    let descartes = descartes(&store).await;
    let auth = Authenticator::new(settings());
    let new =
        NewKey { name: "ci".to_owned(), scopes: scopes(), expires_at: None, makers: Vec::new() };
    let (_, key) = auth.make_key(&descartes, new, "local").await.unwrap();
    let make = || {
        auth.make_token("ann".to_owned(), scopes(), (auth.end_of_token(Some(60)), Vec::new()))
            .unwrap()
    };
    let ((token, _), configured) = (make(), Secret::new(API_KEY));
    let signed = who(&auth, &token).await.unwrap();
    let (made, owner) = (who(&auth, &key).await.unwrap(), who(&auth, &configured).await.unwrap());

    let longer = AuthSettings { token_expiry: TOKEN_EXPIRY * 2, required: true, ..settings() };
    assert_eq!(auth.renew(longer), Renewed { tokens: false, api_key: false });
    assert!(!auth.is_required(), "that takes a restart");
    assert_eq!([&signed, &made, &owner].map(|who| who.validity().is_over()), [None; 3]);

    let secret = Secret::new("another secret of more than thirty-two bytes");
    let tokens = Some(TokenKey::new(secret, "descartes").unwrap());
    let renewed = auth.renew(AuthSettings { tokens, ..settings() });
    assert_eq!(renewed, Renewed { tokens: true, api_key: false });
    assert_eq!(signed.validity().is_over(), Some(Over::Revoked));
    assert!(who(&auth, &token).await.is_none());
    assert_eq!(who(&auth, &make().0).await.unwrap().name(), "ann");
    assert_eq!([&made, &owner].map(|who| who.validity().is_over()), [None; 2]);

    let renewed = auth.renew(AuthSettings { api_key: None, ..settings() });
    assert_eq!(renewed, Renewed { tokens: true, api_key: true });
    assert_eq!(owner.validity().is_over(), Some(Over::Revoked));
    assert!(who(&auth, &configured).await.is_none() && made.validity().is_over().is_none());
    auth.renew(settings());
    assert_eq!(who(&auth, &configured).await.unwrap().validity().is_over(), None);
}
