//! A clone in a worker's own directory: made beside it and moved in, so that what is there is whole or recognised as not.
//!
//! `clone.json` beside the workspace says which repository stands there, and whether it is whole. A supervisor that was
//! killed in the middle leaves it saying no: what is in the workspace then is podbay's own, and it is begun anew.
//! The workspace is a directory that may be mounted in a running container already, so it is filled and never replaced.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::bay::phase::{Phase, Progress};
use crate::bay::remote::{Branch, Remote};
use crate::config::paths::told;

use super::WorkspaceError;
use super::cache::{Cached, Repositories};
use super::git::{Access, Git, Report, fresh_name};

/// What is written about a clone, beside it.
const NOTE: &str = "clone.json";
/// Where a clone is made before it is moved.
const FILLING: &str = "filling-";
/// The version of the note.
const VERSION: u32 = 1;

/// What is to stand in a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The repository.
    pub remote: Remote,
    /// Its branch; one that it does not have is made from its default branch. `None`: the default branch.
    pub branch: Option<Branch>,
}

/// Whose workspace is filled.
pub struct Place<'a> {
    /// `workers/<name>`; `workspace` is in it.
    pub worker: &'a Path,
    /// Whom the files are given to; `None`: they stay with the invoking user.
    pub owner: Option<(u32, u32)>,
}

/// How a workspace is filled.
pub struct Filling<'a> {
    /// A file that holds a token for the remote's host.
    pub token: Option<&'a Path>,
    /// Hears how far it is.
    pub report: &'a Report,
    /// Cancelled when nobody wants it any more.
    pub given_up: &'a CancellationToken,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    url: String,
    identity: String,
    branch: Option<String>,
    whole: bool,
}

/// Where the clone in a worker's directory comes from; `None`: no clone stands there.
#[must_use]
pub fn standing(worker: &Path) -> Option<Remote> {
    read(worker).filter(|note| note.whole).and_then(|note| note.url.parse().ok())
}

/// Whether a clone was begun there and did not come to its end: nobody has worked in it.
#[must_use]
pub fn is_half(worker: &Path) -> bool {
    read(worker).is_some_and(|note| !note.whole)
}

impl Repositories {
    /// Fills a workspace, also one that is mounted in a running container. One that holds this clone already is left as
    /// it is. Answers with what the user should know.
    ///
    /// # Errors
    /// What git or the system says, or that something else stands there. The workspace is then as it was, or half filled
    /// and known to be.
    pub async fn fill(
        &self,
        place: &Place<'_>,
        source: &Source,
        filling: &Filling<'_>,
    ) -> Result<Vec<String>, WorkspaceError> {
        if is_there(place, source)? {
            return Ok(Vec::new());
        }
        clear_half(place.worker)?;
        let cloned = tokio::select! {
            cloned = self.cloned(place, source, filling) => cloned?,
            () = filling.given_up.cancelled() => return Err(WorkspaceError::new("it was given up")),
        };
        let (fresh, notes) = cloned;
        let (worker, owner, source) = (place.worker.to_owned(), place.owner, source.clone());
        // From here on to its end: what is moved by a thread can't be called back.
        let moved = tokio::task::spawn_blocking(move || move_in(&worker, owner, &source, &fresh));
        moved.await.map_err(|error| WorkspaceError::new(format_args!("filling the workspace failed: {error}")))??;
        Ok(notes)
    }

    /// The clone beside its place, and what is said of it.
    async fn cloned(
        &self,
        place: &Place<'_>,
        source: &Source,
        filling: &Filling<'_>,
    ) -> Result<(Fresh, Vec<String>), WorkspaceError> {
        let (remote, report) = (&source.remote, filling.report);
        let access = Access { remote, token: filling.token };
        let cached = self.fetched(access, report).await?;
        let mut notes = cached.notes.clone();
        report(Progress::new(Phase::Cloning, format!("copying {remote} from the cache")));
        let made = self.copy(place, source, &cached).await;
        let fresh = match made {
            Ok(fresh) => fresh,
            Err(error) => {
                drop(cached);
                if !self.mended(access).await? {
                    return Err(error);
                }
                notes.push(format!("the cache of {remote} was damaged ({error}) and was made anew"));
                let cached = self.fetched(access, report).await?;
                self.copy(place, source, &cached).await?
            }
        };
        notes.extend(fresh.note.clone());
        Ok((fresh, notes))
    }

