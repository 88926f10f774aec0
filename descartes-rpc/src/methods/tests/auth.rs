//! Logging in, and what is made so that others can.

use std::future::pending;

use bytes::Bytes;
use descartes_core::Descartes;
use descartes_core::time::{Clock, Timestamp};
use futures_util::{SinkExt, StreamExt};

use super::{ErrorKind, Value, descartes, json, params, refused};
use crate::auth::{AuthSettings, Authenticator, Principal, Secret, TokenKey};
use crate::client::Client;
use crate::connection::{ConnectionLimits, answer, serve_connection};
use crate::limits::LOGIN_DEADLINE;
use crate::memory::{self, MemoryIo};
use crate::peer::Peer;
use crate::router::About;
use crate::service::Rpc;
use crate::wire::auth::{KeyCreated, TokenCreated};
use crate::wire::system::NoParams;

async fn rpc() -> Rpc {
    over(descartes().await).0
}

/// A service, and what knows its credentials.
fn over(descartes: Descartes) -> (Rpc, Authenticator) {
    let secret = Secret::new("a secret of more than thirty-two bytes, for tests");
    let auth = Authenticator::new(AuthSettings {
        tokens: Some(TokenKey::new(secret, "descartes").unwrap()),
        clock: Clock::fake(Timestamp::from_millis(1_795_223_000_000)),
        ..AuthSettings::default()
    });
    let about = About { auth: auth.clone(), ..About::default() };
    (Rpc::described(descartes, about).build(), auth)
}

/// A connection on which nobody is known.
struct Stranger(MemoryIo);

impl Stranger {
    fn connect(rpc: &Rpc) -> Self {
        let (ours, theirs) = memory::pair();
        let limits =
            ConnectionLimits { login: Some(LOGIN_DEADLINE), ..ConnectionLimits::default() };
        let peer = Peer::new("test");
        tokio::spawn(serve_connection(rpc.clone(), peer, theirs, limits, pending()));
        Self(ours)
    }

