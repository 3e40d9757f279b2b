//! The file of what a dashboard remembers: `dashboard.json` in the bay's state directory.
//!
//! It is a comfort. What can't be read is as if it were not there, what can't be written is said in the log, once.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::model::memory::Remembered;

/// A file that is longer is none of ours.
const LONGEST: u64 = 64 << 10;

/// The file of one bay.
#[derive(Debug)]
pub struct MemoryFile {
    path: PathBuf,
    failed: bool,
}

impl MemoryFile {
    /// The one in this state directory.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self { path: state.join("dashboard.json"), failed: false }
    }

    /// What was remembered; `None`: nothing, or nothing that can be read.
    #[must_use]
    pub fn read(&self) -> Option<Remembered> {
        // A pipe in its place would be waited for.
        if !fs::metadata(&self.path).ok()?.is_file() {
            return None;
        }
        let mut text = String::new();
        File::open(&self.path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
        Remembered::read(&text)
    }

    /// Writes a new file and puts it in the old one's place. Not synced: after a power cut the layout of some hours ago
    /// is as good.
    pub fn write(&mut self, remembered: &Remembered) {
        let fresh = self.path.with_extension(format!("json.{}", std::process::id()));
        let written = write(&fresh, remembered.write().as_bytes()).and_then(|()| fs::rename(&fresh, &self.path));
        if let Err(error) = written {
            let _ = fs::remove_file(&fresh);
            if !std::mem::replace(&mut self.failed, true) {
                tracing::warn!("{}: the dashboard's layout is not remembered: {error}", self.path.display());
            }
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = MemoryFile::of(dir.path());
        assert_eq!(file.read(), None);
        file.write(&Remembered::default());
        file.write(&Remembered::default());
        assert_eq!(file.read(), Some(Remembered::default()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_can_not_be_read_or_written_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let mut nowhere = MemoryFile::of(&dir.path().join("not/there"));
        nowhere.write(&Remembered::default());
        assert!(nowhere.failed && nowhere.read().is_none());
        let path = dir.path().join("dashboard.json");
        for garbage in [&b"\xff\xfe"[..], b"{\"kept\": \"all\"}", &[b'['; 10_000]] {
            fs::write(&path, garbage).unwrap();
            assert_eq!(MemoryFile::of(dir.path()).read(), None);
        }
        // A directory in its place: neither can be done, and it stays.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let mut taken = MemoryFile::of(dir.path());
        taken.write(&Remembered::default());
        assert!(taken.failed && taken.read().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "what was begun is removed");
    }
}