    async fn copy(&self, place: &Place<'_>, source: &Source, cached: &Cached) -> Result<Fresh, WorkspaceError> {
        let remote = &source.remote;
        let wanted = source.branch.as_ref();
        let there = wanted.filter(|branch| cached.heads.branches.contains(*branch));
        let mut fresh = Fresh { dir: place.worker.join(fresh_name(FILLING)?), note: None };
        // Copied, not linked: see the cache's own reasons.
        let git = Git::local(self.env(), format!("cloning {remote}"));
        let git = git.args(["clone", "--quiet", "--local", "--no-hardlinks", "--template=", "--origin", "origin"]);
        let git = match there {
            Some(branch) => git.args(["--branch", branch.as_str()]),
            None => git,
        };
        git.args(["--"]).args([&cached.dir, &fresh.dir]).run().await?;
        let set = Git::local(self.env(), "naming the clone's origin").inside(&fresh.dir);
        set.args(["remote", "set-url", "origin", remote.url()]).run().await?;
        if let Some(branch) = wanted.filter(|_| there.is_none()) {
            let made = Git::local(self.env(), format!("making the branch {branch}")).inside(&fresh.dir);
            // In an empty repository the branch is only named: it begins with the first commit.
            let args = match &cached.heads.default {
                Some(_) => vec!["switch", "--quiet", "--no-track", "--create", branch.as_str()],
                None => vec!["symbolic-ref", "HEAD"],
            };
            let head = format!("refs/heads/{branch}");
            let last = cached.heads.default.is_none().then_some(head.as_str());
            made.args(args).args(last).run().await?;
            let from = cached.heads.default.as_ref().map_or_else(String::new, |from| format!(", made from {from}"));
            fresh.note = Some(format!("{branch} is a new branch{from}: {remote} has none of that name"));
        } else if cached.heads.default.is_none() {
            fresh.note = Some(format!("{remote} is empty"));
        }
        Ok(fresh)
    }
}

/// A clone that is not in its place yet; removed if it never gets there.
struct Fresh {
    dir: PathBuf,
    note: Option<String>,
}

impl Drop for Fresh {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.dir.display(), %error, "left behind; the next filling removes it");
            }
            _ => {}
        }
    }
}

/// Whether the clone stands there already: then nothing is fetched, and no token is needed.
///
/// # Errors
/// That something else stands there.
pub fn is_there(place: &Place<'_>, source: &Source) -> Result<bool, WorkspaceError> {
    let workspace = place.worker.join("workspace");
    let kept = |what: &str| {
        let text = format!("{} {what}; move it away, or choose another name", workspace.display());
        Err(WorkspaceError::new(text))
    };
    match read(place.worker) {
        Some(note) if !note.whole => Ok(false),
        Some(note) => {
            let empty = is_empty(&workspace)?;
            let same = note.identity == source.remote.identity()
                && note.branch.as_deref() == source.branch.as_ref().map(Branch::as_str);
            if empty {
                return Ok(false);
            }
            if same { Ok(true) } else { kept(&format!("holds another clone, of {}", note.url)) }
        }
        None if is_empty(&workspace)? => Ok(false),
        None => kept("holds files of an earlier worker"),
    }
}

/// A directory with nothing in it is nobody's work: it may be the place that a volume is mounted on.
fn is_empty(dir: &Path) -> io::Result<bool> {
    let is_place = |entry: fs::DirEntry| {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        is_dir && fs::read_dir(entry.path()).is_ok_and(|mut below| below.next().is_none())
    };
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.all(|entry| entry.is_ok_and(is_place))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(told("can't look into", dir, &error)),
    }
}

