//! The kinds of values that a key can have: how each is read and written.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// A value as it was written, before its key has looked at it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A text of the file.
    Text(String),
    /// An integer of the file.
    Integer(i64),
    /// A number with a fraction of the file.
    Fraction(f64),
    /// A truth value of the file.
    Bool(bool),
    /// An array of the file.
    List(Vec<Self>),
    /// A table of the file.
    Table(BTreeMap<String, Self>),
    /// Anything else of the file, by the name of its type.
    Other(&'static str),
    /// A word of the environment or of a flag, which may mean any of these.
    Word(String),
}

impl Value {
    /// The value as an error shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) | Self::Word(text) => format!("{text:?}"),
            Self::Integer(number) => number.to_string(),
            Self::Fraction(_) => "a number with a fraction".to_owned(),
            Self::Bool(truth) => truth.to_string(),
            Self::List(_) => "an array".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Other(name) => format!("a {name}"),
        }
    }
}

/// What would have done instead.
pub(super) type Expected = &'static str;

/// Days that anything may take, wait or be kept: a hundred years, beyond which a clock cannot be asked.
const MOST_DAYS: u64 = 36_525;
/// The same in seconds, as the API has it.
const MOST_SECS: u64 = MOST_DAYS * 24 * 3600;

/// Refuses a duration that no clock can count; that it is one is told by the name of its key.
pub(super) fn countable(name: &str, value: &Value) -> Result<(), Expected> {
    let (most, expected) = if name.ends_with("_secs") {
        (MOST_SECS, "at most 3155760000 (a hundred years)")
    } else if name.ends_with("_days") {
        (MOST_DAYS, "at most 36525 (a hundred years)")
    } else {
        return Ok(());
    };
    u64::read(value).ok().filter(|number| *number <= most).map(drop).ok_or(expected)
}

/// A kind of value.
pub(super) trait Setting: Sized {
    /// Reads it.
    fn read(value: &Value) -> Result<Self, Expected>;
    /// Writes it as TOML; `None` when the key is better left out.
    fn show(&self) -> Option<String>;
}

