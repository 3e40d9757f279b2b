//! What a setup must remember: a file of the worker's own, that only its owner reads and that goes with the worker.
//!
//! A supervisor that is killed leaves a setup half done. Whoever comes next finds here what was asked for, how far it
//! was, and who waits for a word.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::token::Digest;
use crate::api::types::{SetupReport, SetupRequest};
use crate::bay::name::Name;
use crate::config::paths::Paths;
use crate::supervisor::store::write_file;
use crate::workspace::SETUP;

/// The version of the file.
const VERSION: u32 = 1;
/// A larger file is none of ours: a request has at most a megabyte.
const MOST_BYTES: u64 = 8 << 20;

/// What is in the file.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Of the file.
    pub version: u32,
    /// Environment of what is run in the worker from here on.
    pub env: BTreeMap<String, String>,
    /// The secret that opens the terminal of a container with this id.
    pub opens: Option<(String, Digest)>,
    /// One that has not come to its end.
    pub underway: Option<Underway>,
}

/// A setup that has not come to its end.
#[derive(Clone, Serialize, Deserialize)]
pub struct Underway {
    /// Tells it from a later one.
    pub turn: String,
    /// The id that its client was told.
    pub container: String,
    /// When it was asked for.
    pub begun: Timestamp,
    /// How often a supervisor has begun it.
    pub tries: u32,
    /// What was asked for, without what is no longer needed.
    pub request: SetupRequest,
    /// What the processes of the setup command have in their environment.
    pub marker: Option<String>,
    /// Its last word: nothing is to be done any more but to say it.
    pub told: Option<SetupReport>,
}

/// The files of all workers. Reads and writes block, for a moment.
#[derive(Clone)]
pub struct Files {
    paths: Arc<Paths>,
    /// One at a time reads and writes.
    turn: Arc<Mutex<()>>,
}

impl Files {
    pub fn new(paths: Arc<Paths>) -> Self {
        Self { paths, turn: Arc::default() }
    }

    /// What a worker's file holds; nothing where there is none.
    pub fn of(&self, name: &Name) -> Kept {
        read(&self.paths.worker(name)).unwrap_or_default()
    }

    /// Puts another setup in place of whatever was there.
    pub fn begin(&self, name: &Name, kept: &Kept) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        write(&self.paths.worker(name), kept)
    }

    /// Changes what is kept of this setup. Of one that is gone with its worker, or over, there is nothing to change.
    pub fn change(&self, name: &Name, turn: &str, change: impl FnOnce(&mut Kept)) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = self.paths.worker(name);
        let Some(mut kept) = read(&worker) else { return Ok(()) };
        if kept.underway.as_ref().is_none_or(|underway| underway.turn != turn) {
            return Ok(());
        }
        change(&mut kept);
        write(&worker, &kept)
    }

    /// All workers that have one.
    pub fn all(&self) -> Vec<(Name, Kept)> {
        let workers = fs::read_dir(self.paths.state.join("workers")).into_iter().flatten().flatten();
        // What the pool left is a link to the worker that it became.
        let workers = workers.filter(|worker| worker.file_type().is_ok_and(|kind| kind.is_dir()));
        let named = workers.filter_map(|worker| worker.file_name().to_str()?.parse::<Name>().ok());
        named.filter_map(|name| Some((name.clone(), read(&self.paths.worker(&name))?))).collect()
    }
}

/// A file that can't be read is none: nothing of a worker hangs on it.
fn read(worker: &Path) -> Option<Kept> {
    let path = worker.join(SETUP);
    let small = fs::metadata(&path).ok()?.len() <= MOST_BYTES;
    let kept: Kept = serde_json::from_slice(&fs::read(path).ok().filter(|_| small)?).ok()?;
    (kept.version == VERSION).then_some(kept)
}

fn write(worker: &Path, kept: &Kept) -> io::Result<()> {
    let path: PathBuf = worker.join(SETUP);
    let fresh = path.with_extension("new");
    let bytes = serde_json::to_vec(&Kept { version: VERSION, ..kept.clone() })?;
    write_file(&fresh, &bytes, true).and_then(|()| fs::rename(&fresh, &path)).inspect_err(|_| {
        drop(fs::remove_file(&fresh));
    })?;
    fs::File::open(worker)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn underway(turn: &str) -> Underway {
        Underway {
            turn: turn.to_owned(),
            container: "c1".to_owned(),
            begun: Timestamp::UNIX_EPOCH,
            tries: 1,
            request: SetupRequest { repo: "a/b".to_owned(), ..SetupRequest::default() },
            marker: None,
            told: None,
        }
    }

    #[test]
    fn a_setup_is_kept_for_its_owner_and_changed_by_itself_alone() {
        let room = tempfile::tempdir().unwrap();
        let state = room.path().join("bay");
        fs::create_dir_all(state.join("workers/fox")).unwrap();
        let files = Files::new(Arc::new(Paths { state: state.clone(), socket: "/s".into(), config: "/c".into() }));
        let name: Name = "fox".parse().unwrap();
        assert!(files.of(&name).underway.is_none() && files.all().is_empty());
        let env = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
        files.begin(&name, &Kept { env, underway: Some(underway("1")), ..Kept::default() }).unwrap();
        let file = state.join("workers/fox").join(SETUP);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        files.change(&name, "2", |kept| kept.env.clear()).unwrap();
        assert_eq!(files.all()[0].1.env["A"], "b", "another one has nothing to say");
        files.change(&name, "1", |kept| kept.underway = None).unwrap();
        assert!(files.of(&name).underway.is_none() && files.of(&name).env["A"] == "b");
        for damaged in ["", "{", "{\"version\": 2}", "[]"] {
            fs::write(&file, damaged).unwrap();
            assert!(files.of(&name).env.is_empty() && files.all().is_empty(), "{damaged:?}");
        }
        fs::remove_dir_all(state.join("workers/fox")).unwrap();
        files.change(&name, "1", |kept| kept.underway = None).unwrap();
        assert!(!state.join("workers/fox").exists(), "a worker that is gone is not brought back");
    }
}
