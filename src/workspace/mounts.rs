//! The list of a container's mounts: each source canonical and checked, each target once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::bay::mount::{Guarded, Mount, MountError, MountRule, check_target};
use crate::bay::template::SshMode;
use crate::config::env::Env;

use super::{Ground, Prepared, WORKSPACE, WorkspaceError, rule_text};

/// Where the ssh agent's socket stands in a worker.
pub const SSH_AGENT: &str = "/run/podbay/ssh-agent.sock";

/// Sockets of engines that are root on the machine; `~` and `$XDG_RUNTIME_DIR` stand for the user's.
const ENGINE_SOCKETS: [&str; 16] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/var/run/podman/podman.sock",
    "/run/podman/podman.sock",
    "/var/run/containerd/containerd.sock",
    "/run/containerd/containerd.sock",
    "/run/docker/containerd/containerd.sock",
    "/var/run/crio/crio.sock",
    "/run/crio/crio.sock",
    "${XDG_RUNTIME_DIR}/docker.sock",
    "${XDG_RUNTIME_DIR}/podman/podman.sock",
    "~/.docker/run/docker.sock",
    "~/.docker/desktop/docker.sock",
    "~/.colima/default/docker.sock",
    "~/.orbstack/run/docker.sock",
    "~/.rd/docker.sock",
];

/// What has been decided to mount so far.
pub struct MountList<'a> {
    env: &'a Env,
    /// The home directory in the container.
    home: PathBuf,
    guarded: Guarded,
    mounts: Vec<Mount>,
    targets: BTreeSet<PathBuf>,
    /// What the mounts need in the environment.
    needed: BTreeMap<String, String>,
    /// What was skipped, in words.
    pub notes: Vec<String>,
}

impl<'a> MountList<'a> {
    /// An empty list for a container whose user's home is `home`.
    pub fn new(ground: &'a Ground<'_>, home: PathBuf) -> Self {
        Self {
            env: ground.env,
            home,
            guarded: guarded(ground),
            mounts: Vec::new(),
            targets: BTreeSet::new(),
            needed: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// The home directory in the container.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The mounts so far.
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// A directory or file that podbay made for this container, or that was checked before.
    pub fn add_own(&mut self, source: &Path, target: &Path, read_only: bool) -> Result<(), WorkspaceError> {
        let source = fs::canonicalize(source)
            .map_err(|error| WorkspaceError::new(format_args!("can't open {}: {error}", source.display())))?;
        self.add(source, target, read_only)
    }

    /// Mounts as a user wrote them.
    pub fn add_rules(&mut self, rules: &[MountRule]) -> Result<(), WorkspaceError> {
        for rule in rules {
            let named =
                |what: &dyn std::fmt::Display| WorkspaceError::new(format_args!("mount {:?}: {what}", rule_text(rule)));
            let source = self.env.expand(&rule.source).map_err(|what| named(&what))?;
            let target =
                self.env.expand_from(&rule.target, &self.home.to_string_lossy()).map_err(|what| named(&what))?;
            match self.checked(Path::new(&source)) {
                Ok(source) => self.add(source, Path::new(&target), rule.read_only).map_err(|e| named(&e))?,
                Err(Refused::Missing) if rule.optional => {
                    self.notes.push(format!("mount {:?} skipped: {source} does not exist", rule_text(rule)));
                }
                Err(Refused::Missing) => {
                    let what = format!("{source} does not exist; make it, or add \"optional\" to the rule");
                    return Err(named(&what));
                }
                Err(Refused::Because(what)) => return Err(named(&what)),
            }
        }
        Ok(())
    }

    /// The way to git over ssh.
    pub fn add_ssh(&mut self, mode: SshMode) -> Result<(), WorkspaceError> {
        match mode {
            SshMode::None => Ok(()),
            SshMode::Agent => self.add_ssh_agent(),
            SshMode::Keys => self.add_ssh_keys(),
        }
    }

    fn add_ssh_agent(&mut self) -> Result<(), WorkspaceError> {
        let Some(socket) = self.env.get("SSH_AUTH_SOCK").map(PathBuf::from) else {
            self.notes.push("ssh: no agent is running ($SSH_AUTH_SOCK is not set), so none is forwarded".to_owned());
            return Ok(());
        };
        let is_socket = fs::metadata(&socket).is_ok_and(|meta| meta.file_type().is_socket());
        match self.checked(&socket) {
            Ok(source) if is_socket => {
                self.needed.insert("SSH_AUTH_SOCK".to_owned(), SSH_AGENT.to_owned());
                self.add(source, Path::new(SSH_AGENT), false)
            }
            Err(Refused::Because(what)) => Err(WorkspaceError::new(format_args!("ssh agent: {what}"))),
            Ok(_) | Err(Refused::Missing) => {
                let text = format!(
                    "ssh: $SSH_AUTH_SOCK names {}, where no agent listens, so none is forwarded",
                    socket.display()
                );
                self.notes.push(text);
                Ok(())
            }
        }
    }

    fn add_ssh_keys(&mut self) -> Result<(), WorkspaceError> {
        let keys = self.env.home.join(".ssh");
        match self.checked(&keys) {
            Ok(source) => self.add(source, &self.home.join(".ssh"), true),
            Err(Refused::Missing) => {
                self.notes.push(format!("ssh: {} does not exist, so no keys are mounted", keys.display()));
                Ok(())
            }
            Err(Refused::Because(what)) => Err(WorkspaceError::new(format_args!("ssh keys: {what}"))),
        }
    }

    /// The canonical path of a source that may be mounted. From here on only this path is used: what a symlink leads
    /// to later does not matter any more.
    pub fn checked(&self, source: &Path) -> Result<PathBuf, Refused> {
        if !source.is_absolute() {
            return Err(Refused::Because(format!("{} must be an absolute path", source.display())));
        }
        let canonical = fs::canonicalize(source).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refused::Missing,
            io::ErrorKind::PermissionDenied => {
                Refused::Because(format!("no permission to look at {}", source.display()))
            }
            _ => Refused::Because(format!("can't open {}: {error}", source.display())),
        })?;
        // First without sockets: a home directory that holds one is named as what it is.
        let places = Guarded { sockets: Vec::new(), ..self.guarded.clone() };
        let checked = places.check(&canonical).and_then(|()| self.guarded.check(&canonical));
        checked.map_err(|error| Refused::Because(error.to_string()))?;
        if let Some(socket) = self.guarded.sockets.iter().find(|socket| same_socket(socket, &canonical)) {
            let why = MountError::Forbidden { path: canonical, why: "the engine's socket is root on the machine" };
            return Err(Refused::Because(format!("{why} (it is {} by another name)", socket.display())));
        }
        Ok(canonical)
    }