impl Setting for u64 {
    fn read(value: &Value) -> Result<Self, Expected> {
        let number = match value {
            Value::Integer(number) => Self::try_from(*number).ok(),
            Value::Word(word) => word.parse().ok(),
            Value::Text(_)
            | Value::Fraction(_)
            | Value::Bool(_)
            | Value::List(_)
            | Value::Table(_)
            | Value::Other(_) => None,
        };
        number.ok_or("a whole number, 0 or more")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u32 {
    fn read(value: &Value) -> Result<Self, Expected> {
        let number = u64::read(value).ok().and_then(|number| Self::try_from(number).ok());
        number.ok_or("a whole number from 0 to 4294967295")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Seconds that something at another machine may take or wait: at most half a day, because a daemon
/// remembers for a day what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(pub u64);

impl Setting for Patience {
    fn read(value: &Value) -> Result<Self, Expected> {
        let number = u64::read(value).ok().filter(|secs| (1..=43_200).contains(secs));
        number.map(Self).ok_or("a whole number from 1 to 43200")
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usd(pub f64);

impl Setting for Usd {
    fn read(value: &Value) -> Result<Self, Expected> {
        const WHOLE: i64 = 1 << 53;
        let number = match value {
            #[expect(clippy::cast_precision_loss, reason = "a larger one is refused")]
            Value::Integer(number) if *number <= WHOLE => Some(*number as f64),
            Value::Fraction(number) => Some(*number),
            Value::Word(word) => word.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        number.map(Self).ok_or("an amount in USD, 0 or more")
    }

    fn show(&self) -> Option<String> {
        Some(format!("{:?}", self.0))
    }
}

/// How much may wait in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSize(pub u32);

impl Setting for QueueSize {
    fn read(value: &Value) -> Result<Self, Expected> {
        let number = u32::read(value).ok().filter(|count| (1..=100_000).contains(count));
        number.map(Self).ok_or("a whole number from 1 to 100000")
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

/// How many old files are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept(pub u32);

impl Setting for Kept {
    fn read(value: &Value) -> Result<Self, Expected> {
        let number = u32::read(value).ok().filter(|count| *count <= 1000);
        number.map(Self).ok_or("a whole number from 0 to 1000")
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

impl Setting for bool {
    fn read(value: &Value) -> Result<Self, Expected> {
        match value {
            Value::Bool(truth) => Ok(*truth),
            Value::Word(word) if word == "true" => Ok(true),
            Value::Word(word) if word == "false" => Ok(false),
            _ => Err("true or false"),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for String {
    fn read(value: &Value) -> Result<Self, Expected> {
        match value {
            Value::Text(text) | Value::Word(text) if !text.is_empty() => Ok(text.clone()),
            _ => Err("a text"),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for PathBuf {
    fn read(value: &Value) -> Result<Self, Expected> {
        let path = String::read(value).map(Self::from);
        path.ok().filter(|path| path.is_absolute()).ok_or("an absolute path")
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

impl<S: Setting> Setting for Option<S> {
    fn read(value: &Value) -> Result<Self, Expected> {
        S::read(value).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(Setting::show)
    }
}

impl Setting for Vec<String> {
    fn read(value: &Value) -> Result<Self, Expected> {
        let texts = match value {
            Value::List(all) => all.iter().map(String::read).collect(),
            Value::Word(word) => {
                let parts = word.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(parts.map(str::to_owned).collect())
            }
            _ => Err(""),
        };
        texts.map_err(|_expected| "an array of texts (in the environment: separated by commas)")
    }

    fn show(&self) -> Option<String> {
        Some(format!("[{}]", self.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")))
    }
}

/// A program and its first arguments: an array, or a text, which is a program without arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);

impl Setting for CommandLine {
    fn read(value: &Value) -> Result<Self, Expected> {
        let words = match value {
            Value::List(all) => all.iter().map(word).collect(),
            other => word(other).map(|program| vec![program]),
        };
        // Another relative path would mean something else in every directory.
        let is_program = |words: &Vec<String>| {
            words.first().is_some_and(|program| {
                !program.is_empty() && (!program.contains('/') || program.starts_with('/'))
            })
        };
        words
            .ok()
            .filter(is_program)
            .map(Self)
            .ok_or("a program (a name, or an absolute path), or an array of one and its arguments")
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

/// A text that may be empty, without NUL.
fn word(value: &Value) -> Result<String, Expected> {
    match value {
        Value::Text(text) | Value::Word(text) if !text.contains('\0') => Ok(text.clone()),
        _ => Err("a text without NUL"),
    }
}

/// Variables and their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, String>);

impl Setting for Variables {
    fn read(value: &Value) -> Result<Self, Expected> {
        const EXPECTED: Expected = "a table of texts in the file, their names without `=`";
        let Value::Table(all) = value else { return Err(EXPECTED) };
        let pair = |(name, value): (&String, &Value)| {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            word(value).ok().filter(|_| is_name).map(|value| (name.clone(), value))
        };
        all.iter().map(pair).collect::<Option<_>>().map(Self).ok_or(EXPECTED)
    }

    fn show(&self) -> Option<String> {
        // Whether there are some; what they are is never shown.
        (!self.0.is_empty()).then(String::new)
    }
}

/// Names of variables, or their beginnings with a `*` behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(pub Vec<String>);

impl Setting for Patterns {
    fn read(value: &Value) -> Result<Self, Expected> {
        let is_pattern = |text: &String| {
            let name = text.strip_suffix('*').unwrap_or(text);
            let is_letter = |letter: char| {
                !matches!(letter, '*' | '=') && !letter.is_whitespace() && !letter.is_control()
            };
            !text.is_empty() && name.chars().all(is_letter)
        };
        let names = Vec::read(value).ok().filter(|all| all.iter().all(is_pattern));
        names.map(Self).ok_or("an array of names of variables, or of beginnings such as \"MY_*\"")
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

/// Names that may stand in `Host`, so that none is configured in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(pub Vec<String>);

impl Setting for Hosts {
    fn read(value: &Value) -> Result<Self, Expected> {
        let hosts = Vec::read(value).ok();
        hosts.filter(|all| all.iter().all(|text| is_host(text))).map(Self).ok_or(
            "an array of names of hosts, each alone or with a port: no scheme, no path and no \
             pattern",
        )
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

/// Whether `text` could be a `Host`: a name or an address, with a port or without.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        // In brackets there are colons as well.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let named = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(is_name),
    };
    named && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Origins of web pages, just as browsers write them, so that none is configured in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(pub Vec<String>);

impl Setting for Origins {
    fn read(value: &Value) -> Result<Self, Expected> {
        let origins = Vec::read(value).ok();
        origins.filter(|all| all.iter().all(|text| is_origin(text))).map(Self).ok_or(
            "an array of origins: scheme://host, or scheme://host:port if the port is not the \
             scheme's own, with no path and no pattern",
        )
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

/// Whether a browser could send `text` as an `Origin` (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "://",
    };
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    !scheme.is_empty()
        && scheme.bytes().all(is_word)
        && !authority.is_empty()
        && authority.bytes().all(is_name)
        && !authority.ends_with(default_port)
}

impl Setting for IpAddr {
    fn read(value: &Value) -> Result<Self, Expected> {
        let text = String::read(value);
        text.ok().and_then(|text| text.parse().ok()).ok_or("an IP address")
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

/// Where a daemon is reached over ZeroMQ: `tcp://HOST:PORT` or `ipc://PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(pub String);

impl Setting for Endpoint {
    fn read(value: &Value) -> Result<Self, Expected> {
        let text = String::read(value).ok().filter(|text| is_endpoint(text));
        text.map(Self).ok_or("tcp://HOST:PORT, or ipc:// and an absolute path")
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

#[cfg(feature = "zmq")]
fn is_endpoint(text: &str) -> bool {
    descartes_transport_zmq::ZmqConnect::new(text).is_ok()
}

/// What a build without ZeroMQ refuses anyway.
#[cfg(not(feature = "zmq"))]
fn is_endpoint(_text: &str) -> bool {
    true
}

/// A port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// This one; 0 is any that is free.
    Number(u16),
    /// None.
    Off,
}

impl Port {
    /// The socket address with this port; `None` when it is off.
    pub(super) fn at(self, address: IpAddr) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::Number(port) => Some(SocketAddr::new(address, port)),
        }
    }
}

impl Setting for Port {
    fn read(value: &Value) -> Result<Self, Expected> {
        let port = match value {
            Value::Integer(number) => u16::try_from(*number).ok().map(Self::Number),
            Value::Text(text) | Value::Word(text) if text == "off" => Some(Self::Off),
            Value::Word(word) => word.parse().ok().map(Self::Number),
            Value::Text(_)
            | Value::Fraction(_)
            | Value::Bool(_)
            | Value::List(_)
            | Value::Table(_)
            | Value::Other(_) => None,
        };
        port.ok_or("a port from 0 (any free one) to 65535, or \"off\"")
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Self::Number(port) => port.to_string(),
            Self::Off => quoted("off"),
        })
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, $expected:literal {
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// The choice's text.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl Setting for $name {
            fn read(value: &Value) -> Result<Self, Expected> {
                match value {
                    $(Value::Text(text) | Value::Word(text) if text == $text => {
                        Ok(Self::$variant)
                    })+
                    _ => Err($expected),
                }
            }

            fn show(&self) -> Option<String> {
                Some(quoted(self.as_str()))
            }
        }
    };
}

choice! {
    /// What an acknowledged change survives.
    Durability, "\"process\" or \"power\"" {
        /// The daemon's death.
        Process = "process",
        /// Also the machine's.
        Power = "power",
    }
}

choice! {
    /// What happens when an agent asks whether it may do something.
    ApprovalMode, "\"ask\", \"allow_edits\", \"allow_all\" or \"deny\"" {
        /// Somebody is asked.
        Ask = "ask",
        /// Changes of files are allowed; somebody is asked about the rest.
        AllowEdits = "allow_edits",
        /// Everything is allowed.
        AllowAll = "allow_all",
        /// Everything is denied.
        Deny = "deny",
    }
}

choice! {
    /// What is decided when nobody has in time.
    ApprovalDefault, "\"deny\" or \"allow\"" {
        /// It may not.
        Deny = "deny",
        /// It may.
        Allow = "allow",
    }
}

choice! {
    /// The shape of the logs.
    LogFormat, "\"text\" or \"json\"" {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// The least important level that is logged.
    LogLevel, "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"" {
        /// What somebody has to look at.
        Error = "error",
        /// What somebody should know.
        Warn = "warn",
        /// What a daemon's life is made of.
        Info = "info",
        /// What an operator asks for when something is odd.
        Debug = "debug",
        /// What its developers ask for.
        Trace = "trace",
    }
}

/// A text as TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
