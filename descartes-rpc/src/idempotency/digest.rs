//! What stands for the parameters of a call with a key.

use descartes_core::Descartes;
use descartes_core::store::{Batch, Expect, Key, Put, Space, StoreError};
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::error::RpcError;

/// The document that holds the secret of the digests.
const SECRET: &str = "idempotency_digest_secret";

/// The secret that digests are made with: parameters hold secrets, and a plain digest of a short
/// one can be guessed.
#[derive(Debug, Default)]
pub(crate) struct DigestKey(OnceCell<[u8; 32]>);

impl DigestKey {
    /// The digest of decoded parameters: member order and absent members make no difference.
    pub(crate) async fn of(
        &self,
        descartes: &Descartes,
        params: &impl Serialize,
    ) -> Result<String, RpcError> {
        let secret = self.0.get_or_try_init(|| secret(descartes)).await?;
        let text = serde_json::to_vec(params).map_err(|error| RpcError::internal(&error))?;
        Ok(blake3::keyed_hash(secret, &text).to_hex().to_string())
    }
}

/// The store's secret, made with the first key.
async fn secret(descartes: &Descartes) -> Result<[u8; 32], StoreError> {
    let key = Key::new(Space::META, SECRET);
    loop {
        if let Some(document) = descartes.journal().store().get(&key).await? {
            let secret = <[u8; 32]>::try_from(&document.body[..]).ok();
            let corrupt = || StoreError::Corrupt { what: "the secret of idempotency keys".into() };
            return secret.ok_or_else(corrupt);
        }
        let (left, right) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        let body = [left.into_bytes(), right.into_bytes()].concat();
        let mut put = Put::new(key.clone(), "system".into(), body.into());
        put.expect = Expect::Absent;
        match descartes.journal().commit(Batch::control().put(put)).await {
            // Somebody else made it: read theirs.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
