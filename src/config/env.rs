//! A snapshot of the process's environment, so that everything that depends on it can be tested.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What podbay takes from its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    /// Every variable that is valid UTF-8.
    pub vars: BTreeMap<String, String>,
    /// The working directory.
    pub cwd: PathBuf,
    /// The invoking user's home directory.
    pub home: PathBuf,
    /// The invoking user.
    pub uid: u32,
    /// The invoking user's group.
    pub gid: u32,
}

impl Env {
    /// Of this process.
    #[must_use]
    pub fn of_process() -> Self {
        todo!()
    }

    /// One variable; empty counts as unset.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.vars.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Expands a leading `~` and every `${VAR}`.
    ///
    /// # Errors
    /// Names the variable that is not set.
    pub fn expand(&self, _text: &str) -> Result<String, String> {
        todo!()
    }
}
