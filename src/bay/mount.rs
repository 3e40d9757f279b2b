//! Mounts as a user writes them, and which ones are refused.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One bind mount, with a canonical source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// An absolute path on the engine's machine, symlinks resolved.
    pub source: PathBuf,
    /// An absolute path in the container.
    pub target: PathBuf,
    /// Whether the container may write to it.
    pub read_only: bool,
}

/// A mount as written: `SOURCE:TARGET[:OPTION[,OPTION]]`, options `ro`, `rw`, `optional`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountRule {
    /// As written: `~` and `${VAR}` are not expanded yet.
    pub source: String,
    /// As written: `~` is the worker's home.
    pub target: String,
    /// `ro`.
    pub read_only: bool,
    /// A missing source is skipped and said, not refused.
    pub optional: bool,
}

/// Why a mount is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// Not `SOURCE:TARGET[:OPTIONS]`.
    #[error("{0:?} is not a mount: write SOURCE:TARGET, or SOURCE:TARGET:ro,optional")]
    Shape(String),
    /// An option that does not exist.
    #[error("mount {rule:?}: {option:?} is not an option; there are ro, rw and optional")]
    Option {
        /// The rule as written.
        rule: String,
        /// The unknown word.
        option: String,
    },
    /// The target is relative or has `..` in it.
    #[error("mount target {0:?} must be an absolute path without \"..\"")]
    Target(PathBuf),
    /// A source that would hand the machine, or podbay itself, to the worker.
    #[error("mount source {path:?} is refused: {why}")]
    Forbidden {
        /// The canonical path.
        path: PathBuf,
        /// What it would give away.
        why: &'static str,
    },
}

impl FromStr for MountRule {
    type Err = MountError;

    fn from_str(text: &str) -> Result<Self, MountError> {
        let shape = || MountError::Shape(text.to_owned());
        let mut parts = text.split(':');
        let source = parts.next().filter(|s| !s.is_empty()).ok_or_else(shape)?;
        let target = parts.next().filter(|t| !t.is_empty()).ok_or_else(shape)?;
        let options = parts.next().unwrap_or("rw");
        if parts.next().is_some() {
            return Err(shape());
        }
        let mut rule = Self { source: source.to_owned(), target: target.to_owned(), read_only: false, optional: false };
        for option in options.split(',') {
            match option {
                "ro" => rule.read_only = true,
                "rw" => rule.read_only = false,
                "optional" => rule.optional = true,
                other => return Err(MountError::Option { rule: text.to_owned(), option: other.to_owned() }),
            }
        }
        Ok(rule)
    }
}

impl TryFrom<String> for MountRule {
    type Error = MountError;

    fn try_from(text: String) -> Result<Self, MountError> {
        text.parse()
    }
}

impl From<MountRule> for String {
    fn from(rule: MountRule) -> Self {
        let mut text = format!("{}:{}", rule.source, rule.target);
        let options: Vec<&str> =
            [(rule.read_only, "ro"), (rule.optional, "optional")].into_iter().filter(|o| o.0).map(|o| o.1).collect();
        if !options.is_empty() {
            text.push(':');
            text.push_str(&options.join(","));
        }
        text
    }
}

/// The places that this machine's owner would not hand to an agent.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// The home directory itself (what is below it may be mounted).
    pub home: PathBuf,
    /// podbay's state directory and all below it, but for what podbay mounts from there itself.
    pub state: PathBuf,
    /// Engine sockets, canonical.
    pub sockets: Vec<PathBuf>,
}

/// Directories of the system: neither they nor what holds them may be mounted.
const SYSTEM: [&str; 9] = ["/etc", "/proc", "/sys", "/dev", "/run", "/boot", "/root", "/home", "/var/run"];

impl Guarded {
    /// Whether a canonical source may be mounted.
    ///
    /// # Errors
    /// [`MountError::Forbidden`] with what it would give away.
    pub fn check(&self, source: &Path) -> Result<(), MountError> {
        let refuse = |why| Err(MountError::Forbidden { path: source.to_owned(), why });
        if source == Path::new("/") {
            return refuse("it is the whole machine");
        }
        if self.sockets.iter().any(|socket| socket.starts_with(source)) {
            return refuse("the engine's socket is root on the machine");
        }
        if source == self.home {
            return refuse("it is the home directory itself; mount a directory below it");
        }
        if self.home.starts_with(source) {
            return refuse("it holds the home directory");
        }
        if SYSTEM.iter().any(|dir| source == Path::new(dir)) {
            return refuse("it is a directory of the system");
        }
        if ["/proc", "/sys", "/dev"].iter().any(|dir| source.starts_with(dir)) {
            return refuse("it is the kernel's");
        }
        if source.starts_with(&self.state) || self.state.starts_with(source) {
            return refuse("it holds podbay's own state");
        }
        Ok(())
    }
}

/// A mount target: absolute, with no `..` in it, and not the root.
///
/// # Errors
/// [`MountError::Target`].
pub fn check_target(target: &Path) -> Result<(), MountError> {
    let climbs = target.components().any(|part| matches!(part, Component::ParentDir));
    if !target.is_absolute() || climbs || target == Path::new("/") {
        return Err(MountError::Target(target.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded() -> Guarded {
        Guarded {
            home: "/home/ann".into(),
            state: "/home/ann/.local/state/podbay".into(),
            sockets: vec!["/run/docker.sock".into(), "/home/ann/.colima/docker.sock".into()],
        }
    }

    #[test]
    fn rules_read_and_write() {
        for text in ["~/.gitconfig:~/.gitconfig:ro,optional", "/data:/data", "/a:/b:ro"] {
            let rule: MountRule = text.parse().unwrap();
            assert_eq!(String::from(rule), text);
        }
        for bad in ["", "/a", "/a:", ":/b", "/a:/b:ro:x", "/a:/b:readonly"] {
            assert!(bad.parse::<MountRule>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_gives_the_machine_away_is_refused() {
        let refused = [
            "/",
            "/etc",
            "/proc",
            "/proc/1",
            "/sys/fs",
            "/dev/sda",
            "/run",
            "/home",
            "/home/ann",
            "/root",
            "/run/docker.sock",
            "/home/ann/.colima",
            "/home/ann/.colima/docker.sock",
            "/home/ann/.local/state/podbay",
            "/home/ann/.local/state",
            "/home/ann/.local/state/podbay/bay/workers",
        ];
        for path in refused {
            assert!(guarded().check(Path::new(path)).is_err(), "{path}");
        }
        for path in ["/home/ann/src", "/srv/data", "/opt", "/etc/ssl/certs", "/home/anna"] {
            assert_eq!(guarded().check(Path::new(path)), Ok(()), "{path}");
        }
    }

    #[test]
    fn targets_are_absolute_and_do_not_climb() {
        for bad in ["", "rel", "/", "/a/../b"] {
            assert!(check_target(Path::new(bad)).is_err(), "{bad:?}");
        }
        assert!(check_target(Path::new("/workspace")).is_ok());
    }
}
