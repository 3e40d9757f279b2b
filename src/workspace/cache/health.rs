//! Whether a cache is as podbay left it, and what an ended supervisor left at work in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::config::env::Env;

use super::super::git::Git;

/// What podbay writes down about a cache, in it.
const NOTE: &str = "podbay.json";
/// The git that works in it.
const RUNNING: &str = "podbay.running";
/// The version of the note.
const VERSION: u32 = 1;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Note {
    version: u32,
    /// Which repository it is of.
    identity: String,
    /// Its packs: size, and when content and inode last changed.
    #[serde(default)]
    packs: BTreeMap<String, Stamp>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Which repository a cache is of; `None`: there is none, or it does not say.
pub fn identity(dir: &Path) -> Option<String> {
    read(dir).map(|note| note.identity)
}

/// Writes down how the cache is now.
pub fn note(dir: &Path, identity: &str) -> io::Result<()> {
    let note = Note { version: VERSION, identity: identity.to_owned(), packs: stamps(dir)? };
    if read(dir).as_ref() == Some(&note) {
        return Ok(());
    }
    let fresh = dir.join("podbay.json.new");
    let mut file = File::create(&fresh)?;
    file.write_all(&serde_json::to_vec(&note)?)?;
    file.sync_all()?;
    fs::rename(fresh, dir.join(NOTE))
}

/// Why the cache is not as podbay left it; `None`: it is.
pub fn suspect(dir: &Path) -> Option<String> {
    let Some(note) = read(dir) else { return Some("podbay's note in it can't be read".to_owned()) };
    let now = match stamps(dir) {
        Ok(now) => now,
        Err(error) => return Some(format!("its packs can't be looked at: {error}")),
    };
    if !dir.join("HEAD").is_file() {
        return Some("it has no HEAD".to_owned());
    }
    let gone = note.packs.keys().find(|name| !now.contains_key(*name));
    let other = now.iter().find(|(name, stamp)| note.packs.get(*name) != Some(stamp)).map(|(name, _)| name);
    match (gone, other) {
        (Some(name), _) => Some(format!("{name} is missing")),
        (None, Some(name)) => Some(format!("{name} was changed")),
        (None, None) => None,
    }
}

/// Whether git finds everything in it that must be there.
pub async fn is_whole(env: &Env, dir: &Path) -> bool {
    let git = Git::local(env, "checking the cache").inside(dir);
    let args = ["--git-dir=.", "fsck", "--full", "--no-dangling", "--no-progress"];
    dir.join("HEAD").is_file() && git.args(args).run().await.is_ok()
}

/// How many packs it has.
pub fn packs(dir: &Path) -> usize {
    stamps(dir).map_or(0, |stamps| stamps.keys().filter(|name| ends(name, "pack")).count())
}

fn ends(name: &str, with: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == with)
}

fn read(dir: &Path) -> Option<Note> {
    let note: Note = serde_json::from_slice(&fs::read(dir.join(NOTE)).ok()?).ok()?;
    (note.version == VERSION).then_some(note)
}

fn stamps(dir: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let mut stamps = BTreeMap::new();
    for entry in fs::read_dir(dir.join("objects/pack"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !ends(&name, "pack") && !ends(&name, "idx") {
            continue;
        }
        let meta = entry.metadata()?;
        let stamp = Stamp {
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        };
        stamps.insert(name, stamp);
    }
    Ok(stamps)
}

/// Writes down which git works in the cache, so that a supervisor that is killed leaves no stranger behind.
pub fn note_running(dir: &Path, pid: u32) {
    if let Some(began) = began(pid) {
        // Without the note a git that is left over is only waited for by its own locks.
        drop(fs::write(dir.join(RUNNING), format!("{pid} {began}")));
    }
}

/// It has ended.
pub fn forget_running(dir: &Path) {
    drop(fs::remove_file(dir.join(RUNNING)));
}

/// Ends the git that a killed supervisor left at work, and takes away the locks that nobody holds any more. Called by
/// whoever has the turn: no other git of podbay's is at work here.
pub fn end_left_over(dir: &Path) {
    if let Ok(text) = fs::read_to_string(dir.join(RUNNING)) {
        let mut words = text.split_whitespace();
        let pid = words.next().and_then(|word| word.parse::<u32>().ok());
        if let (Some(pid), Some(then)) = (pid, words.next())
            && began(pid).as_deref() == Some(then)
            && let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            // The pid with its start time is that git, which leads its group.
            let _ = kill_process_group(group, Signal::KILL);
        }
        forget_running(dir);
        remove_locks(dir, 0);
    }
}

/// Locks of refs lie beside them, at any depth below `refs/`.
fn remove_locks(dir: &Path, depth: u32) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && depth < 32 && !path.ends_with("objects") {
            remove_locks(&path, depth + 1);
        } else if path.extension().is_some_and(|end| end == "lock") {
            drop(fs::remove_file(&path));
        }
    }
}

/// When a process began, in the kernel's ticks; `None` where the kernel does not tell.
fn began(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the start is the twentieth word after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}
