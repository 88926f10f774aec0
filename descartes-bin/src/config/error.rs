//! What can be wrong with a configuration, and where it was said.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Characters of what was written that are repeated.
const REPEATED_CHARS: usize = 128;

/// Where something was configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line and column of a file, from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "{} in the environment", cut(name)),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Where each key was last said, by its name with its section.
#[derive(Clone, Debug, Default)]
pub struct Places(pub(super) BTreeMap<String, Place>);

/// Where something was said makes no other configuration of it.
impl PartialEq for Places {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that was named could not be read.
    #[error("could not read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{place}: {}", cut(message))]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser said.
        message: String,
    },
    /// Nothing is called so.
    #[error("{place}: unknown {what} `{}`{}", cut(name), nearest_hint(nearest.as_deref()))]
    Unknown {
        /// Where.
        place: Place,
        /// A section or a key.
        what: &'static str,
        /// What was written.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A value that the key cannot have.
    #[error("{place}: `{}` should be {expected}, not {}", cut(key), cut(found))]
    Value {
        /// Where.
        place: Place,
        /// The key with its section.
        key: String,
        /// What would do.
        expected: String,
        /// What was written.
        found: String,
    },
    /// A section without a key that it needs.
    #[error("{place}: `{section}` needs `{name}`")]
    Missing {
        /// Where.
        place: Place,
        /// The section.
        section: String,
        /// The key that is not there.
        name: &'static str,
    },
    /// A transport that was left out of this build.
    #[error("{place}: `{key}` needs the cargo feature `{feature}`, which this build does not have")]
    LeftOut {
        /// Where.
        place: Place,
        /// The key with its section.
        key: String,
        /// The feature.
        feature: &'static str,
    },
    /// A listener that strangers could reach, while nobody can be told apart.
    #[error(
        "{place}: refusing to listen on {address}: anything beyond loopback needs authentication \
         ([auth] enabled = true)"
    )]
    BeyondLoopback {
        /// Where.
        place: Place,
        /// The address.
        address: std::net::IpAddr,
    },
    /// A secret that protects nothing.
    #[error("`{key}` is refused: {why}")]
    WeakSecret {
        /// The key with its section.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A secret that was given twice.
    #[error("`{key}` and `{key}_file` are both set; one of them is enough")]
    TwoSecrets {
        /// The key with its section.
        key: &'static str,
    },
    /// A secret that others can read.
    #[error(
        "refusing `{key}`: others can read {} (mode {mode:04o}); chmod 600 it",
        path.display()
    )]
    ExposedSecret {
        /// The key with its section.
        key: String,
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file of a secret that could not be read.
    #[error("could not read `{key}`, {}: {source}", path.display())]
    SecretFile {
        /// The key with its section.
        key: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate, or the key of one, that cannot be shown.
    #[error("refusing `{key}`, {}: {why}", path.display())]
    Certificate {
        /// The key with its section.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A path that does not lead to what is needed there.
    #[error("cannot use `{key}`, {}: {source}", path.display())]
    Path {
        /// The key with its section.
        key: &'static str,
        /// Where it leads.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is wrong with the value of a key is seen where it is used.
    #[error("{place}: {error}")]
    At {
        /// Where it was said.
        place: Place,
        /// What is wrong.
        error: Box<Self>,
    },
    /// Nothing would listen.
    #[error("every transport is off; there would be no way to reach the daemon")]
    Unreachable,
}

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The beginning of what was written, which somebody is to find and not to read again.
fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(REPEATED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

impl ConfigError {
    /// The same with the place where the key was said of which it is told, where that is known.
    pub(crate) fn at(self, places: &Places) -> Self {
        let (key, of_file) = match &self {
            Self::WeakSecret { key, .. } | Self::TwoSecrets { key } => {
                ((*key).to_owned(), Some(format!("{key}_file")))
            }
            Self::Certificate { key, .. } | Self::Path { key, .. } => ((*key).to_owned(), None),
            Self::ExposedSecret { key, .. } | Self::SecretFile { key, .. } => (key.clone(), None),
            _ => return self,
        };
        let place = places.0.get(&key).or_else(|| places.0.get(&of_file?));
        match place.cloned() {
            Some(place) => Self::At { place, error: Box::new(self) },
            None => self,
        }
    }

    /// Whether the refusal is for safety rather than for a mistake.
    #[must_use]
    pub fn is_safety(&self) -> bool {
        match self {
            Self::At { error, .. } => error.is_safety(),
            Self::BeyondLoopback { .. } | Self::WeakSecret { .. } | Self::ExposedSecret { .. } => {
                true
            }
            _ => false,
        }
    }
}