/// What a filling left that did not come to its end.
pub fn clear_half(worker: &Path) -> io::Result<()> {
    for entry in fs::read_dir(worker).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(FILLING) {
            fs::remove_dir_all(entry.path()).map_err(|error| told("can't remove", &entry.path(), &error))?;
        }
    }
    if !is_half(worker) {
        return Ok(());
    }
    for entry in fs::read_dir(worker.join("workspace")).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|error| told("can't remove", &path, &error))?;
    }
    forget_note(worker)
}

/// Removes a clone with all that is in it.
///
/// # Errors
/// The system's.
pub fn remove(worker: &Path) -> io::Result<()> {
    if standing(worker).is_none() {
        return Ok(());
    }
    let workspace = worker.join("workspace");
    match fs::remove_dir_all(&workspace) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("can't remove", &workspace, &error)),
        _ => Ok(()),
    }
}

/// Takes the note away with the clone that it is about.
pub fn forget_note(worker: &Path) -> io::Result<()> {
    match fs::remove_file(worker.join(NOTE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("can't remove", &worker.join(NOTE), &error)),
        _ => Ok(()),
    }
}

/// Moves the clone into the workspace, entry by entry, `.git` last: without it no agent takes it for a repository.
fn move_in(worker: &Path, owner: Option<(u32, u32)>, source: &Source, fresh: &Fresh) -> Result<(), WorkspaceError> {
    if let Some(owner) = owner {
        give(&fresh.dir, owner)?;
    }
    let mut note = Note {
        version: VERSION,
        url: source.remote.url().to_owned(),
        identity: source.remote.identity(),
        branch: source.branch.clone().map(String::from),
        whole: false,
    };
    let workspace = worker.join("workspace");
    if !is_empty(&workspace)? {
        let text =
            format!("{} is not empty any more: something wrote there while it was being filled", workspace.display());
        return Err(WorkspaceError::new(text));
    }
    write(worker, &note)?;
    let dir = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open =
        |path: &Path| openat(CWD, path, dir, Mode::empty()).map_err(|error| told("can't open", path, &error.into()));
    let (from, to) = (open(&fresh.dir)?, open(&workspace)?);
    let mut names: Vec<_> = fs::read_dir(&fresh.dir)?.flatten().map(|entry| entry.file_name()).collect();
    names.sort_by_key(|name| name == ".git");
    for name in names {
        let moved = rename_new(&from, &to, Path::new(&name));
        moved.map_err(|error| told("can't move into the workspace", &workspace.join(&name), &error))?;
    }
    rustix::fs::fsync(&to).map_err(io::Error::from)?;
    note.whole = true;
    write(worker, &note)?;
    Ok(())
}

/// Never over something that is there: a worker that already runs may write meanwhile.
fn rename_new(from: &OwnedFd, to: &OwnedFd, name: &Path) -> io::Result<()> {
    match renameat_with(from.as_fd(), name, to.as_fd(), name, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            // A file system that can't tell; what was empty a moment ago is taken for empty.
            Ok(rustix::fs::renameat(from.as_fd(), name, to.as_fd(), name)?)
        }
        other => Ok(other?),
    }
}

/// Gives a tree to the worker's user, following no link.
fn give(path: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))?;
    if !fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        give(&entry?.path(), (uid, gid))?;
    }
    Ok(())
}

fn read(worker: &Path) -> Option<Note> {
    let note: Note = serde_json::from_slice(&fs::read(worker.join(NOTE)).ok()?).ok()?;
    (note.version == VERSION).then_some(note)
}

fn write(worker: &Path, note: &Note) -> io::Result<()> {
    let (fresh, path) = (worker.join("clone.json.new"), worker.join(NOTE));
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(&serde_json::to_vec(note)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(worker)?.sync_all()
    });
    written.map_err(|error| told("can't write", &path, &error))
}
