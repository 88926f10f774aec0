//! No core files: what is in memory has keys, tokens and values of `env` in it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// One byte: too little for a file, and by it the kernel starts no program that collects cores
/// either, which it does with none (`core(5)`).
const NOTHING: u64 = 1;

/// Lets neither this process nor what it starts leave a core behind, unless that asks for it.
pub(super) fn forbid() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let current = Some(maximum.map_or(NOTHING, |maximum| maximum.min(NOTHING)));
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current, maximum }) {
        tracing::warn!(%error, "a crash may leave a core file with secrets in it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_too_little_for_a_core() {
        forbid();
        assert!(getrlimit(Resource::Core).current.is_some_and(|bytes| bytes <= NOTHING));
    }
}
