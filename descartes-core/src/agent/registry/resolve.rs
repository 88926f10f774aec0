//! From what a caller wrote to an agent: an identity or a name.

use std::sync::Arc;

use super::{Agents, Registry};
use crate::agent::{AgentError, AgentId, Reach};

/// Which agents a call can do something with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Any that is kept.
    Any,
    /// One that has not ended.
    Live,
}

/// Names that a mistyped one is answered with.
const SIMILAR_NAMES: usize = 3;

impl Registry {
    /// The agent within `reach` that `asked` means: by identity; else the live one of that name,
    /// else the one that ended last.
    pub(crate) fn resolve(
        &self,
        asked: &str,
        want: Want,
        reach: &Reach,
    ) -> Result<AgentId, AgentError> {
        let agents = self.read();
        let id = match asked.parse::<AgentId>() {
            Ok(id) if agents.is_there(id, reach) => id,
            Ok(_) => return Err(agents.not_found(asked, reach)),
            Err(_) => agents.by_name(asked, reach)?,
        };
        match (want, agents.all.get(&id)) {
            (Want::Live, Some(record)) if !record.is_live() => Err(AgentError::WrongStatus {
                id,
                status: record.status,
                exit: record.exit.clone().map(Box::new),
            }),
            _ => Ok(id),
        }
    }
}

impl Agents {
    fn is_there(&self, id: AgentId, reach: &Reach) -> bool {
        self.all.get(&id).is_some_and(|record| self.reaches(reach, record))
    }

    fn by_name(&self, name: &str, reach: &Reach) -> Result<AgentId, AgentError> {
        if !is_addressable(name) {
            return Err(self.not_found(name, reach));
        }
        let reached = || self.ids_of(name).filter(|id| self.is_there(*id, reach));
        let mut live: Vec<_> = reached().filter(|id| self.live.contains_key(id)).collect();
        live.sort_unstable();
        match live[..] {
            [] => {
                let ended = |id: &AgentId| self.all.get(id).and_then(|record| record.ended_at);
                let last = reached().max_by_key(|id| (ended(id), *id));
                last.ok_or_else(|| self.not_found(name, reach))
            }
            [only] => Ok(only),
            _ => Err(AgentError::Ambiguous { name: name.to_owned(), ids: live }),
        }
    }

    fn not_found(&self, asked: &str, reach: &Reach) -> AgentError {
        let reached = |ids: &[AgentId]| ids.iter().any(|id| self.is_there(*id, reach));
        let mut close: Vec<(usize, &Arc<str>)> = self
            .names
            .iter()
            .filter_map(|(name, ids)| Some((distance(asked, name)?, name, ids)))
            .filter(|(_, _, ids)| reached(ids))
            .map(|(distance, name, _)| (distance, name))
            .collect();
        close.sort_unstable();
        let similar = close.into_iter().take(SIMILAR_NAMES).map(|(_, name)| Arc::clone(name));
        AgentError::NotFound { asked: asked.to_owned(), similar: similar.collect() }
    }
}

/// Whether a name can stand for an identity: `^\.?[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`.
fn is_addressable(name: &str) -> bool {
    let name = name.strip_prefix('.').unwrap_or(name);
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() <= 63
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// How many letters differ, when few do.
fn distance(left: &str, right: &str) -> Option<usize> {
    const MOST: usize = 2;
    if left.len().abs_diff(right.len()) > MOST || left.len() > 64 || right.len() > 64 {
        return None;
    }
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (index, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[index + 1];
            row[index + 1] = replaced.min(diagonal + 1).min(row[index] + 1);
        }
    }
    row.last().copied().filter(|distance| *distance <= MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_stand_for_an_identity() {
        for good in ["a", ".a", "worker-1", "A.b_c", &"x".repeat(63)] {
            assert!(is_addressable(good), "{good}");
        }
        for bad in ["", ".", "..a", "-a", "a b", "ä", &"x".repeat(64)] {
            assert!(!is_addressable(bad), "{bad}");
        }
    }

    #[test]
    fn names_one_or_two_letters_away_are_similar() {
        assert_eq!(distance("worker", "worker"), Some(0));
        assert_eq!(distance("worker", "wrker"), Some(1));
        assert_eq!(distance("worker", "wokrer"), Some(2));
        assert_eq!(distance("worker", "reader"), None);
    }
}
