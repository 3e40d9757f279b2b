//! Makes directories and files for one worker, and takes them back unless the whole succeeds.
//!
//! A worker may write to its home, and podbay may be root: a symlink that an agent left there must not lead podbay to
//! another place. So every step is taken from an open directory, and none follows a symlink.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, open, openat, unlinkat};
use rustix::io::Errno;

use crate::config::paths::told;

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// One worker's directory while it is being prepared. Dropped before [`Build::keep`], it leaves nothing new.
pub struct Build {
    /// `workers/<name>`.
    path: PathBuf,
    root: OwnedFd,
    owner: Option<(u32, u32)>,
    made: Vec<Made>,
}

/// Something that was not there before.
struct Made {
    parent: OwnedFd,
    name: PathBuf,
    is_dir: bool,
}

impl Build {
    /// Opens `workers/<name>`, made if need be. `owner`: whom everything made below it is given to.
    pub fn start(workers: &Path, name: impl AsRef<Path>, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let path = workers.join(&name);
        let above = open(workers, DIR, Mode::empty()).map_err(|error| told("can't open", workers, &error.into()))?;
        let mut made = Vec::new();
        // The worker's directory itself stays with the invoking user.
        let root = enter(&above, name.as_ref(), None, &mut made)
            .map_err(|error| told("can't make the directory", &path, &error))?;
        Ok(Self { path, root, owner, made })
    }

    /// Makes a directory, and what is missing above it; answers with its path. It belongs to the worker's user even if
    /// it was made for another one before.
    pub fn dir(&mut self, below: &Path) -> io::Result<PathBuf> {
        let path = self.path.join(below);
        let given = self.walk(below).and_then(|dir| give(&dir, self.owner));
        given.map(|()| path.clone()).map_err(|error| told("can't make the directory", &path, &error))
    }

    /// Makes a file with this mode and content. Whatever is there already is kept; says whether it was made.
    pub fn file(&mut self, below: &Path, mode: u32, content: &[u8]) -> io::Result<bool> {
        let path = self.path.join(below);
        self.new_file(below, mode, content).map_err(|error| told("can't write", &path, &error))
    }

    /// Puts this content in a file, in place of what is there.
    pub fn replace(&mut self, below: &Path, mode: u32, content: &[u8]) -> io::Result<PathBuf> {
        let path = self.path.join(below);
        let fail = |error: &io::Error| told("can't write", &path, error);
        if std::fs::read(&path).is_ok_and(|old| old == content) {
            return Ok(path);
        }
        if self.new_file(below, mode, content).map_err(|error| fail(&error))? {
            return Ok(path);
        }
        // A new file under the old name: a reader sees the old or the new, never half of it.
        let fresh = below.with_file_name(".new");
        let _ = std::fs::remove_file(self.path.join(&fresh));
        self.new_file(&fresh, mode, content).map_err(|error| fail(&error))?;
        std::fs::rename(self.path.join(&fresh), &path).map_err(|error| fail(&error))?;
        self.made.retain(|made| made.name != Path::new(".new"));
        Ok(path)
    }

    /// The same, but into the empty file that was made for it, if it is still that: to make a file can take far longer
    /// than to write into one. What it holds is not taken back by a drop.
    pub fn fill(&mut self, below: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(below);
        let filled = self.walk(below.parent().unwrap_or(Path::new(""))).and_then(|dir| {
            let name = below.file_name().ok_or(Errno::INVAL)?;
            match openat(&dir, name, OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
                Ok(fd) => self.fill_file(&mut File::from(fd), mode, content),
                Err(Errno::NOENT | Errno::LOOP) => Ok(false),
                Err(error) => Err(error.into()),
            }
        });
        if filled.map_err(|error| told("can't write", &path, &error))? {
            return Ok(());
        }
        self.replace(below, mode, content).map(drop)
    }

    fn fill_file(&self, file: &mut File, mode: u32, content: &[u8]) -> io::Result<bool> {
        let found = file.metadata()?;
        let owner = self.owner.map_or_else(|| rustix::process::geteuid().as_raw(), |(uid, _)| uid);
        let fresh = found.is_file() && found.len() == 0 && found.nlink() == 1;
        if !fresh || found.uid() != owner || found.mode() & 0o7777 != mode {
            return Ok(false);
        }
        file.write_all(content)?;
        Ok(true)
    }

    /// Everything made so far stays.
    pub fn keep(mut self) {
        self.made.clear();
    }

