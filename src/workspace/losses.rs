//! What would be lost with a clone: changes that no commit holds, commits that nobody else has, stashes.
//!
//! The repository was an agent's to change, and git runs what a repository's own configuration says: watchers, filters,
//! hooks. So git is never run *in* it. It is run in an empty repository of podbay's own, which only borrows the objects,
//! a copy of the index and the files; refs are read here, as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::bay::remote::{Branch, Remote};

use super::WorkspaceError;
use super::cache::Repositories;
use super::clone;
use super::git::{Git, GitError, fresh_name};
use super::ignored::can_be_made_again;

/// A workspace that takes longer to look at is said to be unknown: one call of git, and all of it.
const LIMIT: Duration = Duration::from_secs(30);
const ALL: Duration = Duration::from_secs(45);
/// No index, list of refs or file of a ref is larger.
const MOST_BYTES: u64 = 512 << 20;
/// Refs that are looked at.
const MOST_REFS: usize = 20_000;
/// Directories of refs are not deeper.
const DEEPEST: u32 = 16;
/// Names that are told of each kind.
const NAMED: usize = 5;

impl Repositories {
    /// What would be lost if the worker's clone were removed, a line each; empty: nothing, or there is no clone. What can't
    /// be looked at counts as lost.
    pub async fn unsaved(&self, worker: &Path) -> Vec<String> {
        let Some(remote) = clone::standing(worker) else { return Vec::new() };
        let workspace = worker.join("workspace");
        if fs::read_dir(&workspace).is_ok_and(|mut entries| entries.next().is_none()) {
            return Vec::new();
        }
        let unknown = |why: &dyn std::fmt::Display| {
            vec![format!("all of {}: it can't be looked at ({why})", workspace.display())]
        };
        // Somebody waits for the answer, and an agent may have made any number of branches.
        match tokio::time::timeout(ALL, self.look(&workspace, &remote)).await {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => unknown(&error),
            Err(_) => unknown(&format_args!("that took longer than {} s", ALL.as_secs())),
        }
    }

    async fn look(&self, workspace: &Path, remote: &Remote) -> Result<Vec<String>, WorkspaceError> {
        let room = Room::new(self.root(), workspace)?;
        let refs = room.refs()?;
        let mut lines = Vec::new();
        let Changes { changed, ignored } = room.changed(self).await?;
        if !changed.is_empty() {
            lines.push(format!("{} that no commit holds: {}", files(&changed), few(&changed)));
        }
        if !ignored.is_empty() {
            lines.push(format!("{} that git ignores, perhaps nowhere else: {}", files(&ignored), few(&ignored)));
        }
        let known = self.known(remote).await;
        for (name, id) in refs.own() {
            let count = room.beyond(self, &id, &refs, &known).await?;
            if count > 0 {
                let what = if count == 1 { "commit" } else { "commits" };
                lines.push(format!("{count} {what} of {name} that no remote has"));
            }
        }
        let stashes = room.stashes();
        if stashes > 0 {
            lines.push(format!("{stashes} {}", if stashes == 1 { "stash" } else { "stashes" }));
        }
        if room.has_modules() {
            lines.push("its submodules, which are not looked into".to_owned());
        }
        Ok(lines)
    }
}

/// What a status tells.
struct Changes {
    /// Changed since the commit, or not known to git.
    changed: Vec<String>,
    /// Ignored, and not what some tool makes again.
    ignored: Vec<String>,
}

fn files(names: &[String]) -> String {
    if names.len() == 1 { "1 file".to_owned() } else { format!("{} files", names.len()) }
}

fn few(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED { format!("{shown}, …") } else { shown }
}

/// Refs of a clone, by full name.
#[derive(Debug, Default)]
struct Refs {
    all: BTreeMap<String, String>,
    /// The commit of a detached HEAD.
    detached: Option<String>,
}

