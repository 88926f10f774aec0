//! `token`, `key` and `whoami`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use descartes_rpc::client::Client;
use descartes_rpc::wire::auth::{
    KeyCreateParams, KeyInfo, KeyRevokeParams, SecretText, TokenCreateParams, TokenRevokeParams,
};
use descartes_rpc::wire::system::NoParams;

use super::failure::Failure;
use crate::exit::Code;
use crate::output::{Output, Table};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it; it is shown this once
    Create {
        /// Who its bearer is
        #[arg(long, value_name = "NAME")]
        sub: String,
        #[command(flatten)]
        rights: Rights,
        /// For how many seconds it is valid; the daemon's default when absent
        #[arg(long, value_name = "SECS")]
        ttl: Option<u64>,
    },
    /// Revoke a token, by its identifier or itself
    Revoke {
        /// Its identifier, or `-` to read the token from standard input
        #[arg(value_name = "ID")]
        which: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key and print it; it is shown this once
    Create {
        /// What it is for
        name: String,
        #[command(flatten)]
        rights: Rights,
        /// For how many seconds it is valid; until it is revoked when absent
        #[arg(long, value_name = "SECS")]
        expires_in: Option<u64>,
    },
    /// List the keys that were made and not revoked
    List,
    /// Revoke a key at once
    Revoke {
        /// Its identifier
        #[arg(value_name = "ID")]
        key: String,
    },
}

/// What a bearer may do.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Rights {
    /// A right, such as agent:read or chat:write:own; as often as there are rights
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with = "role")]
    scopes: Vec<String>,
    /// viewer, operator, approver or admin
    #[arg(long)]
    role: Option<String>,
}

impl Rights {
    fn listed(&mut self) -> Option<Vec<String>> {
        Some(std::mem::take(&mut self.scopes)).filter(|scopes| !scopes.is_empty())
    }
}

pub(super) async fn token(
    client: &Client,
    command: TokenCommand,
    output: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        TokenCommand::Create { sub, mut rights, ttl } => {
            let made = client
                .auth_token_create(TokenCreateParams {
                    sub,
                    scopes: rights.listed(),
                    role: rights.role,
                    ttl_secs: ttl,
                    idempotency_key: None,
                })
                .await?;
            output.result(&made, || made.token.0.clone())?;
        }
        TokenCommand::Revoke { which } => {
            let (token, token_id) = match which.as_str() {
                "-" => (Some(SecretText(read_line()?)), None),
                _ => (None, Some(which)),
            };
            let params = TokenRevokeParams { token, token_id, idempotency_key: None };
            let revoked = client.auth_token_revoke(params).await?;
            let said = if revoked.revoked { "revoked" } else { "not valid anyway" };
            output.result(&revoked, || said.to_owned())?;
        }
    }
    Ok(Code::Done.into())
}

/// A token in an argument would be seen by others.
fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|source| Failure::Local { what: "read the token".to_owned(), source })?;
    Ok(line.trim().to_owned())
}

pub(super) async fn key(
    client: &Client,
    command: KeyCommand,
    output: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        KeyCommand::Create { name, mut rights, expires_in } => {
            let made = client
                .auth_key_create(KeyCreateParams {
                    name,
                    scopes: rights.listed(),
                    role: rights.role,
                    expires_in_secs: expires_in,
                    idempotency_key: None,
                })
                .await?;
            output.result(&made, || made.key.0.clone())?;
        }
        KeyCommand::List => return list(client, output).await,
        KeyCommand::Revoke { key } => {
            let params = KeyRevokeParams { key_id: key, idempotency_key: None };
            let revoked = client.auth_key_revoke(params).await?;
            output.result(&revoked, || format!("{}  revoked", revoked.key_id))?;
        }
    }
    Ok(Code::Done.into())
}

async fn list(client: &Client, output: &Output) -> Result<ExitCode, Failure> {
    let found = client.auth_key_list(NoParams::default()).await?;
    if output.is_json() {
        found.keys.iter().try_for_each(|key| output.json(key))?;
        return Ok(Code::Done.into());
    }
    let mut table = Table::new(["KEY", "NAME", "BY", "EXPIRES", "SCOPES"]);
    for KeyInfo { key_id, name, created_by, expires_at, scopes, .. } in found.keys {
        let expires = expires_at.unwrap_or_else(|| "never".to_owned());
        table.row([key_id, name, created_by, expires, scopes.join(" ")]);
    }
    output.table(&table)?;
    Ok(Code::Done.into())
}

/// Who the daemon takes this command line for.
pub(super) async fn whoami(client: &Client, output: &Output) -> Result<ExitCode, Failure> {
    let who = client.auth_whoami(NoParams::default()).await?;
    output.result(&who, || format!("{}  {}", who.principal, who.scopes.join(" ")))?;
    Ok(Code::Done.into())
}
