//! The user's word for walls that are weaker than namespaces: kept in a bay's state directory, so that it is asked for once.

use std::io;
use std::path::Path;

use crate::bay::isolation::{Isolation, IsolationRule};

use super::Config;

/// The word's file, in a bay's state directory.
const WORD: &str = "isolation";

/// What the user said to this bay.
#[must_use]
pub fn kept(state: &Path) -> Option<Isolation> {
    Isolation::of_word(std::fs::read_to_string(state.join(WORD)).ok()?.trim())
}

/// Keeps it.
///
/// # Errors
/// The system's.
pub fn keep(state: &Path, level: Isolation) -> io::Result<()> {
    // What is there stays whole.
    let fresh = state.join("isolation.new");
    std::fs::write(&fresh, format!("{level}\n"))?;
    std::fs::rename(fresh, state.join(WORD))
}

/// Puts back what was kept before; `None`: nothing was.
///
/// # Errors
/// The system's.
pub fn put_back(state: &Path, before: Option<Isolation>) -> io::Result<()> {
    match before {
        Some(level) => keep(state, level),
        None => std::fs::remove_file(state.join(WORD)),
    }
}

/// The last word of those that were said: a flag's is kept for the bay, and somebody may have said another one since.
#[must_use]
pub fn latest(flag: Option<Isolation>, state: &Path) -> Option<Isolation> {
    flag.map(|flag| kept(state).unwrap_or(flag))
}

impl Config {
    /// The same with the user's word: a flag's goes before the file, one that was kept counts where the file leaves it to
    /// a question.
    #[must_use]
    pub fn with_isolation(mut self, flag: Option<Isolation>, state: &Path) -> Self {
        self.said = flag;
        if let Some(level) = flag {
            self.engine.isolation = level.into();
        } else if self.engine.isolation == IsolationRule::Ask
            && let Some(level) = kept(state)
        {
            self.engine.isolation = level.into();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_kept_and_the_file_goes_before_it() {
        let state = tempfile::tempdir().unwrap();
        let rule = |flag, own: Option<IsolationRule>| {
            let mut config = Config::defaults().unwrap();
            config.engine.isolation = own.unwrap_or(config.engine.isolation);
            config.with_isolation(flag, state.path()).engine.isolation
        };
        assert_eq!((kept(state.path()), rule(None, None)), (None, IsolationRule::Ask));
        keep(state.path(), Isolation::Landlock).unwrap();
        assert_eq!(rule(None, None), IsolationRule::Landlock);
        assert_eq!(rule(None, Some(IsolationRule::Namespaces)), IsolationRule::Namespaces);
        assert_eq!(rule(Some(Isolation::None), Some(IsolationRule::Namespaces)), IsolationRule::None);
        for (flag, last) in [(None, None), (Some(Isolation::None), Some(Isolation::Landlock))] {
            assert_eq!(latest(flag, state.path()), last, "what was kept since is the last word");
        }
        std::fs::write(state.path().join(WORD), "half").unwrap();
        assert_eq!(rule(None, None), IsolationRule::Ask, "what is no word is none");
        assert_eq!(latest(Some(Isolation::None), state.path()), Some(Isolation::None));
    }
}