impl Refs {
    /// What may exist nowhere else.
    fn own(&self) -> Vec<(String, String)> {
        let branches = self.all.iter().filter_map(|(name, id)| {
            let branch = name.strip_prefix("refs/heads/")?;
            Some((branch.to_owned(), id.clone()))
        });
        // A tag of the remote's is the remote's; one of the agent's own leads to commits that may be nowhere else.
        let tags = self
            .all
            .iter()
            .filter_map(|(name, id)| Some((format!("tag {}", name.strip_prefix("refs/tags/")?), id.clone())));
        let head = self.detached.iter().map(|id| ("the detached HEAD".to_owned(), id.clone()));
        let mut seen = BTreeSet::new();
        head.chain(branches).chain(tags).filter(|(_, id)| seen.insert(id.clone())).collect()
    }

    /// What the remote is known to have.
    fn pushed(&self) -> impl Iterator<Item = &String> {
        self.all.iter().filter(|(name, _)| name.starts_with("refs/remotes/")).map(|(_, id)| id)
    }
}

/// podbay's own empty repository, over a workspace.
struct Room {
    dir: PathBuf,
    workspace: PathBuf,
    git_dir: PathBuf,
}

impl Room {
    fn new(root: &Path, workspace: &Path) -> Result<Self, WorkspaceError> {
        let git_dir = workspace.join(".git");
        let plain = fs::symlink_metadata(&git_dir).is_ok_and(|meta| meta.is_dir());
        if !plain {
            return Err(WorkspaceError::new("its .git is not the directory that podbay made"));
        }
        let dir = root.join(fresh_name(".new-")?);
        let room = Self { dir, workspace: workspace.to_owned(), git_dir };
        for part in ["refs/heads", "objects", "info"] {
            fs::create_dir_all(room.dir.join(part))?;
        }
        fs::write(room.dir.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = false\n")?;
        let head = text(&room.git_dir.join("HEAD"))?;
        let head = head.trim();
        let fits =
            is_id(head) || head.strip_prefix("ref: refs/heads/").is_some_and(|name| name.parse::<Branch>().is_ok());
        if !fits {
            return Err(WorkspaceError::new("its HEAD names no branch"));
        }
        // Detached, so that a status compares with the commit itself.
        fs::write(room.dir.join("HEAD"), "ref: refs/heads/none\n")?;
        copy(&room.git_dir.join("index"), &room.dir.join("index"))?;
        copy(&room.git_dir.join("info/exclude"), &room.dir.join("info/exclude"))?;
        Ok(room)
    }

    fn git(&self, repositories: &Repositories, what: &str) -> Git<'static> {
        let git = Git::local(repositories.env(), what).within(LIMIT).inside(&self.workspace);
        let git = git.env("GIT_DIR", &self.dir).env("GIT_WORK_TREE", &self.workspace);
        git.env("GIT_OBJECT_DIRECTORY", self.git_dir.join("objects")).env("GIT_INDEX_FILE", self.dir.join("index"))
    }

    /// Files that differ from the index, the index from the commit, and files that git does not know or ignores.
    async fn changed(&self, repositories: &Repositories) -> Result<Changes, WorkspaceError> {
        let refs = self.refs()?;
        if let Some(id) = self.head(&refs) {
            // HEAD as a commit: what is staged is compared with it.
            fs::write(self.dir.join("HEAD"), format!("{id}\n"))?;
        }
        let git = self.git(repositories, "looking for changes");
        let args = [
            "status",
            "--porcelain=v1",
            "-z",
            "--untracked-files=normal",
            // Directories that a rule names as a whole are not gone into.
            "--ignored=matching",
            "--ignore-submodules=all",
            "--no-renames",
        ];
        let answer = git.args(args).run().await?;
        let entries = answer.split(|byte| *byte == 0).filter(|entry| entry.len() > 3);
        let (ignored, changed): (Vec<&[u8]>, Vec<&[u8]>) = entries.partition(|entry| entry.starts_with(b"!!"));
        let names = |entries: Vec<&[u8]>| -> Vec<String> {
            let name = |entry: &[u8]| String::from_utf8_lossy(entry.get(3..).unwrap_or_default()).into_owned();
            entries.into_iter().map(name).collect()
        };
        let mut ignored = names(ignored);
        ignored.retain(|path| !can_be_made_again(path));
        Ok(Changes { changed: names(changed), ignored })
    }