    async fn send(&mut self, id: u32, method: &str, params: Value) {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.0.send(Bytes::from(call.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Option<Value> {
        let message = self.0.next().await?.unwrap();
        Some(serde_json::from_slice(&message).unwrap())
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(1, method, params).await;
        self.next().await.unwrap()
    }
}

async fn key(owner: &Client, scopes: &[&str]) -> KeyCreated {
    let asked = json!({"name": "ci", "scopes": scopes});
    owner.auth_key_create(params(asked)).await.unwrap()
}

async fn token(owner: &Client, ttl_secs: u64) -> TokenCreated {
    let asked = json!({"sub": "ann", "role": "viewer", "ttl_secs": ttl_secs});
    owner.auth_token_create(params(asked)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn nobody_may_do_anything_but_log_in_and_what_follows_is_the_new_principals() {
    let rpc = rpc().await;
    let key = key(&Client::in_memory(rpc.clone()), &["agent:read"]).await;
    let mut stranger = Stranger::connect(&rpc);
    for method in ["auth.whoami", "system.health", "agent.list", "no.method", "rpc.discover"] {
        let refused = stranger.call(method, json!({})).await;
        assert_eq!(refused["error"]["data"]["kind"], "unauthenticated", "{method}");
    }
    let wrong = stranger.call("auth.login", json!({"token": "x"})).await;
    assert_eq!(wrong["error"]["message"], "these credentials are not valid");

    // All sent before the first answer is read.
    stranger.send(1, "auth.whoami", json!({})).await;
    stranger.send(2, "auth.login", json!({"token": key.key.0})).await;
    stranger.send(3, "auth.whoami", json!({})).await;
    stranger.send(4, "agent.list", json!({})).await;
    stranger.send(5, "system.shutdown", json!({})).await;
    let mut said = Vec::new();
    for _ in 0..5 {
        said.push(stranger.next().await.unwrap());
    }
    said.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(said[0]["error"]["code"], -32001);
    for who in &said[1..3] {
        assert_eq!(who["result"]["principal"], "key:ci");
        assert_eq!(who["result"]["scopes"], json!(["agent:read"]));
        assert_eq!(who["result"]["transport"], "test");
    }
    assert_eq!(said[3]["result"]["count"], 0);
    assert_eq!(said[4]["error"]["data"]["required"], "admin");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_log_in_in_time_is_shown_out_and_who_does_may_stay() {
    let rpc = rpc().await;
    let key = key(&Client::in_memory(rpc.clone()), &["*"]).await;
    let (mut silent, mut known) = (Stranger::connect(&rpc), Stranger::connect(&rpc));
    known.call("auth.login", json!({"token": key.key.0})).await;
    let begin = tokio::time::Instant::now();
    assert_eq!(silent.next().await, None);
    assert!(begin.elapsed() >= LOGIN_DEADLINE - std::time::Duration::from_secs(1));
    tokio::time::sleep(2 * LOGIN_DEADLINE).await;
    assert_eq!(known.call("auth.whoami", json!({})).await["result"]["principal"], "key:ci");
}

#[tokio::test(start_paused = true)]
async fn a_connection_and_its_streams_end_with_the_credentials() {
    let rpc = rpc().await;
    let owner = Client::in_memory(rpc.clone());
    let (token, key) = (token(&owner, 60).await, key(&owner, &["*"]).await);
    for (credentials, reason) in [(&token.token, "token_expired"), (&key.key, "forbidden")] {
        let mut stranger = Stranger::connect(&rpc);
        let login = stranger.call("auth.login", json!({"token": credentials.0})).await;
        assert_eq!(login["result"]["expires_at"].is_string(), reason == "token_expired");
        stranger.call("event.subscribe", json!({"topics": ["system"], "after": "now"})).await;
        assert_eq!(stranger.next().await.unwrap()["method"], "event.synced");
        if reason == "forbidden" {
            let revoked = json!({"key_id": key.key_id});
            assert!(owner.auth_key_revoke(params(revoked)).await.unwrap().revoked);
        }
        let ended = stranger.next().await.unwrap();
        assert_eq!(
            (&ended["method"], &ended["params"]["reason"]),
            (&json!("event.ended"), &json!(reason))
        );
        assert_eq!(stranger.next().await, None, "{reason}");
        let mut again = Stranger::connect(&rpc);
        let refused = again.call("auth.login", json!({"token": credentials.0})).await;
        assert_eq!(refused["error"]["code"], -32001, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_ends_with_the_credentials_that_it_came_with() {
    let (rpc, auth) = over(descartes().await);
    let owner = Client::in_memory(rpc.clone());
    let (key, token) = (key(&owner, &["agent:read"]).await, token(&owner, 5).await);
    for (credentials, reason) in [(&token.token, "expired"), (&key.key, "revoked")] {
        let principal = auth.known(&Secret::new(&*credentials.0)).unwrap();
        let peer = Peer::new("test").with_principal(principal);
        let wait = json!({"jsonrpc": "2.0", "id": 1, "method": "event.read",
            "params": {"topics": ["agent/"], "after": "now", "wait_ms": 30_000}});
        let begin = tokio::time::Instant::now();
        let waiting = tokio::spawn(answer(rpc.clone(), peer, wait.to_string().into()));
        if reason == "revoked" {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let asked = json!({"key_id": key.key_id});
            owner.auth_key_revoke(params(asked)).await.unwrap();
        }
        let said = waiting.await.unwrap().body.unwrap();
        let said: Value = serde_json::from_slice(&said).unwrap();
        let error = &said["error"]["data"];
        assert_eq!((&error["kind"], &error["reason"]), (&json!("unauthenticated"), &json!(reason)));
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_its_own_has_no_connection_to_log_in_on() {
    let rpc = rpc().await;
    let key = key(&Client::in_memory(rpc.clone()), &["*"]).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "auth.login", "params": [key.key.0]});
    let message = Bytes::from(call.to_string());
    let said = answer(rpc.clone(), Peer::owner("test"), message.clone()).await.body.unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said["error"]["data"]["reason"], "no_connection");
    let said = answer(rpc, Peer::new("test"), message).await.body.unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said["error"]["data"]["kind"], "unauthenticated");
}

#[tokio::test(start_paused = true)]
async fn keys_are_listed_without_themselves_and_found_by_their_identifier() {
    let rpc = rpc().await;
    let owner = Client::in_memory(rpc.clone());
    let made = key(&owner, &["agent:read:own", "metrics"]).await;
    let listed = owner.auth_key_list(NoParams::default()).await.unwrap();
    assert_eq!(listed.count, 1);
    let shown = serde_json::to_string(&listed).unwrap();
    let secret = made.key.0.rsplit_once('_').unwrap().1;
    assert!(!shown.contains(secret) && !format!("{made:?}").contains(secret));
    let info = &listed.keys[0];
    assert_eq!((&info.key_id, info.name.as_str()), (&made.key_id, "ci"));
    assert_eq!((info.created_by.as_str(), info.scopes.len()), ("local", 2));
    let unknown = refused(owner.auth_key_revoke(params(json!({"key_id": "x"}))).await);
    assert_eq!(
        (unknown.kind(), unknown.detail("what").unwrap()),
        (ErrorKind::NotFound, &json!("key"))
    );
}

#[tokio::test(start_paused = true)]
async fn who_may_not_administer_makes_nothing_and_an_admin_gives_only_what_it_has() {
    let rpc = rpc().await;
    let viewer = Client::in_memory_as(rpc.clone(), Principal::new("ann", ["agent:read"]));
    let asked = json!({"name": "mine", "scopes": ["agent:read"]});
    assert_eq!(refused(viewer.auth_key_create(params(asked)).await).kind(), ErrorKind::Forbidden);
    let asked = json!({"sub": "ann", "scopes": ["agent:read"]});
    assert_eq!(refused(viewer.auth_token_create(params(asked)).await).kind(), ErrorKind::Forbidden);
    let admin = Client::in_memory_as(rpc, Principal::new("bob", ["admin", "agent:read"]));
    let asked = json!({"sub": "ann", "scopes": ["agent:read", "approve"]});
    let refusal = refused(admin.auth_token_create(params(asked)).await);
    assert_eq!(refusal.detail("required").unwrap(), "approve");
    for (asked, path) in [
        (json!({"sub": "local", "scopes": ["admin"]}), "sub"),
        (json!({"sub": "agent:1", "scopes": ["admin"]}), "sub"),
        (json!({"sub": "ann", "scopes": ["admin"], "role": "viewer"}), "scopes"),
        (json!({"sub": "ann", "role": "king"}), "role"),
        (json!({"sub": "ann", "scopes": ["admin"], "ttl_secs": 0}), "ttl_secs"),
        (json!({"sub": "ann", "scopes": ["admin"], "ttl_secs": u64::MAX}), "ttl_secs"),
    ] {
        let refusal = refused(admin.auth_token_create(params(asked)).await);
        assert_eq!(refusal.detail("path").unwrap(), path);
    }
}

/// The end of a token and of a key that `maker` makes, who asks for so long.
async fn ends(maker: &mut Stranger, secs: Option<u64>) -> [Option<String>; 2] {
    let mut token = json!({"sub": "ann", "scopes": ["agent:read"]});
    let mut key = json!({"name": "ci", "scopes": ["agent:read"]});
    if let Some(secs) = secs {
        (token["ttl_secs"], key["expires_in_secs"]) = (json!(secs), json!(secs));
    }
    let mut made = Vec::new();
    for (method, params) in [("auth.token.create", token), ("auth.key.create", key)] {
        let answer = maker.call(method, params).await;
        assert!(answer["result"].is_object(), "{answer}");
        made.push(answer["result"]["expires_at"].as_str().map(str::to_owned));
    }
    made.try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_made_outlives_the_credentials_that_made_it() {
    let rpc = rpc().await;
    let owner = Client::in_memory(rpc.clone());
    let asked = json!({"sub": "ann", "scopes": ["*"], "ttl_secs": 600});
    let token = owner.auth_token_create(params(asked)).await.unwrap();
    let asked = json!({"name": "ci", "scopes": ["*"], "expires_in_secs": 600});
    let key = owner.auth_key_create(params(asked)).await.unwrap();
    let makers = [(token.token.0, Some(token.expires_at)), (key.key.0, key.expires_at)];
    for (credentials, end) in makers {
        let mut maker = Stranger::connect(&rpc);
        maker.call("auth.login", json!({"token": credentials})).await;
        for longer in [None, Some(601), Some(86_400)] {
            for made in ends(&mut maker, longer).await {
                assert!(made.is_some() && made <= end, "{made:?} {end:?}");
            }
        }
        for made in ends(&mut maker, Some(60)).await {
            assert!(made < end, "{made:?} {end:?}");
        }
    }
    // The owner's own end never comes.
    let asked = json!({"name": "for-ever", "role": "viewer"});
    assert_eq!(owner.auth_key_create(params(asked)).await.unwrap().expires_at, None);
}

#[tokio::test(start_paused = true)]
async fn who_has_only_its_own_things_gives_them_to_no_other_name() {
    let rpc = rpc().await;
    let admin = Client::in_memory_as(rpc, Principal::new("bob", ["admin", "agent:read:own"]));
    let own = ["agent:read:own"];
    for sub in ["ann", "key:bob"] {
        let asked = json!({"sub": sub, "scopes": own});
        let refusal = refused(admin.auth_token_create(params(asked)).await);
        assert_eq!(refusal.kind(), ErrorKind::Forbidden, "{sub}");
    }
    let refusal =
        refused(admin.auth_key_create(params(json!({"name": "bob", "scopes": own}))).await);
    assert_eq!(refusal.kind(), ErrorKind::Forbidden);
    admin.auth_token_create(params(json!({"sub": "bob", "scopes": own}))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_result_with_a_secret_is_not_kept_for_a_call_that_is_repeated() {
    let rpc = rpc().await;
    let owner = Client::in_memory(rpc);
    let asked = json!({"name": "ci", "role": "viewer", "idempotency_key": "once"});
    let made = owner.auth_key_create(params(asked.clone())).await.unwrap();
    let again = refused(owner.auth_key_create(params(asked)).await);
    assert_eq!(again.reason_text(), Some("secret_not_kept"));
    assert!(!again.is_retryable());
    let keys = owner.auth_key_list(NoParams::default()).await.unwrap();
    assert_eq!(keys.count, 1);
    assert_eq!(keys.keys[0].key_id, made.key_id);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_over_whether_it_is_told_whole_or_by_its_identifier() {
    let rpc = rpc().await;
    let owner = Client::in_memory(rpc.clone());
    for whole in [true, false] {
        let made = token(&owner, 3600).await;
        let mut bearer = Stranger::connect(&rpc);
        bearer.call("auth.login", json!({"token": made.token.0})).await;
        let asked =
            if whole { json!({"token": made.token.0}) } else { json!({"token_id": made.token_id}) };
        let said = owner.auth_token_revoke(params(asked)).await.unwrap();
        assert_eq!((said.revoked, said.token_id), (true, Some(made.token_id)));
        assert_eq!(bearer.next().await, None);
    }
    let neither = refused(owner.auth_token_revoke(params(json!({}))).await);
    assert_eq!(neither.kind(), ErrorKind::InvalidParams);
    let key = key(&owner, &["agent:read"]).await;
    let mistaken = refused(owner.auth_token_revoke(params(json!({"token_id": key.key.0}))).await);
    assert_eq!(mistaken.detail("path"), Some(&json!("token_id")), "{mistaken:?}");
    assert!(!format!("{mistaken:?}").contains(&key.key.0), "{mistaken:?}");
    let nothing = owner.auth_token_revoke(params(json!({"token": "x"}))).await.unwrap();
    assert_eq!((nothing.revoked, nothing.token_id), (false, None));
}

/// What somebody makes who has these credentials: a key and a token.
async fn made_with(rpc: &Rpc, credentials: &str) -> Result<(KeyCreated, TokenCreated), Value> {
    let mut maker = Stranger::connect(rpc);
    maker.call("auth.login", json!({"token": credentials})).await;
    let key = maker.call("auth.key.create", json!({"name": "made", "scopes": ["*"]})).await;
    let token = maker.call("auth.token.create", json!({"sub": "made", "scopes": ["*"]})).await;
    if !key["result"].is_object() {
        return Err(key["error"].clone());
    }
    let read = |made: &Value| made["result"].clone();
    Ok((serde_json::from_value(read(&key)).unwrap(), serde_json::from_value(read(&token)).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn what_was_made_through_a_revoked_maker_ends_with_it_at_any_depth_and_after_a_restart() {
    let descartes = descartes().await;
    let (rpc, auth) = over(descartes.clone());
    let owner = Client::in_memory(rpc.clone());
    for by_token in [false, true] {
        let first = made_with(&rpc, &key(&owner, &["*"]).await.key.0).await.unwrap();
        let spared = made_with(&rpc, &first.0.key.0).await.unwrap();
        let maker = if by_token { &first.1.token.0 } else { &first.0.key.0 };
        let second = made_with(&rpc, maker).await.unwrap();
        let third = made_with(&rpc, &second.0.key.0).await.unwrap();
        let fourth = made_with(&rpc, &second.1.token.0).await.unwrap();
        let ended = [&second, &third, &fourth].map(|made| [&made.0.key.0, &made.1.token.0]);
        let ended: Vec<&String> = ended.into_iter().flatten().collect();
        let opened: Vec<_> =
            ended.iter().map(|text| auth.known(&Secret::new(text.as_str())).unwrap()).collect();
        if by_token {
            let asked = json!({"token_id": first.1.token_id});
            owner.auth_token_revoke(params(asked)).await.unwrap();
        } else {
            owner.auth_key_revoke(params(json!({"key_id": first.0.key_id}))).await.unwrap();
        }
        for principal in &opened {
            assert_eq!(principal.validity().is_over(), Some(crate::auth::Over::Revoked));
        }
        let (_, restarted) = over(descartes.clone());
        restarted.load(&descartes).await.unwrap();
        for auth in [&auth, &restarted] {
            assert!(ended.iter().all(|text| auth.known(&Secret::new(text.as_str())).is_none()));
            for text in [&spared.0.key.0, &spared.1.token.0] {
                assert_eq!(auth.known(&Secret::new(text.as_str())).is_some(), by_token);
            }
        }
        let listed = owner.auth_key_list(NoParams::default()).await.unwrap().keys;
        let ids = [&second.0, &third.0, &fourth.0].map(|key| &key.key_id);
        assert!(listed.iter().all(|key| !ids.contains(&&key.key_id)), "{listed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn through_how_many_makers_something_is_made_has_a_bound() {
    let rpc = rpc().await;
    let owner = Client::in_memory(rpc.clone());
    let mut last = key(&owner, &["*"]).await.key.0;
    for depth in 1.. {
        match made_with(&rpc, &last).await {
            Ok(made) => last = made.1.token.0,
            Err(error) => {
                assert_eq!(error["data"]["kind"], "resource_exhausted", "{error}");
                assert_eq!(depth, crate::limits::MAKERS + 1);
                break;
            }
        }
        assert!(last.len() <= 510, "a password of ZeroMQ: {}", last.len());
    }
}
