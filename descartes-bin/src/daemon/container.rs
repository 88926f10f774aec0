//! Whether the daemon runs in a container, where "the same user on loopback" proves little.

use std::fs;

use crate::config::Surroundings;

/// What the map of the initial user namespace says.
const ALL_USERS: [&str; 3] = ["0", "0", "4294967295"];

/// Whether this looks like a container (DESIGN section 5).
pub(crate) fn found(surroundings: &Surroundings) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    std::process::id() == 1
        || surroundings.var("KUBERNETES_SERVICE_HOST").is_some()
        || is_another_namespace(&map)
}

/// An empty map is that of a kernel without user namespaces.
fn is_another_namespace(map: &str) -> bool {
    let words: Vec<_> = map.split_whitespace().collect();
    !words.is_empty() && words != ALL_USERS
}

#[cfg(test)]
mod tests {
    use super::is_another_namespace;

    #[test]
    fn only_the_map_of_all_users_is_the_initial_namespace() {
        let table = [
            ("         0          0 4294967295\n", false),
            ("         0       1000          1\n", true),
            ("0 100000 65536\n", true),
            ("", false),
        ];
        for (map, another) in table {
            assert_eq!(is_another_namespace(map), another, "{map:?}");
        }
    }
}
