//! Credentials: who somebody is, and what is made so that others are known.

use std::fmt;

use super::{params, shape};

/// A key or a token in a message: written as a text, never printed.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

shape! {
    /// Who calls.
    pub struct WhoAmI {
        /// The name that records and events carry.
        principal: String,
        /// What it may do; `*` is everything.
        scopes: Vec<String>,
        /// The agent that it is a process of.
        agent_id?: String,
        /// The transport of this call.
        transport: String,
        /// When its credentials expire.
        expires_at?: String,
    }
}

params! {
    /// Parameters of `auth.login`.
    pub struct LoginParams {
        /// A key or a token.
        token: SecretText,
    }
}

params! {
    /// Parameters of `auth.token.create`.
    mutating pub struct TokenCreateParams {
        /// Who its bearer is.
        sub: String,
        /// What its bearer may do; `role` may stand for it.
        scopes?: Vec<String>,
        /// `viewer`, `operator`, `approver` or `admin`.
        role?: String,
        /// For how long it is valid; the daemon's default when absent.
        ttl_secs?: u64,
    }
}

shape! {
    /// A token that was made.
    pub struct TokenCreated {
        /// The token. It is shown here and never again.
        token: SecretText,
        /// Its identifier (`jti`), by which it can be revoked.
        token_id: String,
        /// Who its bearer is.
        sub: String,
        /// What its bearer may do.
        scopes: Vec<String>,
        /// When it expires.
        expires_at: String,
    }
}

params! {
    /// Parameters of `auth.token.revoke`: exactly one of the two.
    mutating pub struct TokenRevokeParams {
        /// The token itself.
        token?: SecretText,
        /// Its identifier (`jti`).
        token_id?: String,
    }
}

shape! {
    /// What came of revoking a token.
    pub struct TokenRevoked {
        /// Whether there was something to revoke: false for a token that is not valid anyway.
        revoked: bool,
        /// The identifier (`jti`) of what was revoked, if it has one.
        token_id?: String,
    }
}

params! {
    /// Parameters of `auth.key.create`.
    mutating pub struct KeyCreateParams {
        /// What it is for; its bearer is `key:` and this name.
        name: String,
        /// What its bearer may do; `role` may stand for it.
        scopes?: Vec<String>,
        /// `viewer`, `operator`, `approver` or `admin`.
        role?: String,
        /// For how long it is valid; until it is revoked when absent.
        expires_in_secs?: u64,
    }
}

shape! {
    /// A key that was made.
    pub struct KeyCreated {
        /// By which it is listed and revoked.
        key_id: String,
        /// The key. It is shown here and never again.
        key: SecretText,
        /// What it is for.
        name: String,
        /// What its bearer may do.
        scopes: Vec<String>,
        /// When it expires.
        expires_at?: String,
    }
}

shape! {
    /// A key, without the key.
    pub struct KeyInfo {
        /// By which it is revoked.
        key_id: String,
        /// What it is for.
        name: String,
        /// What its bearer may do.
        scopes: Vec<String>,
        /// When it was made.
        created_at: String,
        /// Who made it.
        created_by: String,
        /// When it expires.
        expires_at?: String,
    }
}

shape! {
    /// All keys that were made and not revoked, oldest first.
    pub struct KeyList {
        /// The keys.
        keys: Vec<KeyInfo>,
        /// How many.
        count: u64,
    }
}

params! {
    /// Parameters of `auth.key.revoke`.
    mutating pub struct KeyRevokeParams {
        /// Which key.
        key_id: String,
    }
}

shape! {
    /// A key that was revoked.
    pub struct KeyRevoked {
        /// Which key.
        key_id: String,
        /// True: who uses it is cut off by now.
        revoked: bool,
    }
}
