//! What must outlive the supervisor and can't be read off the engine.
//!
//! One file, `state.json`: written to a temporary one, synced, renamed, the directory synced, the one before kept as
//! `state.json.prev`. What need not wait for the disk leaves the last one that did as `state.json.synced`. A damaged file
//! is moved aside, never a reason not to start; a file of a later version is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bay::container::ContainerId;
use crate::bay::lifecycle::Memory;
use crate::bay::name::Name;
use crate::bay::outgoing::Rule;
use crate::bay::owner::{Nonce, OwnerKey};
use crate::bay::template::{Overrides, WorkspaceMode};

use super::goal::{Goal, GoalKind};
use super::machine::Want;

/// The version of the state file that this podbay writes.
pub const VERSION: u32 = 1;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// [`VERSION`] when written.
    pub version: u32,
    /// Goals that are not reached yet, by name inside the bay.
    #[serde(default)]
    pub goals: BTreeMap<String, Goal>,
    /// Which container was made with which nonce: labels can be copied, ids can't.
    #[serde(default)]
    pub ours: BTreeMap<Nonce, ContainerId>,
    /// Names that the user stopped.
    #[serde(default)]
    pub stopped: BTreeSet<String>,
    /// What is wanted of services; those that are not here: nothing.
    #[serde(default)]
    pub services: BTreeMap<Name, Want>,
    /// Services whose start is due: they wait for others, or for a port.
    #[serde(default)]
    pub services_due: BTreeSet<Name>,
    /// The number of the run that each of these starts comes after: a later run is what was asked for.
    #[serde(default)]
    pub services_due_after: BTreeMap<Name, u64>,
    /// Somebody brought the services up, and nobody down since.
    #[serde(default)]
    pub services_up: bool,
    /// Somebody brought the bay up or asked it for a worker, and nobody took it down since: pools are kept full.
    #[serde(default)]
    pub pools_up: bool,
    /// The boot that services were last looked at in.
    #[serde(default)]
    pub services_boot: String,
    /// Container services that were given up until somebody starts them.
    #[serde(default)]
    pub services_failed: BTreeSet<Name>,
    /// What the rules of container services remember: a native one's shim keeps that itself. Times of starts are left out:
    /// they are of one supervisor's clock.
    #[serde(default)]
    pub services_past: BTreeMap<Name, Memory>,
    /// Those times and others of container services, by the wall clock.
    #[serde(default)]
    pub services_times: BTreeMap<Name, ServiceTimes>,
    /// Container services that have said the line that they are ready by, with the start of that run: the engine may not
    /// have the line any more.
    #[serde(default)]
    pub services_said: BTreeMap<Name, Timestamp>,
    /// Names that ran when last seen: what a reboot or a restarted engine took down is brought back.
    #[serde(default)]
    pub running: BTreeSet<String>,
    /// Names that are being removed with all that is in their clones, because their user said so.
    #[serde(default)]
    pub discard: BTreeSet<String>,
    /// Removed workers whose directories are still to be cleared; `true`: with what is in their clones.
    #[serde(default)]
    pub forgetting: BTreeMap<String, bool>,
    /// How often podbay started each again.
    #[serde(default)]
    pub restarts: BTreeMap<String, u32>,
    /// What workers of the pool were claimed with.
    #[serde(default)]
    pub claims: BTreeMap<ContainerId, Claim>,
    /// What was asked of pools beyond the configuration, by template.
    #[serde(default)]
    pub pools: BTreeMap<Name, PoolWish>,
    /// What was answered about names outside of the bay.
    #[serde(default)]
    pub network: Spoken,
    /// When all was last seen well, by the wall clock.
    #[serde(default)]
    pub seen_at: Option<Timestamp>,
    /// The boot that it was seen in.
    #[serde(default)]
    pub boot: String,
}

/// What was answered about names outside of the bay, beyond the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// Let through.
    #[serde(default)]
    pub allowed: BTreeSet<Rule>,
    /// Refused without asking.
    #[serde(default)]
    pub refused: BTreeSet<Rule>,
}

