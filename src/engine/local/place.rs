//! A container's files: `<state>/<bay>/containers/<id>/`. What it is, what it is called, how it stands, its log, its
//! root.
//!
//! What it is never changes, so it is written once; the name and the state are small files of their own that are
//! replaced whole. A directory whose name is no id is one that is being made or taken away, and nobody's business.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::bay::container::{ContainerSpec, HealthState, Status};
use crate::bay::isolation::Isolation;
use crate::service::process::{self, ProcessId};

/// What a container is, as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// As it was asked for.
    pub spec: ContainerSpec,
}

/// How it stands, as its shim wrote it down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stand {
    /// Never run, and why not where that was tried.
    #[default]
    Made,
    /// The last start failed; why.
    Failed(String),
    /// It runs.
    Running {
        /// The boot that this is true in.
        boot: String,
        /// Its shim.
        shim: ProcessId,
        /// Its first process, by the machine's own numbers.
        first: ProcessId,
        /// Since when.
        since: Timestamp,
    },
    /// It has ended.
    Ended {
        /// With this code.
        code: i64,
        /// The kernel killed it for its memory.
        oom: bool,
        /// When.
        at: Timestamp,
        /// Why, when it was not by itself.
        error: String,
    },
}

impl Stand {
    /// As an engine tells it. A shim that is gone took its container with it.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Made => Status::Created { error: String::new() },
            Self::Failed(error) => Status::Created { error: error.clone() },
            Self::Running { boot, shim, first, since } => {
                let same_boot = !boot.is_empty() && *boot == process::boot();
                // As long as the shim lives, it is the one who says how it ended.
                if same_boot && shim.is_alive() {
                    return Status::Running { pid: first.pid, since: *since, paused: false };
                }
                let error =
                    if same_boot { "its shim was killed, and it with that" } else { "the machine was started anew" };
                Status::Exited { code: 137, oom: false, at: None, error: error.to_owned() }
            }
            Self::Ended { code, oom, at, error } => {
                Status::Exited { code: *code, oom: *oom, at: Some(*at), error: error.clone() }
            }
        }
    }
}

/// What its health check has come to in its present run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In a word.
    pub state: HealthState,
    /// Failed probes in a row.
    pub failed: u32,
}

/// The files of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(PathBuf);

impl Place {
    /// In this directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// What becomes `/`.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.0.join("rootfs")
    }

    /// Its log files.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// What its first process is to do.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.0.join("plan.json")
    }

    /// The same, as it was last written.
    #[must_use]
    pub fn planned(&self) -> Option<super::plan::Plan> {
        read(&self.plan()).ok()
    }

    /// The walls of the run that this was planned for; `None`: there was none yet.
    #[must_use]
    pub fn isolation(&self) -> Option<Isolation> {
        // Of each container that runs, at every look: the rest of the plan is passed over.
        #[derive(Deserialize)]
        struct Walls {
            allowed: Option<IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct Planned {
            #[serde(default)]
            bare: Option<Walls>,
        }
        let planned: Planned = read(&self.plan()).ok()?;
        Some(match planned.bare {
            None => Isolation::Namespaces,
            Some(Walls { allowed: Some(_) }) => Isolation::Landlock,
            Some(Walls { allowed: None }) => Isolation::None,
        })
    }

    /// Held by the shim as long as it lives.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("shim.lock")
    }

    /// Whether a shim has it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lock().exists() && matches!(lock(&self.lock()), Ok(None))
    }

    /// What a shim says before it listens.
    #[must_use]
    pub fn errors(&self) -> PathBuf {
        self.0.join("shim.err")
    }

    /// What it is.
    ///
    /// # Errors
    /// The system's; [`ErrorKind::NotFound`] when there is no such container.
    pub fn record(&self) -> io::Result<Record> {
        read(&self.0.join("spec.json"))
    }

    /// What it is called; `None`: it is gone.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        fs::read_to_string(self.0.join("name")).ok()
    }

    /// Gives it a name.
    ///
    /// # Errors
    /// The system's.
    pub fn set_name(&self, name: &str) -> io::Result<()> {
        replace(&self.0.join("name"), name.as_bytes())
    }

    /// How it stands.
    #[must_use]
    pub fn stand(&self) -> Stand {
        read(&self.0.join("state.json")).unwrap_or_default()
    }

    /// The same, as an engine tells it.
    #[must_use]
    pub fn status(&self) -> Status {
        let stand = self.stand();
        let status = stand.status();
        if matches!((&stand, &status), (Stand::Running { .. }, Status::Exited { .. })) {
            // Its shim may have written down the end between the two looks.
            return self.stand().status();
        }
        status
    }

    /// Whether its shim was killed in the middle of a run.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        matches!(self.stand(), Stand::Running { .. }) && !self.status().is_running()
    }

    /// Writes down how it stands.
    ///
    /// # Errors
    /// The system's.
    pub fn set_stand(&self, stand: &Stand) -> io::Result<()> {
        replace(&self.0.join("state.json"), &serde_json::to_vec(stand)?)
    }

    /// What its health check has come to; `None`: it has none, or does not run.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        read(&self.0.join("health.json")).ok()
    }

    /// Writes that down; `None`: nothing is known any more.
    pub fn set_verdict(&self, verdict: Option<Verdict>) {
        let path = self.0.join("health.json");
        // What can't be written is as good as not known.
        let _ = match verdict {
            Some(verdict) => {
                serde_json::to_vec(&verdict).map_err(io::Error::from).and_then(|text| replace(&path, &text))
            }
            None => fs::remove_file(path),
        };
    }

    /// Writes a file that only its owner reads.
    ///
    /// # Errors
    /// The system's.
    pub fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
        replace(path, &serde_json::to_vec(value)?)
    }

    /// Calls `with` on the path of the shim's socket: by the open directory, so that no state directory is too deep for
    /// a socket's name.
    ///
    /// # Errors
    /// The system's, and those of `with`.
    pub fn at_socket<T>(&self, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let dir = rustix::fs::open(&self.0, flags, rustix::fs::Mode::empty())?;
        with(Path::new(&format!("/proc/self/fd/{}/sock", dir.as_raw_fd())))
    }

    /// The container's id, also where it is being made.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.0.file_name()?.to_str()?.split('.').next()
    }

    /// Where it is made, by this process.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let maker = ProcessId::own();
        Self(self.0.with_extension(format!("{}-{}.new", maker.pid, maker.start)))
    }

    /// Makes its directories. Nobody sees anything of it until it is finished.
    ///
    /// # Errors
    /// The system's; nothing is left then.
    pub fn prepare(&self, unfold: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        let fresh = self.fresh();
        let made = (|| {
            DirBuilder::new().recursive(true).mode(0o700).create(&fresh.0)?;
            fs::create_dir(fresh.root())?;
            // Its own user must come in, whoever that is; nobody else comes this far.
            fs::set_permissions(fresh.root(), fs::Permissions::from_mode(0o755))?;
            unfold(&fresh.root())
        })();
        if made.is_err() {
            self.abandon();
        }
        made
    }

    /// Makes it of what was prepared, all at once.
    ///
    /// # Errors
    /// The system's; nothing is left then.
    pub fn finish(&self, record: &Record) -> io::Result<()> {
        let fresh = self.fresh();
        let made = (|| {
            Self::write(&fresh.0.join("spec.json"), record)?;
            fresh.set_name(record.spec.name.as_str())?;
            fs::rename(&fresh.0, &self.0)
        })();
        if made.is_err() {
            self.abandon();
        }
        made
    }

    /// Takes away what was prepared.
    pub fn abandon(&self) {
        self.fresh().discard();
    }

    /// Takes this directory away as it is.
    pub fn discard(&self) {
        // It is tried again by the next sweep.
        let _ = discard(&self.0);
    }

    /// Takes it away; already gone counts as done.
    ///
    /// # Errors
    /// The system's: what is left of it is taken away by the next [`sweep`].
    pub fn remove(&self) -> io::Result<()> {
        let gone = self.0.with_extension("gone");
        match fs::rename(&self.0, &gone) {
            Ok(()) => discard(&gone),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// All containers below one bay's state directory, in the order of their ids.
#[must_use]
pub fn all(containers: &Path) -> Vec<Place> {
    let entries = fs::read_dir(containers).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_id(path.file_name())).collect();
    found.sort();
    found.into_iter().map(Place).collect()
}

/// Takes away what a killed supervisor left half made or half taken away.
pub fn sweep(containers: &Path) {
    let entries = fs::read_dir(containers).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.extension().is_some_and(|end| end == "gone" || (end == "new" && !is_being_made(&path))) {
            let place = Place(path);
            // One that was made ahead may have had some.
            super::cgroup::leave(&place);
            place.discard();
        }
    }
}

