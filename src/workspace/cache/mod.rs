//! The bare caches: one a repository, shared by all its clones, made anew when it is damaged.
//!
//! A clone *copies* from its cache, without hard links: a worker runs as the same user, and through a shared inode it
//! could change what every later worker of that repository is given. So a cache's files are changed by podbay alone, and
//! a look at their times tells whether somebody else was there.
//!
//! One turn a repository: whoever fetches has it alone, those who copy share it. Who waited for a fetch that began after
//! they asked needs none of their own.

mod health;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::bay::phase::{Phase, Progress};
use crate::bay::remote::{Branch, Remote};
use crate::bay::template::short_hash;
use crate::config::env::Env;
use crate::config::paths::{private_dir, told};

use super::WorkspaceError;
use super::git::{Access, Git, GitError, Report, fresh_name};

/// What is made here and not whole yet begins so: no owner's name does.
const FRESH: &str = ".new-";
/// A cache of more packs than this is packed into one: a pack comes with each fetch.
const MOST_PACKS: usize = 30;

/// All caches of a bay. One for each supervisor: the turns are in its memory.
pub struct Repositories {
    root: PathBuf,
    env: Arc<Env>,
    turns: Mutex<BTreeMap<String, Arc<Turn>>>,
}

#[derive(Default)]
struct Turn {
    /// Held alone while the cache changes, shared while it is copied from.
    cache: Arc<RwLock<()>>,
    /// The last fetch: from which URL, when it began, what was found.
    last: Mutex<Option<(String, Instant, Heads)>>,
}

/// What a remote has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// Its default branch; `None`: it is empty, or names none.
    pub default: Option<Branch>,
    /// Its branches.
    pub branches: BTreeSet<Branch>,
    /// Every ref with its object.
    refs: BTreeMap<String, String>,
}

/// A cache that is as new as its remote. Nothing in it changes as long as this lives.
pub struct Cached {
    /// The bare repository.
    pub dir: PathBuf,
    /// What the remote has.
    pub heads: Heads,
    /// What was done beside the fetch, in words.
    pub notes: Vec<String>,
    _shared: OwnedRwLockReadGuard<()>,
}