/// What a warm worker was claimed with. Once there is one, the worker is used: it never goes back to the pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What was asked for beyond the template. Not in a label: labels are fixed when a container is made.
    pub overrides: Overrides,
    /// Its claimer's name: this file is the commit point of a claim, and the engine's name follows. `None`: a claim of an
    /// older podbay, which had the engine's name first.
    #[serde(default)]
    pub name: Option<Name>,
    /// The run whose gate was opened.
    #[serde(default)]
    pub opened: Option<Timestamp>,
    /// The run whose gate was seen to have taken it: until then, the line that wakes it may be lost with the supervisor.
    #[serde(default)]
    pub taken: Option<Timestamp>,
    /// What the template said then: a later one is for workers that are made later. `None`: a claim of an older podbay.
    #[serde(default)]
    pub made_of: Option<MadeOf>,
    /// How often its gate did not take the claim in time.
    #[serde(default)]
    pub shut: u32,
}

/// What a claimed worker becomes in each of its runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeOf {
    /// Whose its files are, as the template says it.
    pub user: String,
    /// Its program, entrypoint first; empty: it runs without a gate.
    pub argv: Vec<String>,
    /// What is put into its workspace.
    pub workspace: WorkspaceMode,
    /// Which.
    pub project: String,
}

/// When what happened to a container service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceTimes {
    /// When it was started lately, oldest first.
    #[serde(default)]
    pub starts: Vec<Timestamp>,
    /// Since when its present run is ready.
    #[serde(default)]
    pub ready: Option<Timestamp>,
    /// When it is started again.
    #[serde(default)]
    pub next: Option<Timestamp>,
}

/// What was asked of a pool beyond the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolWish {
    /// Warm workers to keep, in place of the configuration's number.
    #[serde(default)]
    pub target: Option<u32>,
}

impl Stored {
    /// Without what a claim changes: that is safe in the system's memory against a kill, and what a power cut would take
    /// ends the warm worker, too.
    #[must_use]
    pub fn but_for_claims(&self) -> Self {
        let mut rest = self.clone();
        rest.claims.clear();
        rest.goals.retain(|_, goal| !matches!(goal.kind, GoalKind::Claimed { .. } | GoalKind::Named));
        rest
    }
}

/// Why there is no state to start from.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later podbay wrote it.
    #[error("{} was written by a later podbay (version {found}, this one reads up to {VERSION}); use that one, or move the file away", path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The system says no.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

/// The state file of one bay.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// The file in force may not be on the disk yet.
    hasty: AtomicBool,
}

const FILE: &str = "state.json";
const SYNCED: &str = "state.json.synced";
const PREVIOUS: &str = "state.json.prev";
/// What is being written, or the empty file that it will be written into.
const NEW: &str = "state.json.new";
const KEY: &str = "owner.key";
/// A state file larger than this is not one of ours.
const MAX_BYTES: u64 = 16 << 20;

