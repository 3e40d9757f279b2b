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
    /// What is taken from the modes of new files; `None`: the system does not tell.
    pub umask: Option<u32>,
}

impl Env {
    /// Of this process. The home directory is `$HOME` when that is absolute, else what the user database says.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        let vars = std::env::vars_os().filter_map(|(key, value)| Some((text(key)?, text(value)?))).collect();
        Self {
            vars,
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            home: std::env::home_dir().filter(|home| home.is_absolute()).unwrap_or_else(|| PathBuf::from("/")),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            umask: umask(),
        }
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
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let home = self.home.to_string_lossy();
        self.expand_from(text, &home)
    }

    /// Like [`Env::expand`], with another home directory for `~`.
    ///
    /// # Errors
    /// Names the variable that is not set.
    pub fn expand_from(&self, text: &str, home: &str) -> Result<String, String> {
        let mut made = String::with_capacity(text.len());
        let mut rest = text;
        if let Some(tail) = text.strip_prefix('~').filter(|tail| tail.is_empty() || tail.starts_with('/')) {
            made.push_str(home.trim_end_matches('/'));
            // `~` alone where home is the root.
            if tail.is_empty() && made.is_empty() {
                made.push('/');
            }
            rest = tail;
        }
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) =
                after.split_once('}').ok_or_else(|| format!("{text:?} has a \"${{\" without a \"}}\""))?;
            if !is_variable(name) {
                return Err(format!("{text:?}: {name:?} is not a variable's name"));
            }
            let value = self.get(name).ok_or_else(|| format!("{text:?}: the variable {name} is not set"))?;
            made.push_str(before);
            made.push_str(value);
            rest = tail;
        }
        made.push_str(rest);
        Ok(made)
    }
}

/// Whether every shell can name this variable: letters, digits and `_`, no digit first.
#[must_use]
pub fn is_variable(key: &str) -> bool {
    let starts = key.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    starts && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Linux tells it; elsewhere it can't be read without changing it for every thread.
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let octal = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(octal.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        let vars = [("A", "x"), ("EMPTY", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        Env { vars: vars.into(), home: "/home/ann".into(), ..Env::default() }
    }

    #[test]
    fn tilde_and_variables_expand() {
        for (text, expected) in [
            ("~", "/home/ann"),
            ("~/src", "/home/ann/src"),
            ("~bob/src", "~bob/src"),
            ("/a/~/b", "/a/~/b"),
            ("${A}/${A}y", "x/xy"),
            ("$A", "$A"),
            ("", ""),
        ] {
            assert_eq!(env().expand(text).as_deref(), Ok(expected), "{text:?}");
        }
        let root = Env { home: "/".into(), ..env() };
        assert_eq!(root.expand("~").as_deref(), Ok("/"));
        assert_eq!(root.expand("~/a").as_deref(), Ok("/a"));
    }

    #[test]
    fn what_can_not_be_expanded_is_named() {
        assert_eq!(env().expand("${NO}/x"), Err("\"${NO}/x\": the variable NO is not set".to_owned()));
        assert_eq!(env().expand("${EMPTY}"), Err("\"${EMPTY}\": the variable EMPTY is not set".to_owned()));
        assert_eq!(env().expand("${A"), Err("\"${A\" has a \"${\" without a \"}\"".to_owned()));
        assert_eq!(env().expand("${A B}"), Err("\"${A B}\": \"A B\" is not a variable's name".to_owned()));
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        let mut env = env();
        env.vars.insert("A".to_owned(), "${A}~".to_owned());
        assert_eq!(env.expand("${A}").as_deref(), Ok("${A}~"));
    }
}
