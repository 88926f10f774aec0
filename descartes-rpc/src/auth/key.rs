//! Keys that are made here: `dsk_<id>_<256 bits>`, of which only a digest is kept.

use std::{io, sync::Arc};

use bytes::Bytes;
use descartes_core::{
    store::{Document, Key, Space, StoreError},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::secret::{Secret, random_hex};

/// Where keys are kept, by their identifiers.
pub(super) const SPACE: Space = Space("key");
const PREFIX: &str = "dsk";
/// How makers begin that are keys.
const MAKER: &str = "key:";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// A key as it is kept: everything but the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    /// By which it is listed and revoked; part of the key.
    pub(crate) id: Arc<str>,
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<Timestamp>,
    /// The keys and tokens that it was made through, the first maker first.
    pub(crate) makers: Vec<String>,
    digest: blake3::Hash,
}

/// The same in the store.
#[derive(Serialize, Deserialize)]
struct KeyDisk {
    name: String,
    scopes: Vec<String>,
    digest: String,
    created_at: i64,
    created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    made_with: Vec<String>,
}

/// What a new key is to be.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) makers: Vec<String>,
}

impl KeyRecord {
    /// Makes a key; its text is nowhere else.
    pub(super) fn make(new: NewKey, by: &str, now: Timestamp) -> io::Result<(Self, Secret)> {
        let id = random_hex(ID_BYTES)?;
        let key = Secret::new(format!("{PREFIX}_{id}_{}", random_hex(SECRET_BYTES)?));
        let record = Self {
            id: id.into(),
            name: new.name,
            scopes: new.scopes,
            created_at: now,
            created_by: by.to_owned(),
            expires_at: new.expires_at,
            makers: new.makers,
            digest: key.digest(),
        };
        Ok((record, key))
    }

    /// Whether `presented` is this key; takes as long whatever it is.
    pub(super) fn is(&self, presented: &Secret) -> bool {
        self.digest == presented.digest()
    }

    /// Where it is kept.
    pub(super) fn place(id: impl Into<Arc<str>>) -> Key {
        Key::new(SPACE, id)
    }

    pub(super) fn write(&self) -> Bytes {
        let disk = KeyDisk {
            name: self.name.clone(),
            scopes: self.scopes.clone(),
            digest: self.digest.to_hex().to_string(),
            created_at: self.created_at.as_millis(),
            created_by: self.created_by.clone(),
            expires_at: self.expires_at.map(Timestamp::as_millis),
            made_with: self.makers.clone(),
        };
        serde_json::to_vec(&disk).expect("texts and numbers can always be written").into()
    }

    pub(super) fn read(document: &Document) -> Result<Self, StoreError> {
        let corrupt =
            || StoreError::Corrupt { what: format!("the key {}", document.key.id).into() };
        let disk: KeyDisk = serde_json::from_slice(&document.body).map_err(|_error| corrupt())?;
        Ok(Self {
            id: Arc::clone(&document.key.id),
            name: disk.name,
            scopes: disk.scopes,
            created_at: Timestamp::from_millis(disk.created_at),
            created_by: disk.created_by,
            expires_at: disk.expires_at.map(Timestamp::from_millis),
            makers: disk.made_with,
            digest: blake3::Hash::from_hex(&disk.digest).map_err(|_error| corrupt())?,
        })
    }
}

/// How a key is named in what was made with it.
pub(super) fn maker(id: &str) -> String {
    format!("{MAKER}{id}")
}

/// The identifier of the key that a maker is; none for a token.
pub(super) fn made_by(maker: &str) -> Option<&str> {
    maker.strip_prefix(MAKER)
}

/// The identifier that a text is, or that of the key that it looks like.
pub(crate) fn id_in(text: &str) -> Option<&str> {
    if is_id(text) { Some(text) } else { id_of(text) }
}

/// The identifier in a text that looks like a key of ours.
pub(super) fn id_of(presented: &str) -> Option<&str> {
    let mut parts = presented.split('_');
    let (prefix, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let is_ours =
        prefix == PREFIX && is_id(id) && secret.len() == 2 * SECRET_BYTES && parts.next().is_none();
    is_ours.then_some(id)
}

fn is_id(text: &str) -> bool {
    text.len() == 2 * ID_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewKey {
        let scopes = vec!["agent:read".to_owned()];
        let expires_at = Some(Timestamp::from_millis(9));
        NewKey { name: "ci".to_owned(), scopes, expires_at, makers: Vec::new() }
    }

    #[test]
    fn a_key_has_the_published_form_and_only_its_digest_is_kept() {
        let (record, key) = KeyRecord::make(new(), "ann", Timestamp::from_millis(7)).unwrap();
        assert_eq!(id_of(key.expose()), Some(&*record.id));
        let secret = key.expose().rsplit_once('_').unwrap().1;
        assert_eq!(secret.len() * 4, 256);
        let kept = String::from_utf8(record.write().to_vec()).unwrap();
        assert!(!kept.contains(secret) && !format!("{record:?}").contains(secret), "{kept}");
        assert!(record.is(&key));
        let (other, another) = KeyRecord::make(new(), "ann", Timestamp::default()).unwrap();
        assert!(!record.is(&another) && !other.is(&key));
    }

    #[test]
    fn what_is_kept_reads_back_and_keeps_its_shape() {
        let digest = Secret::new("x").digest();
        let text = format!(
            r#"{{"name":"ci","scopes":["agent:read"],"digest":"{digest}","created_at":7,"created_by":"ann","expires_at":9}}"#
        );
        let document = |body: &str| Document {
            key: KeyRecord::place("0011223344556677"),
            owner: "ann".into(),
            version: 1,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let read = KeyRecord::read(&document(&text)).unwrap();
        assert!(read.is(&Secret::new("x")));
        assert_eq!(read.write(), text);
        let made = text.replace('}', r#","made_with":["key:8899aabbccddeeff","id:7"]}"#);
        let read = KeyRecord::read(&document(&made)).unwrap();
        assert_eq!(read.makers, ["key:8899aabbccddeeff", "id:7"]);
        assert_eq!(read.write(), made);
        assert!(KeyRecord::read(&document("{}")).is_err());
        assert!(KeyRecord::read(&document(&text.replace(&*digest.to_hex(), "ab"))).is_err());
    }

    #[test]
    fn only_what_looks_like_a_key_of_ours_is_taken_for_one() {
        let (id, secret) = ("0011223344556677", "ab".repeat(32));
        assert_eq!(id_of(&format!("dsk_{id}_{secret}")), Some(id));
        for other in [
            String::new(),
            "dsk".to_owned(),
            format!("dsk_{id}"),
            format!("dsk_{id}_"),
            format!("dsk_{id}_{secret}_"),
            format!("dsk_{id}0_{secret}"),
            format!("DSK_{id}_{secret}"),
            format!("_{id}_{secret}"),
            format!("dsk_a-secret-of-mine_{secret}"),
        ] {
            assert_eq!((id_of(&other), id_in(&other)), (None, None), "{other}");
        }
    }
}