impl Repositories {
    /// The caches below `repos/`. What an earlier supervisor left half made is removed.
    #[must_use]
    pub fn new(root: PathBuf, env: Arc<Env>) -> Self {
        for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(FRESH) {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
        Self { root, env, turns: Mutex::default() }
    }

    /// The environment that git is run in.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Brings the cache of a repository up to its remote, makes it if need be.
    ///
    /// # Errors
    /// What git or the system says. The cache is then as it was.
    pub async fn fetched(&self, access: Access<'_>, report: &Report) -> Result<Cached, WorkspaceError> {
        let remote = access.remote;
        let asked = Instant::now();
        let turn = self.turn(remote);
        let alone = turn.cache.clone().write_owned().await;
        let known = turn.last().clone().filter(|(url, begun, _)| url == remote.url() && *begun >= asked);
        let (heads, notes) = if let Some((_, _, heads)) = known {
            (heads, Vec::new())
        } else {
            let begun = Instant::now();
            let (heads, notes) = self.fetch(access, report).await?;
            *turn.last() = Some((remote.url().to_owned(), begun, heads.clone()));
            (heads, notes)
        };
        let dir = self.place(remote)?;
        Ok(Cached { dir, heads, notes, _shared: alone.downgrade() })
    }

    /// Where the caches lie, and what is made beside them for a moment.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What a remote had when it was last looked at; nothing where there is no cache, or none that can be read.
    pub(super) async fn known(&self, remote: &Remote) -> BTreeSet<String> {
        let _shared = self.turn(remote).cache.clone().read_owned().await;
        let Ok(dir) = self.place(remote) else { return BTreeSet::new() };
        if health::identity(&dir).is_none_or(|identity| identity != remote.identity()) {
            return BTreeSet::new();
        }
        local_refs(&self.env, &dir).await.map(|refs| refs.into_values().collect()).unwrap_or_default()
    }

    /// Makes a cache anew that turned out to be damaged. `false`: it is whole, and something else is the trouble.
    pub async fn mended(&self, access: Access<'_>) -> Result<bool, WorkspaceError> {
        let turn = self.turn(access.remote);
        let _alone = turn.cache.clone().write_owned().await;
        let dir = self.place(access.remote)?;
        if health::is_whole(&self.env, &dir).await {
            return Ok(false);
        }
        self.discard(&dir)?;
        *turn.last() = None;
        Ok(true)
    }

    fn turn(&self, remote: &Remote) -> Arc<Turn> {
        // By the name alone, in small letters: the choice between two that share a name is made under this turn, too.
        let key = format!("{}/{}", remote.owner(), remote.repo()).to_lowercase();
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone()
    }

    /// `repos/<owner>/<repo>.git`, for whichever repository came first; another one of the same name has a part of its
    /// identity's hash behind it.
    fn place(&self, remote: &Remote) -> io::Result<PathBuf> {
        let owner = self.root.join(remote.owner());
        private_dir(&owner)?;
        let plain = owner.join(format!("{}.git", remote.repo()));
        let identity = remote.identity();
        let other = health::identity(&plain).is_some_and(|known| known != identity);
        if other {
            return Ok(owner.join(format!("{}~{}.git", remote.repo(), short_hash(identity.as_bytes()))));
        }
        Ok(plain)
    }

    async fn fetch(&self, access: Access<'_>, report: &Report) -> Result<(Heads, Vec<String>), WorkspaceError> {
        let remote = access.remote;
        let mut notes = Vec::new();
        report(Progress::new(Phase::Cloning, format!("asking {remote}")));
        let heads = self.ask(access).await?;
        let dir = self.place(remote)?;
        if dir.exists() {
            health::end_left_over(&dir);
            match self.update(access, &dir, &heads, report).await {
                Ok(()) => return Ok((heads, notes)),
                Err(Trouble::Damaged(why)) => {
                    notes.push(format!("the cache of {remote} was damaged ({why}) and was made anew"));
                    self.discard(&dir)?;
                }
                Err(Trouble::Other(error)) => return Err(error.into()),
            }
        }
        self.make(access, &dir, &heads, report).await?;
        Ok((heads, notes))
    }

    async fn ask(&self, access: Access<'_>) -> Result<Heads, GitError> {
        let url = access.remote.url();
        let git = Git::asking(&self.env, access, format!("asking {url} for its branches"));
        let args = ["ls-remote", "--symref", "--", url, "HEAD", "refs/heads/*", "refs/tags/*"];
        Ok(heads(&String::from_utf8_lossy(&git.args(args).run().await?)))
    }

    async fn update(&self, access: Access<'_>, dir: &Path, heads: &Heads, report: &Report) -> Result<(), Trouble> {
        if let Some(why) = health::suspect(dir) {
            // Somebody else changed it, or it is from an older podbay: looked at closely, once.
            if !health::is_whole(&self.env, dir).await {
                return Err(Trouble::Damaged(why));
            }
            health::note(dir, &access.remote.identity()).map_err(|error| Trouble::Damaged(error.to_string()))?;
        }
        let updated = async {
            if local_refs(&self.env, dir).await? != heads.refs {
                self.bring(access, dir, report).await?;
            }
            self.point(dir, heads).await
        };
        let result = updated.await;
        let noted = health::note(dir, &access.remote.identity());
        match (result, noted) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(error @ GitError::Failed { .. }), _) if !health::is_whole(&self.env, dir).await => {
                Err(Trouble::Damaged(error.to_string()))
            }
            (Err(error), _) => Err(Trouble::Other(error)),
            (_, Err(error)) => Err(Trouble::Damaged(error.to_string())),
        }
    }

    /// Made beside its place and moved there whole: a crash leaves nothing that looks like a cache.
    async fn make(&self, access: Access<'_>, dir: &Path, heads: &Heads, report: &Report) -> Result<(), WorkspaceError> {
        let fresh = Fresh::new(&self.root)?;
        let what = format!("making the cache of {}", access.remote);
        Git::local(&self.env, what).args(["init", "--quiet", "--bare", "--template="]).args([&fresh.0]).run().await?;
        self.bring(access, &fresh.0, report).await?;
        self.point(&fresh.0, heads).await?;
        health::note(&fresh.0, &access.remote.identity())?;
        fs::rename(&fresh.0, dir).map_err(|error| told("can't make the cache", dir, &error))?;
        Ok(())
    }

    async fn bring(&self, access: Access<'_>, dir: &Path, report: &Report) -> Result<(), GitError> {
        let url = access.remote.url();
        let git = Git::transfer(&self.env, access, format!("fetching {url}"), report).inside(dir);
        let args = ["fetch", "--progress", "--prune", "--force", "--no-tags", "--no-write-fetch-head", "--"];
        let git = git.args(args).args([url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        let result = git.run_noting(|pid| health::note_running(dir, pid)).await;
        health::forget_running(dir);
        result?;
        if health::packs(dir) > MOST_PACKS {
            Git::local(&self.env, format!("packing the cache of {url}"))
                .inside(dir)
                .args(["repack", "-adq"])
                .run()
                .await?;
        }
        Ok(())
    }

    /// Sets the cache's HEAD to the remote's.
    async fn point(&self, dir: &Path, heads: &Heads) -> Result<(), GitError> {
        let Some(default) = &heads.default else { return Ok(()) };
        let head = format!("refs/heads/{default}");
        if fs::read_to_string(dir.join("HEAD")).is_ok_and(|text| text.trim() == format!("ref: {head}")) {
            return Ok(());
        }
        let git = Git::local(&self.env, "setting the cache's default branch").inside(dir);
        git.args(["symbolic-ref", "HEAD", &head]).run().await.map(drop)
    }

    /// Out of the way first, then removed: half of it is never in its place.
    fn discard(&self, dir: &Path) -> io::Result<()> {
        let aside = Fresh::unmade(&self.root)?;
        match fs::rename(dir, &aside.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("can't remove the cache", dir, &error)),
            _ => Ok(()),
        }
    }
}