    fn new_file(&mut self, below: &Path, mode: u32, content: &[u8]) -> io::Result<bool> {
        let dir = self.walk(below.parent().unwrap_or(Path::new("")))?;
        let name = below.file_name().map(PathBuf::from).ok_or(Errno::INVAL)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match openat(&dir, &name, flags, crate::config::paths::mode(mode)) {
            Ok(fd) => fd,
            Err(Errno::EXIST) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.made.push(Made { parent: dir, name, is_dir: false });
        let mut file = File::from(fd);
        file.write_all(content)?;
        give(&file, self.owner)?;
        Ok(true)
    }

    fn walk(&mut self, below: &Path) -> io::Result<OwnedFd> {
        let mut dir = self.root.try_clone()?;
        for part in below.components() {
            let Component::Normal(name) = part else { return Err(Errno::INVAL.into()) };
            dir = enter(&dir, Path::new(name), self.owner, &mut self.made)?;
        }
        Ok(dir)
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        while let Some(Made { parent, name, is_dir }) = self.made.pop() {
            let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            if let Err(error) = unlinkat(&parent, &name, flags) {
                tracing::warn!(path = %self.path.join(&name).display(), %error, "left behind by a failed preparation");
            }
        }
    }
}

/// Opens a directory in another, made 0700 if it is not there. A symlink is not followed.
fn enter(above: &OwnedFd, name: &Path, owner: Option<(u32, u32)>, made: &mut Vec<Made>) -> io::Result<OwnedFd> {
    let new = match mkdirat(above, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    if new {
        made.push(Made { parent: above.try_clone()?, name: name.to_owned(), is_dir: true });
    }
    let dir = openat(above, name, DIR | OFlags::NOFOLLOW, Mode::empty())?;
    if new {
        give(&dir, owner)?;
    }
    Ok(dir)
}

fn give(file: impl AsFd, owner: Option<(u32, u32)>) -> io::Result<()> {
    owner.map_or(Ok(()), |(uid, gid)| std::os::unix::fs::fchown(file, Some(uid), Some(gid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_leaves_nothing_and_what_succeeds_stays() {
        let room = tempfile::tempdir().unwrap();
        let mut build = Build::start(room.path(), "fox", None).unwrap();
        build.dir(Path::new("home/a/b")).unwrap();
        assert!(build.file(Path::new("home/a/f"), 0o600, b"x").unwrap());
        drop(build);
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);

        let mut build = Build::start(room.path(), "fox", None).unwrap();
        build.file(Path::new("home/f"), 0o600, b"x").unwrap();
        build.keep();
        let mut build = Build::start(room.path(), "fox", None).unwrap();
        assert!(!build.file(Path::new("home/f"), 0o600, b"y").unwrap());
        build.file(Path::new("home/g"), 0o600, b"y").unwrap();
        drop(build);
        assert_eq!(std::fs::read(room.path().join("fox/home/f")).unwrap(), b"x");
        assert!(!room.path().join("fox/home/g").exists());
    }

    #[test]
    fn a_symlink_is_a_wall() {
        let room = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(room.path().join("fox/home")).unwrap();
        std::os::unix::fs::symlink(outside.path(), room.path().join("fox/home/.claude")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("new"), room.path().join("fox/home/f")).unwrap();
        let mut build = Build::start(room.path(), "fox", None).unwrap();
        assert!(build.file(Path::new("home/.claude/settings.json"), 0o600, b"x").is_err());
        assert!(!build.file(Path::new("home/f"), 0o600, b"x").unwrap());
        assert!(build.dir(Path::new("../up")).is_err());
        build.keep();
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_the_empty_file_that_was_made_for_it_is_filled() {
        let room = tempfile::tempdir().unwrap();
        let (home, other) = (room.path().join("fox/home"), room.path().join("other"));
        let fill = |content: &[u8]| {
            let mut build = Build::start(room.path(), "fox", None).unwrap();
            build.fill(Path::new("home/f"), 0o600, content).unwrap();
            build.keep();
            assert_eq!(std::fs::read(home.join("f")).unwrap(), content);
        };
        let inode = || std::fs::symlink_metadata(home.join("f")).unwrap().ino();
        let mut build = Build::start(room.path(), "fox", None).unwrap();
        build.file(Path::new("home/f"), 0o600, b"").unwrap();
        build.keep();
        let made = inode();
        fill(b"one");
        assert_eq!(inode(), made);
        fill(b"two");
        assert_ne!(inode(), made, "a reader of the old one sees it whole");
        // A link to somebody's file, of either kind, is not written through.
        let links: [fn(&Path, &Path) -> io::Result<()>; 2] =
            [|to, at| std::os::unix::fs::symlink(to, at), |to, at| std::fs::hard_link(to, at)];
        for link in links {
            std::fs::write(&other, b"").unwrap();
            std::fs::remove_file(home.join("f")).unwrap();
            link(&other, &home.join("f")).unwrap();
            fill(b"three");
            assert_eq!(std::fs::read(&other).unwrap(), b"");
        }
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let room = tempfile::tempdir().unwrap();
        for content in [b"one".as_slice(), b"two", b"two"] {
            let mut build = Build::start(room.path(), "fox", None).unwrap();
            let path = build.replace(Path::new("secrets/token"), 0o400, content).unwrap();
            build.keep();
            assert_eq!(std::fs::read(path).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(room.path().join("fox/secrets")).unwrap().count(), 1);
    }
}