    fn head(&self, refs: &Refs) -> Option<String> {
        let head = text(&self.git_dir.join("HEAD")).ok()?;
        let head = head.trim();
        match head.strip_prefix("ref: ") {
            Some(name) => refs.all.get(name).cloned(),
            None => is_id(head).then(|| head.to_owned()),
        }
    }

    /// How many commits lead to `id` that the remote does not have.
    async fn beyond(
        &self,
        repositories: &Repositories,
        id: &str,
        refs: &Refs,
        known: &BTreeSet<String>,
    ) -> Result<u64, GitError> {
        if known.contains(id) || refs.pushed().any(|pushed| pushed == id) {
            return Ok(0);
        }
        let list = self.dir.join("known");
        let excluded: BTreeSet<&String> = refs.pushed().chain(known).collect();
        let lines: String =
            std::iter::once(format!("{id}\n")).chain(excluded.iter().map(|id| format!("^{id}\n"))).collect();
        let run =
            |error: std::io::Error| GitError::Run { what: "counting commits".to_owned(), error: error.to_string() };
        let mut file = File::create(&list).map_err(run)?;
        file.write_all(lines.as_bytes()).map_err(run)?;
        let input = File::open(&list).map_err(run)?;
        // What this clone has never seen can't exclude anything: it is passed over.
        let args = ["rev-list", "--count", "--ignore-missing", "--stdin"];
        let answer = self.git(repositories, "counting commits").stdin(input).args(args).run().await?;
        let count = String::from_utf8_lossy(&answer).trim().parse::<u64>();
        count.map_err(|_| run(std::io::Error::other("git gave no number")))
    }

    /// Submodules have repositories of their own, in the clone's.
    fn has_modules(&self) -> bool {
        fs::read_dir(self.git_dir.join("modules")).is_ok_and(|mut entries| entries.next().is_some())
    }

    fn stashes(&self) -> usize {
        if !self.git_dir.join("refs/stash").exists() {
            return 0;
        }
        text(&self.git_dir.join("logs/refs/stash")).map_or(1, |log| log.lines().count().max(1))
    }

    fn refs(&self) -> Result<Refs, WorkspaceError> {
        let mut refs = Refs::default();
        let packed = self.git_dir.join("packed-refs");
        if packed.exists() {
            for line in text(&packed)?.lines().filter(|line| !line.starts_with(['#', '^'])) {
                if let Some((id, name)) = line.split_once(' ').filter(|(id, _)| is_id(id)) {
                    refs.all.insert(name.to_owned(), id.to_owned());
                }
            }
        }
        loose(&self.git_dir.join("refs"), "refs", &mut refs.all, 0)?;
        if refs.all.len() > MOST_REFS {
            return Err(WorkspaceError::new("it has too many branches and tags"));
        }
        let head = text(&self.git_dir.join("HEAD"))?;
        refs.detached = Some(head.trim().to_owned()).filter(|head| is_id(head));
        Ok(refs)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(path = %self.dir.display(), %error, "left behind; the next supervisor removes it");
        }
    }
}

fn loose(dir: &Path, name: &str, refs: &mut BTreeMap<String, String>, depth: u32) -> Result<(), WorkspaceError> {
    if depth > DEEPEST || refs.len() > MOST_REFS {
        return Err(WorkspaceError::new("it has too many branches and tags"));
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let full = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            loose(&entry.path(), &full, refs, depth + 1)?;
        } else if let Some(id) = text(&entry.path()).ok().map(|text| text.trim().to_owned()).filter(|id| is_id(id)) {
            refs.insert(full, id);
        }
    }
    Ok(())
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A regular file's text: no symlink is followed, and no pipe waited for.
fn text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    opened(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn opened(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("not a regular file")) }
}

/// Copies a file that may be missing.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    match opened(from) {
        Ok(file) => std::io::copy(&mut file.take(MOST_BYTES), &mut File::create(to)?).map(drop),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