/// Whether who makes it is still there: `<id>.<pid>-<start>.new`.
fn is_being_made(path: &Path) -> bool {
    let name = path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    let maker = name.split('.').nth(1).and_then(|maker| maker.split_once('-'));
    let maker = maker.and_then(|(pid, start)| Some(ProcessId { pid: pid.parse().ok()?, start: start.parse().ok()? }));
    maker.is_some_and(ProcessId::is_alive)
}

fn is_id(name: Option<&std::ffi::OsStr>) -> bool {
    let name = name.and_then(std::ffi::OsStr::to_str).unwrap_or_default();
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes a tree in which somebody may have closed directories to himself.
fn discard(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(dir);
            fs::remove_dir_all(dir)
        }
        other => other,
    }
}

fn open_up(dir: &Path) {
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    // Never through a link.
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        open_up(&entry.path());
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Not synced: after a power failure nothing runs any more, and the boot's number says so.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    drop(file);
    fs::rename(&fresh, path)
}

/// A lock that the kernel lets go of with its holder; `None`: another has it.
///
/// # Errors
/// The system's.
pub fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_of_another_boot_is_an_end() {
        let own = ProcessId::own();
        let since = Timestamp::now();
        let running = |boot: String, shim| Stand::Running { boot, shim, first: own, since };
        assert!(running(process::boot(), own).status().is_running());
        let gone = ProcessId { start: own.start + 1, ..own };
        for (stand, word) in [(running("x".to_owned(), own), "anew"), (running(process::boot(), gone), "killed")] {
            let Status::Exited { code: 137, error, .. } = stand.status() else { panic!("{stand:?}") };
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(Stand::default().status(), Status::Created { error: String::new() });
    }

    #[test]
    fn what_is_half_made_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let id = "ab".repeat(32);
        let own = ProcessId::own();
        let young = format!("{id}.{}-{}.new", own.pid, own.start);
        let old = format!("{id}.{}-{}.new", own.pid, own.start + 1);
        for name in [id.clone(), young.clone(), old, format!("{id}.new"), format!("{id}.gone"), "note".to_owned()] {
            fs::create_dir_all(folder.path().join(name).join("rootfs/closed")).unwrap();
        }
        let closed = folder.path().join(format!("{id}.gone/rootfs/closed"));
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        assert_eq!(all(folder.path()).len(), 1);
        sweep(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [id.as_str(), young.as_str(), "note"]);
        Place::new(folder.path().join(&id)).remove().unwrap();
        Place::new(folder.path().join(&id)).remove().unwrap();
        assert_eq!(all(folder.path()), []);
    }
}