impl Store {
    /// The store in a bay's state directory, which exists.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), hasty: AtomicBool::new(false) }
    }

    /// What was last written, and what had to be done to read it, in words.
    ///
    /// # Errors
    /// [`StoreError::Later`], or what the system says of the directory.
    pub fn load(&self) -> Result<(Stored, Vec<String>), StoreError> {
        let mut troubles = Vec::new();
        for name in [FILE, SYNCED, PREVIOUS] {
            let path = self.dir.join(name);
            match read(&path) {
                Ok(Some(stored)) => return Ok((stored, troubles)),
                Ok(None) => {}
                Err(Damage::Later(found)) => return Err(StoreError::Later { path, found }),
                Err(Damage::Unreadable(why)) => troubles.push(self.set_aside(&path, &why)),
            }
        }
        Ok((Stored::default(), troubles))
    }

    fn set_aside(&self, path: &Path, why: &str) -> String {
        let aside =
            (0..1000).map(|n| self.dir.join(format!("state.json.bad-{n}"))).find(|candidate| !candidate.exists());
        match aside.and_then(|aside| fs::rename(path, &aside).ok().map(|()| aside)) {
            Some(aside) => format!("{} could not be read ({why}); it is now {}", path.display(), aside.display()),
            None => format!("{} could not be read ({why}), nor moved away", path.display()),
        }
    }

    /// Writes the state; what was there stays whole until the new one is on the disk.
    ///
    /// # Errors
    /// What the system says: then the old file is still the one in force.
    pub fn save(&self, stored: &Stored) -> io::Result<()> {
        self.write(stored, true)?;
        File::open(&self.dir)?.sync_all()?;
        // Ahead of the next jot: to make a file takes longer than to write it. Without it, that one makes it.
        drop(write_file(&self.dir.join(NEW), &[], false));
        Ok(())
    }

    /// The same, but does not wait for the disk: safe against the end of this process, not against that of the machine.
    ///
    /// # Errors
    /// What the system says.
    pub fn jot(&self, stored: &Stored) -> io::Result<()> {
        self.write(stored, false)
    }

    fn write(&self, stored: &Stored, synced: bool) -> io::Result<()> {
        let path = self.dir.join(FILE);
        let mut bytes = serde_json::to_vec_pretty(stored)?;
        bytes.push(b'\n');
        if bytes.len() as u64 > MAX_BYTES {
            // The next supervisor would not read it; what is there is older, but whole.
            return Err(io::Error::other(format!("the state has grown to {} bytes, over {MAX_BYTES}", bytes.len())));
        }
        let fresh = self.dir.join(NEW);
        write_file(&fresh, &bytes, synced).inspect_err(|_| drop(fs::remove_file(&fresh)))?;
        self.keep_synced(&path, synced);
        fs::rename(&fresh, &path)?;
        self.hasty.store(!synced, Ordering::Relaxed);
        Ok(())
    }

    /// One of the names always holds what is on the disk. Losing a race for one costs only the older copy.
    fn keep_synced(&self, path: &Path, synced: bool) {
        let (kept, previous) = (self.dir.join(SYNCED), self.dir.join(PREVIOUS));
        let hasty = self.hasty.load(Ordering::Relaxed);
        if !synced {
            // Somebody waits: nothing is removed here, which would free what it held.
            if !hasty && fs::hard_link(path, &kept).is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
                drop(fs::rename(&kept, &previous).and_then(|()| fs::hard_link(path, &kept)));
            }
        } else if fs::rename(&kept, &previous).is_err() && path.is_file() && !hasty {
            drop(fs::remove_file(&previous));
            drop(fs::hard_link(path, &previous));
        }
    }

    /// The bay's key, made on first use.
    ///
    /// # Errors
    /// What the system says, or that the file does not hold a key.
    pub fn key(&self) -> Result<OwnerKey, StoreError> {
        let path = self.dir.join(KEY);
        let at = |error| StoreError::Io { path: path.clone(), error };
        match fs::read(&path) {
            Ok(bytes) => {
                let bytes: [u8; 32] =
                    bytes.try_into().map_err(|_| at(io::Error::other("it does not hold a key of 32 bytes")))?;
                Ok(OwnerKey::new(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes: [u8; 32] = random().map_err(at)?;
                let fresh = path.with_extension("new");
                write_file(&fresh, &bytes, true).map_err(at)?;
                fs::rename(&fresh, &path).map_err(at)?;
                Ok(OwnerKey::new(bytes))
            }
            Err(error) => Err(at(error)),
        }
    }
}

enum Damage {
    Unreadable(String),
    Later(u32),
}

fn read(path: &Path) -> Result<Option<Stored>, Damage> {
    let unreadable = |error: &dyn std::fmt::Display| Damage::Unreadable(error.to_string());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    let head: Version = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
    if head.version > VERSION {
        return Err(Damage::Later(head.version));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(&error))
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Writes a file that only its owner reads.
///
/// # Errors
/// What the system says.
pub fn write_file(path: &Path, bytes: &[u8], synced: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    if synced { file.sync_all() } else { Ok(()) }
}

/// Random bytes of the system's.
///
/// # Errors
/// What the system says.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The present boot of this machine; empty where the kernel does not tell.
#[must_use]
pub fn boot() -> String {
    crate::service::process::boot()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Stored {
        Stored { version: VERSION, restarts: BTreeMap::from([("fox".to_owned(), 3)]), ..Stored::default() }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        (dir, store)
    }

    #[test]
    fn what_was_waited_for_stays_beside_what_was_not() {
        let (dir, store) = store();
        let numbered = |n: u32| Stored { restarts: BTreeMap::from([("fox".to_owned(), n)]), ..some() };
        store.save(&numbered(1)).unwrap();
        store.save(&numbered(2)).unwrap();
        for jotted in 3..6 {
            store.jot(&numbered(jotted)).unwrap();
            fs::write(dir.path().join(FILE), "").unwrap();
            assert_eq!(Store::new(dir.path()).load().unwrap().0, numbered(2), "a power cut after {jotted}");
            store.jot(&numbered(jotted)).unwrap();
        }
        store.save(&numbered(6)).unwrap();
        store.save(&numbered(7)).unwrap();
        fs::write(dir.path().join(FILE), "").unwrap();
        assert_eq!(Store::new(dir.path()).load().unwrap().0, numbered(6));
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let (_dir, store) = store();
        assert_eq!(store.load().unwrap(), (Stored::default(), vec![]));
        store.save(&some()).unwrap();
        assert_eq!(store.load().unwrap(), (some(), vec![]));
    }

    #[test]
    fn k10_a_damaged_file_is_set_aside_and_the_previous_one_used() {
        let (dir, store) = store();
        store.save(&some()).unwrap();
        store.save(&Stored { restarts: BTreeMap::new(), ..some() }).unwrap();
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() - 2 {
            fs::write(&path, &whole[..cut]).unwrap();
            let previous = dir.path().join(PREVIOUS);
            let kept = fs::read(&previous).unwrap();
            let (stored, troubles) = store.load().unwrap();
            assert_eq!(stored, some(), "cut at {cut}");
            assert_eq!(troubles.len(), 1, "cut at {cut}");
            fs::write(previous, kept).unwrap();
        }
    }

    #[test]
    fn k10_flipped_bits_a_directory_and_nothing_readable_never_stop_the_start() {
        let (dir, store) = store();
        store.save(&some()).unwrap();
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x80;
            fs::write(&path, &bytes).unwrap();
            store.load().unwrap();
        }
        drop(fs::remove_file(&path));
        fs::create_dir(&path).unwrap();
        let (_, troubles) = store.load().unwrap();
        assert!(!troubles.is_empty());
        store.save(&some()).unwrap();
        assert_eq!(store.load().unwrap().0, some());
    }

    #[test]
    fn what_would_not_be_read_is_not_written() {
        let (_dir, store) = store();
        store.save(&some()).unwrap();
        let env = [("A".to_owned(), "x".repeat(17 << 20))].into();
        let claim = Claim { overrides: Overrides { env, ..Overrides::default() }, ..Claim::default() };
        let large = Stored { claims: [(ContainerId::new("a".repeat(64)), claim)].into(), ..some() };
        assert!(store.save(&large).unwrap_err().to_string().contains("grown to"));
        assert_eq!(store.load().unwrap(), (some(), vec![]));
    }

    #[test]
    fn k10_a_later_version_is_refused_in_words() {
        let (dir, store) = store();
        fs::write(dir.path().join(FILE), br#"{"version": 2, "new": true}"#).unwrap();
        let error = store.load().unwrap_err().to_string();
        assert!(error.contains("later podbay (version 2, this one reads up to 1)"), "{error}");
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_reads_it() {
        let (dir, store) = store();
        let bay = "bay".parse().unwrap();
        let nonce = Nonce::from_bytes([7; 16]);
        let sign = |store: &Store| store.key().unwrap().sign(&bay, crate::bay::container::Role::Worker, &nonce);
        assert_eq!(sign(&store), sign(&store));
        let mode = fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
