//! Sections that are as many as somebody names: `[remotes.NAME]`, `[backends.NAME]`. Each kind has a
//! table of keys of its own.

use super::setting::{Expected, Value};
use super::{Config, backend, remote};

/// Letters of a member's name.
const NAME_LETTERS: usize = 64;

/// A kind of section that is there several times, each with a name.
pub(super) struct Family {
    /// The section that all of them are in.
    pub(super) section: &'static str,
    /// Begins the member that is called so, if it has not begun and may be called so.
    pub(super) begin: fn(&mut Config, &str) -> Result<(), Expected>,
    /// Every key, in the order in which they are printed; `a.b` is the key `b` of the table `a`.
    pub(super) keys: &'static [Key],
    /// The names of those that have begun.
    pub(super) names: fn(&Config) -> Vec<&str>,
}

/// One key of a family.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Puts a value where it belongs, in a member that has begun.
    pub(super) set: fn(&mut Config, &str, &Value) -> Result<(), Expected>,
    /// Writes the value that is there.
    pub(super) show: fn(&Config, &str) -> Option<String>,
}

/// Every kind, in the order in which they are printed.
pub(super) const FAMILIES: [&Family; 2] = [&backend::FAMILY, &remote::FAMILY];

/// The family of this section.
pub(super) fn find(section: &str) -> Option<&'static Family> {
    FAMILIES.into_iter().find(|family| family.section == section)
}

impl Key {
    /// Whether its value is never shown: the values of variables are often secrets.
    pub(super) fn is_secret(&self) -> bool {
        self.name == "env"
    }
}

impl Family {
    /// The key that is called so.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of the keys that begin with `table`, without it.
    pub(super) fn names_in(&self, table: &str) -> impl Iterator<Item = &'static str> {
        let names: Vec<_> =
            self.keys.iter().filter_map(|key| key.name.strip_prefix(table)).collect();
        names.into_iter()
    }

    /// Whether keys of a table are called so.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name.split_once('.').is_some_and(|(table, _)| table == name))
    }
}

/// Whether a name has only letters that it may have.
pub(super) fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_LETTERS).contains(&name.len()) && name.bytes().all(is_letter)
}

/// The keys of a family whose members are those of the map `$members`: the path of each in a member,
/// which is its name as well.
macro_rules! member_keys {
    ($members:ident: $($name:ident $(. $inner:ident)?),+ $(,)?) => {
        &[$(crate::config::family::Key {
            name: concat!(stringify!($name) $(, ".", stringify!($inner))?),
            set: |config, name, value| {
                let read = crate::config::setting::Setting::read(value)?;
                crate::config::setting::countable(stringify!($name), value)?;
                let member = config.$members.get_mut(name).expect("it has begun");
                member.$name$(.$inner)? = read;
                Ok(())
            },
            show: |config, name| {
                crate::config::setting::Setting::show(&config.$members[name].$name$(.$inner)?)
            },
        }),+]
    };
}
pub(super) use member_keys;
