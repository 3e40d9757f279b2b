//! The volumes of a bay: directories of the state that the clones of one repository share, and who uses them.
//!
//! A directory and no volume of the engine's: it belongs to the workers' user from the start, where an engine would give
//! it to root; it is seen and cleared without the engine; and it lies where the clones lie.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bay::template::short_hash;

use super::paths::{Paths, private_dir, told};

/// Beside each directory: which repository it is of.
const OF: &str = "of";

/// In a worker's directory: the volume that it named, as [`Volume::identity`] has it.
pub const VOLUME: &str = "volume";

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its directory.
    pub path: PathBuf,
    /// Its repository's identity, or that it was asked for by its name; empty: it does not say.
    pub identity: String,
    /// Workers whose clones are of that repository.
    pub used_by: Vec<String>,
}

impl Paths {
    /// `volumes/`.
    #[must_use]
    pub fn volumes_dir(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// The directory of a volume, made if need be. The first repository of a name has the plain one; another one that
    /// would be called the same has a part of its identity's hash behind it.
    ///
    /// # Errors
    /// The system's.
    pub fn volume(&self, name: &str, identity: &str) -> io::Result<PathBuf> {
        let root = self.volumes_dir();
        private_dir(&root)?;
        let other = format!("{name}~{}", short_hash(identity.as_bytes()));
        let fits = |name: &&str| of(&root.join(name)).is_none_or(|known| known == identity);
        let path = root.join([name].into_iter().find(fits).unwrap_or(&other));
        private_dir(&path)?;
        fs::write(beside(&path), identity).map_err(|error| told("can't write", &beside(&path), &error))?;
        Ok(path)
    }

    /// All volumes, by name. A worker uses one as long as its directory is there, whether it runs or not.
    #[must_use]
    pub fn volumes(&self) -> Vec<Volume> {
        let users = self.users();
        let entries = fs::read_dir(self.volumes_dir()).into_iter().flatten().flatten();
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut volumes: Vec<Volume> = dirs
            .map(|entry| {
                let identity = of(&entry.path()).unwrap_or_default();
                let used_by = users.iter().filter(|(_, of)| *of == identity).map(|(name, _)| name.clone()).collect();
                Volume { path: entry.path(), identity, used_by }
            })
            .collect();
        volumes.sort_by(|a, b| a.path.cmp(&b.path));
        volumes
    }

    /// Workers with a clone or a volume that they named, and which.
    fn users(&self) -> Vec<(String, String)> {
        #[derive(Deserialize)]
        struct Clone {
            identity: String,
        }
        let workers = fs::read_dir(self.state.join("workers")).into_iter().flatten().flatten();
        // What the pool left is a link to the worker that it became.
        let workers = workers.filter(|worker| worker.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut users: Vec<(String, String)> = Vec::new();
        for worker in workers {
            let clone = fs::read(worker.path().join("clone.json")).ok();
            let clone = clone.and_then(|text| serde_json::from_slice::<Clone>(&text).ok()).map(|clone| clone.identity);
            let named = fs::read_to_string(worker.path().join(VOLUME)).ok();
            let name = worker.file_name().to_string_lossy().into_owned();
            users.extend(clone.into_iter().chain(named).map(|identity| (name.clone(), identity)));
        }
        users.sort();
        users
    }
}

impl Volume {
    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.path).map_err(|error| told("can't remove", &self.path, &error))?;
        fs::remove_file(beside(&self.path))
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }

    /// Bytes on the disk, as `du` counts them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        bytes(&self.path)
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(OF);
    path.with_file_name(name)
}

fn of(path: &Path) -> Option<String> {
    fs::read_to_string(beside(path)).ok()
}

/// No link is followed.
fn bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    let below = fs::read_dir(path).into_iter().flatten().flatten().filter(|_| meta.is_dir());
    meta.blocks() * 512 + below.map(|entry| bytes(&entry.path())).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_never_shared_by_two_repositories_and_users_are_known() {
        let room = tempfile::tempdir().unwrap();
        let state = room.path().join("bay");
        fs::create_dir_all(state.join("workers/fox")).unwrap();
        let paths = Paths { state: state.clone(), socket: "/s".into(), config: "/c".into() };
        let one = paths.volume("a-b-c-deps", "github.com/a-b/c").unwrap();
        let other = paths.volume("a-b-c-deps", "github.com/a/b-c").unwrap();
        assert_eq!(one, state.join("volumes/a-b-c-deps"));
        assert_ne!(one, other);
        assert_eq!(paths.volume("a-b-c-deps", "github.com/a-b/c").unwrap(), one);
        assert_eq!(paths.volume("a-b-c-deps", "github.com/a/b-c").unwrap(), other);
        fs::write(state.join("workers/fox/clone.json"), r#"{"identity": "github.com/a/b-c"}"#).unwrap();
        std::os::unix::fs::symlink("fox", state.join("workers/warm-1")).unwrap();
        let named = paths.volume("a-b-c-deps", "volume a-b-c-deps").unwrap();
        assert!(named != one && named != other);
        fs::write(state.join("workers/fox").join(VOLUME), "volume a-b-c-deps").unwrap();
        assert_eq!(paths.volumes().iter().find(|volume| volume.path == named).unwrap().used_by, ["fox"]);
        paths.volumes().into_iter().find(|volume| volume.path == named).unwrap().remove().unwrap();
        fs::write(one.join("file"), vec![1; 100_000]).unwrap();
        let volumes = paths.volumes();
        assert_eq!(volumes.len(), 2);
        let used: Vec<_> = volumes.iter().map(|volume| volume.used_by.len()).collect();
        assert_eq!((used, volumes[1].used_by.clone()), (vec![0, 1], vec!["fox".to_owned()]));
        assert!(volumes[0].bytes() >= 100_000);
        volumes[0].remove().unwrap();
        assert_eq!(paths.volumes().len(), 1);
        assert!(!beside(&one).exists());
    }
}
