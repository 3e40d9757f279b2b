//! Names: parsed once at the edge, safe as a path component, an engine name and a URL segment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name, in bytes (the first character and 62 more).
const MAX: usize = 63;

/// A name by the rule `[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is not a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Docker refuses names of one character, so podbay does too.
    #[error("a name has 2 to 63 characters, this one has {0}")]
    Length(usize),
    /// The character is outside the rule; it is shown escaped.
    #[error("{0:?} can't stand in a name: use letters, digits, '_', '.' and '-'")]
    Character(char),
    /// The first character must be a letter or a digit.
    #[error("a name starts with a letter or a digit, not {0:?}")]
    Start(char),
    /// podbay uses this name for containers of its own.
    #[error("{0:?} is a name that podbay keeps for itself")]
    Reserved(String),
}

impl Name {
    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A worker's name: one that can't collide with the parent, a service or a warm worker.
    ///
    /// # Errors
    /// [`NameError`] as for any name, or [`NameError::Reserved`].
    pub fn worker(text: &str) -> Result<Self, NameError> {
        let name: Self = text.parse()?;
        let reserved = text == "parent"
            || text.starts_with("svc-")
            || text.starts_with(WARM)
            || text.ends_with(RETIRED)
            || text.ends_with(BUILD);
        if reserved {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(name)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let rest_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if let Some(bad) = text.chars().find(|c| !rest_ok(*c)) {
            return Err(NameError::Character(bad));
        }
        if text.len() < 2 || text.len() > MAX {
            return Err(NameError::Length(text.len()));
        }
        match text.chars().next() {
            Some(first) if first.is_ascii_alphanumeric() => Ok(Self(text.to_owned())),
            Some(first) => Err(NameError::Start(first)),
            None => Err(NameError::Length(0)),
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<std::path::Path> for Name {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

/// How names of warm workers begin.
pub const WARM: &str = "warm-";

/// The suffix of a container that is being replaced by one of the same name.
pub const RETIRED: &str = ".old";

/// The suffix of a container that an image is made in.
pub const BUILD: &str = ".build";

/// The name of a container in the engine: the bay's name, a dash, and what it is in the bay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerName(String);

impl ContainerName {
    /// `<bay>-parent`.
    #[must_use]
    pub fn parent(bay: &Name) -> Self {
        Self(format!("{bay}-parent"))
    }

    /// `<bay>-<worker>`.
    #[must_use]
    pub fn worker(bay: &Name, worker: &Name) -> Self {
        Self(format!("{bay}-{worker}"))
    }

    /// `<bay>-svc-<service>`.
    #[must_use]
    pub fn service(bay: &Name, service: &Name) -> Self {
        Self(format!("{bay}-svc-{service}"))
    }

    /// `<bay>-<what>.build`, while an image is made in it.
    #[must_use]
    pub fn build(bay: &Name, what: &str) -> Self {
        Self(format!("{bay}-{what}{BUILD}"))
    }

    /// `<name>.old`, while its successor is made.
    #[must_use]
    pub fn retired(&self) -> Self {
        Self(format!("{}{RETIRED}", self.0))
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a container is called inside its bay: the engine's name without `<bay>-`.
#[must_use]
pub fn in_bay<'a>(bay: &Name, container: &'a str) -> Option<&'a str> {
    container.strip_prefix(bay.as_str())?.strip_prefix('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_docker_accepts_up_to_63() {
        for good in ["ab", "a1", "A_.-", "0x", &"a".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_everything_that_could_be_a_path_a_flag_or_a_query() {
        let hostile = [
            "",
            "a",
            "..",
            ".a",
            "-rf",
            "_a",
            "a/b",
            "a b",
            "a\n",
            "a\0",
            "x?force=1",
            "x#",
            "%2f",
            "é",
            "😀😀",
            "a:b",
            "a\u{202e}b",
            &"a".repeat(64),
            &"a".repeat(65536),
        ];
        for bad in hostile {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keeps_its_own_names_from_workers() {
        for own in ["parent", "svc-db", "warm-1", "fox.old"] {
            assert_eq!(Name::worker(own), Err(NameError::Reserved(own.to_owned())));
        }
        assert!(Name::worker("parental").is_ok());
    }

    #[test]
    fn names_in_the_bay_lose_the_prefix_only() {
        let bay: Name = "bay".parse().unwrap();
        assert_eq!(in_bay(&bay, "bay-fox"), Some("fox"));
        assert_eq!(in_bay(&bay, "bayou-fox"), None);
        assert_eq!(in_bay(&bay, "bay"), None);
    }
}