impl Turn {
    /// Held for a moment, never across an await.
    fn last(&self) -> std::sync::MutexGuard<'_, Option<(String, Instant, Heads)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Trouble {
    /// The cache itself is broken.
    Damaged(String),
    /// Something else is.
    Other(GitError),
}

/// A directory with a name of its own, removed unless it was moved to its place.
struct Fresh(PathBuf);

impl Fresh {
    fn new(root: &Path) -> io::Result<Self> {
        let fresh = Self::unmade(root)?;
        private_dir(&fresh.0)?;
        Ok(fresh)
    }

    fn unmade(root: &Path) -> io::Result<Self> {
        Ok(Self(root.join(fresh_name(FRESH)?)))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.0.display(), %error, "left behind; the next supervisor removes it");
            }
            _ => {}
        }
    }
}

async fn local_refs(env: &Env, dir: &Path) -> Result<BTreeMap<String, String>, GitError> {
    let git = Git::local(env, "reading the cache's branches").inside(dir);
    let text = git.args(["for-each-ref", "--format=%(objectname)%09%(refname)"]).run().await?;
    let text = String::from_utf8_lossy(&text);
    Ok(text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(id, name)| (name.to_owned(), id.to_owned()))
        .collect())
}

/// What `ls-remote --symref` prints. Names that podbay could not hand back to git are passed over.
fn heads(text: &str) -> Heads {
    let mut heads = Heads::default();
    for (id, name) in text.lines().filter_map(|line| line.split_once('\t')) {
        if name == "HEAD" {
            let symbolic = id.strip_prefix("ref: refs/heads/").and_then(|branch| branch.parse().ok());
            heads.default = heads.default.or(symbolic);
        } else if let Some(branch) = name.strip_prefix("refs/heads/") {
            heads.refs.insert(name.to_owned(), id.to_owned());
            heads.branches.extend(branch.parse::<Branch>().ok());
        } else if !name.ends_with("^{}") {
            heads.refs.insert(name.to_owned(), id.to_owned());
        }
    }
    // A remote may point to a branch that nobody has pushed yet; a server may not tell at all.
    let there = |branch: &Branch| heads.branches.contains(branch);
    let usual = || ["main", "master"].iter().filter_map(|name| name.parse().ok()).find(there);
    heads.default = heads.default.take().filter(there).or_else(usual).or_else(|| heads.branches.first().cloned());
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_remote_has_is_read() {
        let id = "a".repeat(40);
        let text = format!(
            "ref: refs/heads/trunk\tHEAD\n{id}\tHEAD\n{id}\trefs/heads/trunk\n{id}\trefs/heads/x/y\n{id}\trefs/tags/v1\n{id}\trefs/tags/v1^{{}}\n"
        );
        let found = heads(&text);
        assert_eq!(found.default, "trunk".parse().ok());
        assert_eq!((found.branches.len(), found.refs.len()), (2, 3));
        assert_eq!(heads(""), Heads::default());
        let unborn = heads(&format!("ref: refs/heads/none\tHEAD\n{id}\trefs/heads/master\n{id}\trefs/heads/a\n"));
        assert_eq!(unborn.default, "master".parse().ok());
        assert_eq!(heads(&format!("{id}\trefs/heads/only\n")).default, "only".parse().ok());
    }
}
