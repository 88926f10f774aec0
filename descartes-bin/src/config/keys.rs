//! The table of keys: which there are, and where in the configuration each lives.

use super::family::FAMILIES;
use super::setting::{Expected, Setting, Value, countable};
use super::{Config, FEATURES};

/// Bytes of what may be a misspelt name.
const NAME_BYTES: usize = 64;

/// One key of a section.
pub(super) struct Key {
    /// Its section.
    pub(super) section: &'static str,
    /// Its name there.
    pub(super) name: &'static str,
    /// The cargo features without which it means nothing.
    pub(super) needs: &'static [&'static str],
    /// Puts a value where it belongs.
    pub(super) set: fn(&mut Config, &Value) -> Result<(), Expected>,
    /// Writes the value that is there.
    pub(super) show: fn(&Config) -> Option<String>,
    /// Whether another value takes a restart.
    pub(super) restart: bool,
    /// Whether two configurations have the same value.
    pub(super) same: fn(&Config, &Config) -> bool,
    /// Takes the value of the second one over into the first.
    pub(super) keep: fn(&mut Config, &Config),
}

impl Key {
    /// Whether its value is never shown.
    pub(super) fn is_secret(&self) -> bool {
        self.section == "auth" && ["jwt_secret", "api_key"].contains(&self.name)
    }

    /// Its name with its section.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The cargo feature that it needs and this build does not have.
    pub(super) fn missing(&self) -> Option<&'static str> {
        self.needs.iter().copied().find(|feature| !FEATURES.contains(feature))
    }
}

macro_rules! keys {
    ($($section:ident { $($name:ident $(needs $feature:literal)? $([$restart:ident])?),+ $(,)? })+) => {
        &[$($(Key {
            section: stringify!($section),
            name: stringify!($name),
            needs: &[$($feature)?],
            set: |config, value| {
                let read = Setting::read(value)?;
                countable(stringify!($name), value)?;
                config.$section.$name = read;
                Ok(())
            },
            show: |config| Setting::show(&config.$section.$name),
            restart: keys!(@restart $($restart)?),
            same: |one, other| one.$section.$name == other.$section.$name,
            keep: |into, from| into.$section.$name.clone_from(&from.$section.$name),
        }),+),+]
    };
    (@restart restart) => { true };
    (@restart) => { false };
}

/// Every key, in the order in which they are printed; `[restart]` marks those whose value is asked
/// for at the start alone.
pub(super) const KEYS: &[Key] = keys! {
    server {
        http_addr needs "http" [restart],
        http_port needs "http" [restart],
        ws_addr needs "http" [restart],
        ws_port needs "http" [restart],
        zmq_addr needs "zmq" [restart],
        zmq_port needs "zmq" [restart],
        pub_addr needs "zmq" [restart],
        pub_port needs "zmq" [restart],
        unix_socket needs "unix" [restart],
        unix_socket_group needs "unix" [restart],
        request_timeout_secs,
        enable_metrics needs "metrics" [restart],
        metrics_addr needs "metrics" [restart],
        metrics_port needs "metrics" [restart],
        metrics_public needs "metrics" [restart],
        max_connections [restart],
        max_connections_per_address [restart],
        allowed_hosts needs "http",
        allowed_origins needs "http",
        tls_cert needs "http",
        tls_key needs "http",
    }
    auth {
        enabled [restart],
        trust_loopback needs "http" [restart],
        jwt_secret,
        jwt_secret_file,
        audience,
        token_expiry_secs,
        api_key,
        api_key_file,
    }
    pool {
        min_size,
        max_size,
        connection_timeout_secs,
        idle_timeout_secs needs "http" [restart],
    }
    logging {
        level,
        stdout [restart],
        file [restart],
        format [restart],
        rotate_bytes,
        keep,
    }
    store { durability [restart], min_free_bytes [restart] }
    limits {
        hierarchy_depth,
        idempotency_records,
        idempotency_secs,
        hot_ring_bytes [restart],
        state_keys,
        state_value_bytes,
        calls_per_connection [restart],
        waits_per_connection [restart],
        waits,
        subscriptions_per_connection [restart],
        newcomers [restart],
        connections_per_principal,
        rate_per_second,
        burst,
        cost_usd_per_day,
    }
    retention {
        output_bytes_per_agent,
        output_bytes_total,
        ended_agents,
        ended_agents_days,
        chats_days,
        chat_bytes,
        events_days,
        audit_days,
    }
    agents { default_backend, default_dir, max_running, stop_grace_secs }
    chats { default_backend, turn_timeout_secs, stall_secs, idle_stop_secs }
    approvals { mode, deadline_secs, default, deny_when_unattended }
};

/// The key `name` of `section`.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// Every section, once.
pub(super) fn sections() -> Vec<&'static str> {
    let mut all: Vec<_> = KEYS.iter().map(|key| key.section).collect();
    all.dedup();
    all.extend(FAMILIES.map(|family| family.section));
    all
}

/// The keys of `section`.
pub(super) fn names(section: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(move |key| key.section == section).map(|key| key.name)
}

/// The one of `names` that `written` was probably meant to be.
pub(super) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    // No name is as long, and to compare it would take its time.
    if written.len() > NAME_BYTES {
        return None;
    }
    let most = (written.chars().count() / 3).max(2);
    let near = names.into_iter().map(|name| (distance(written, name), name)).min()?;
    (near.0 <= most).then(|| near.1.to_owned())
}

/// How many letters must be changed, added or left out to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let change = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn the_nearest_name_is_found_and_nothing_far_is_suggested() {
        assert_eq!(distance("http_prot", "http_port"), 2);
        assert_eq!(nearest("http_prot", ["http_addr", "http_port"]), Some("http_port".to_owned()));
        assert_eq!(nearest("sevrer", super::sections()), Some("server".to_owned()));
        assert_eq!(nearest("colour", ["level", "format"]), None);
    }
}
