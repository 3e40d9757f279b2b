//! How far a bay's containers are kept apart from the machine, and what the user says about it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A level, the weakest first. What is weaker than [`Namespaces`](Self::Namespaces) is had by the user's word alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Bare processes of the user.
    None,
    /// Processes of the machine that Landlock and a filter of system calls hold back.
    Landlock,
    /// Namespaces of podbay's own making.
    Namespaces,
    /// A container of an engine like Docker.
    Container,
}

impl Isolation {
    /// Why it is not taken where so many containers run on an engine of this kind: what runs without a daemon is seen by no
    /// engine of containers, and the bay would lose it from sight. `None`: it is.
    #[must_use]
    pub fn out_of_sight(self, kind: &str, running: usize) -> Option<String> {
        (self == Self::Container && kind == "local" && running > 0).then(|| {
            format!(
                "{running} containers of this bay run without a daemon, where no container engine sees them: `podbay down \
                 --workers` ends them"
            )
        })
    }

    /// All of them, the strongest first.
    pub const ALL: [Self; 4] = [Self::Container, Self::Namespaces, Self::Landlock, Self::None];

    /// The word in flags, files and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Landlock => "landlock",
            Self::Namespaces => "namespaces",
            Self::Container => "container",
        }
    }

    /// What it does not keep from a worker, for a question; empty where nothing is to be asked.
    #[must_use]
    pub const fn gives_up(self) -> &'static str {
        match self {
            Self::Landlock => {
                "Workers then run among your own processes, held by Landlock and a filter of system calls: they share the \
                 machine's network, see what else runs, and can change the modes of your files."
            }
            Self::None => "Workers then run as processes of yours, with all that you may do.",
            Self::Namespaces | Self::Container => "",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which level a bay without a daemon is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IsolationRule {
    /// Namespaces; where there are none, the user is asked for something weaker.
    Ask,
    /// An engine of containers, and nothing else.
    Container,
    /// Namespaces, and nothing weaker.
    Namespaces,
    /// Landlock.
    Landlock,
    /// Bare processes.
    None,
}

impl IsolationRule {
    /// The level that it means.
    #[must_use]
    pub const fn level(self) -> Isolation {
        match self {
            Self::Ask | Self::Namespaces => Isolation::Namespaces,
            Self::Container => Isolation::Container,
            Self::Landlock => Isolation::Landlock,
            Self::None => Isolation::None,
        }
    }
}

impl From<Isolation> for IsolationRule {
    fn from(level: Isolation) -> Self {
        match level {
            Isolation::Container => Self::Container,
            Isolation::Namespaces => Self::Namespaces,
            Isolation::Landlock => Self::Landlock,
            Isolation::None => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_words_and_an_order() {
        for level in Isolation::ALL {
            assert_eq!(Isolation::of_word(level.as_str()), Some(level));
            assert_eq!(IsolationRule::from(level).level(), level);
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
        assert!(Isolation::ALL.is_sorted_by(|one, other| one > other));
        assert_eq!(Isolation::of_word("bare"), None);
        assert_eq!(IsolationRule::Ask.level(), Isolation::Namespaces, "nothing weaker without a word");
    }
}