    fn add(&mut self, source: PathBuf, target: &Path, read_only: bool) -> Result<(), WorkspaceError> {
        check_target(target).map_err(WorkspaceError::new)?;
        // `/data/` and `/data/.` are `/data`.
        let target: PathBuf = target.components().collect();
        if !self.targets.insert(target.clone()) {
            return Err(WorkspaceError::new(format_args!("{} is mounted twice", target.display())));
        }
        self.mounts.push(Mount { source, target, read_only });
        Ok(())
    }

    /// All of it, with the environment that the user asked for over what the mounts need.
    pub fn prepared(self, user: String, env: BTreeMap<String, String>) -> Prepared {
        let mut needed = self.needed;
        needed.insert("HOME".to_owned(), self.home.to_string_lossy().into_owned());
        needed.extend(env);
        Prepared {
            user: Some(user),
            workdir: Some(PathBuf::from(WORKSPACE)),
            env: needed,
            home: self.home,
            mounts: self.mounts,
            notes: self.notes,
        }
    }
}

/// Why a source can't be mounted.
pub enum Refused {
    /// Nothing is there.
    Missing,
    /// It is there, but it may not be.
    Because(String),
}

/// A hard link or a bind mount gives a socket another path, but not another inode.
fn same_socket(socket: &Path, source: &Path) -> bool {
    let (Ok(socket), Ok(source)) = (fs::metadata(socket), fs::metadata(source)) else { return false };
    source.file_type().is_socket() && (socket.dev(), socket.ino()) == (source.dev(), source.ino())
}

fn guarded(ground: &Ground<'_>) -> Guarded {
    let canonical = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let known = ENGINE_SOCKETS.iter().filter_map(|socket| ground.env.expand(socket).ok()).map(PathBuf::from);
    let named = ground.env.get("DOCKER_HOST").and_then(|host| host.strip_prefix("unix://")).map(PathBuf::from);
    let own = ground.paths.socket.clone();
    let all = known.chain(named).chain(ground.engine_socket.clone()).chain([own]);
    let mut sockets: Vec<PathBuf> = all.flat_map(|socket| [canonical_parent(&socket), canonical(&socket)]).collect();
    sockets.sort();
    sockets.dedup();
    // All bays of this user: one bay's worker has no business in another's state either.
    let state = ground.paths.state.parent().unwrap_or(&ground.paths.state);
    Guarded { home: canonical(&ground.env.home), state: canonical(state), sockets }
}

/// A socket that is not there yet, at the place where it would be.
fn canonical_parent(path: &Path) -> PathBuf {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return path.to_owned() };
    fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned()).join(name)
}
