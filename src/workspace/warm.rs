//! The private directories of a worker from the pool: its claim file, and the name that they get by the claim.
//!
//! The container's mounts are fixed when it is made, under its name in the pool. By the claim the directories get the
//! worker's own name, as everything else expects it, and a link under the old name serves the engine's next start.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::bay::gate::{CLAIM, File, claim_file, turn_file};
use crate::bay::name::{Name, WARM};
use crate::config::env::Env;
use crate::config::paths::{Paths, told};

use super::WorkspaceError;
use super::build::Build;
use super::user::WorkerUser;

/// Beside the home, out of the worker's sight: the run that the claim file was last written for, whose claim it is, and
/// the turn that it is for.
const TICKET: &str = "gate";
/// A turn's file that podbay made leads here: the gate makes plain ones.
const ENDED: &str = "this turn has ended";

/// A worker that was made for the pool.
#[derive(Clone, Copy, Debug)]
pub struct WarmPlace<'a> {
    /// The bay's files.
    pub paths: &'a Paths,
    /// The name that it was made under.
    pub made_as: &'a Name,
    /// Its claimer's name.
    pub name: &'a Name,
}

/// What a claim file is written for.
#[derive(Clone, Copy, Debug)]
pub struct Ticket<'a> {
    /// The run of the gate.
    pub run: &'a str,
    /// The claim; `None`: a later run of the claimed one, whoever claimed it.
    pub claim: Option<&'a str>,
}

impl Ticket<'_> {
    fn text(self, turn: u32) -> String {
        format!("{}\n{}\n{turn}", self.run, self.claim.unwrap_or_default())
    }

    /// The turn that was written, if it was for this run; and whether it was for this claim.
    fn turn(self, text: &str) -> Option<(u32, bool)> {
        let mut lines = text.lines();
        let (run, claim) = (lines.next()?, lines.next().unwrap_or_default());
        let turn = lines.next().and_then(|turn| turn.parse().ok()).unwrap_or_default();
        // Where nobody knows whose it was, what was taken stays taken.
        (run == self.run).then(|| (turn, self.claim.is_none_or(|ours| ours == claim)))
    }
}

impl WarmPlace<'_> {
    /// Makes the files that a claim will be written into. `user` is the template's.
    ///
    /// # Errors
    /// The system's.
    pub fn lay_out(&self, (user, env): (&str, &Env)) -> Result<(), WorkspaceError> {
        let mut build = self.build(user, env)?;
        build.file(&Path::new("home").join(CLAIM), 0o600, b"")?;
        build.file(Path::new(TICKET), 0o600, b"")?;
        build.keep();
        Ok(())
    }

    fn build(&self, user: &str, env: &Env) -> Result<Build, WorkspaceError> {
        let name = self.dir().file_name().map(PathBuf::from).unwrap_or_default();
        let user = WorkerUser::of(user, env);
        Ok(Build::start(&self.paths.state.join("workers"), name, user.owner(env))?)
    }

    /// Whether the directories have the claimer's name, and how the claim file of this run stands.
    ///
    /// # Errors
    /// The system's.
    pub fn look(&self, ticket: Ticket<'_>) -> Result<(bool, File), WorkspaceError> {
        let moved = fs::symlink_metadata(self.paths.worker(self.made_as)).is_ok_and(|meta| meta.is_symlink());
        let dir = self.dir();
        let file = match noted(&dir, ticket)? {
            Some((turn, true)) if self.waits() => File::Written(turn),
            Some((_, true)) => File::Taken,
            _ => File::None,
        };
        Ok((moved, file))
    }

    /// Whether a claim file is there that no gate has emptied.
    fn waits(&self) -> bool {
        fs::symlink_metadata(self.claim()).is_ok_and(|meta| meta.len() > 0)
    }

    /// Whether the directories can get the claimer's name.
    ///
    /// # Errors
    /// It has directories of an earlier worker, whose files this one would not see.
    pub fn is_free(&self) -> Result<(), WorkspaceError> {
        let own = self.paths.worker(self.name);
        if self.dir() == own || !own.exists() {
            return Ok(());
        }
        Err(WorkspaceError::new(format!("{} holds files of an earlier worker of that name", own.display())))
    }

    /// Puts a claim where this run's gate looks for it, for a turn that nobody has woken the gate at; `None`: the gate has
    /// taken one already. `user` is the template's.
    ///
    /// # Errors
    /// The system's.
    pub fn write(
        &self,
        ticket: Ticket<'_>,
        claim: &str,
        (user, env): (&str, &Env),
    ) -> Result<Option<u32>, WorkspaceError> {
        let dir = self.dir();
        let turn = match noted(&dir, ticket)? {
            None => 0,
            Some((turn, _)) if self.end_turn(ticket.run, turn)? => turn + 1,
            Some(_) => return Ok(None),
        };
        let mut build = self.build(user, env)?;
        let claim = build.fill(&Path::new("home").join(CLAIM), 0o600, claim_file(ticket.run, turn, claim).as_bytes());
        // After the claim itself: a ticket without a claim is one that was taken.
        let written = claim.and_then(|()| build.fill(Path::new(TICKET), 0o600, ticket.text(turn).as_bytes()));
        if let Err(error) = written {
            drop(build);
            withdraw(&dir);
            return Err(error.into());
        }
        build.keep();
        Ok(Some(turn))
    }

    /// Ends a turn, so that whatever line comes for it leads nowhere. `false`: the gate was faster.
    fn end_turn(&self, run: &str, turn: u32) -> Result<bool, WorkspaceError> {
        let file = self.dir().join("home").join(turn_file(run, turn));
        match symlink(ENDED, &file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_symlink()) {
                    return Ok(false);
                }
            }
            Err(error) => return Err(told("can't write", &file, &error).into()),
        }
        // One that was taken and swept leaves neither.
        Ok(self.waits())
    }

    /// Takes back a claim that nobody was woken for.
    pub fn withdraw(&self) {
        withdraw(&self.dir());
    }

    /// Gives the directories the claimer's name, and the engine what leads there from the old one.
    ///
    /// # Errors
    /// The system's.
    pub fn give_name(&self) -> Result<(), WorkspaceError> {
        if !self.give_name_only()? {
            let old = self.paths.worker(self.made_as);
            symlink(self.name.as_str(), &old).map_err(|error| told("can't move", &old, &error))?;
        }
        Ok(())
    }

    /// Gives the directories the claimer's name; whether the old one leads there. It is needed when the engine starts the
    /// container again.
    ///
    /// # Errors
    /// The system's.
    pub fn give_name_only(&self) -> Result<bool, WorkspaceError> {
        let (old, new) = (self.paths.worker(self.made_as), self.paths.worker(self.name));
        match fs::symlink_metadata(&old) {
            Ok(meta) if meta.is_symlink() => Ok(true),
            Ok(_) => fs::rename(&old, &new).map(|()| false).map_err(|error| told("can't move", &old, &error).into()),
            // Somebody was killed before the old one led there.
            Err(_) => Ok(false),
        }
    }

    /// The claim file, once it was taken: nothing is in it any more. Left there, it and what is beside it would only be a
    /// riddle to whoever looks into the home.
    pub fn sweep(&self) {
        if fs::symlink_metadata(self.claim()).is_ok_and(|meta| meta.len() == 0) {
            clear(&self.dir());
        }
    }

    fn dir(&self) -> PathBuf {
        let old = self.paths.worker(self.made_as);
        let real = fs::symlink_metadata(&old).is_ok_and(|meta| meta.is_dir());
        if real { old } else { self.paths.worker(self.name) }
    }

    fn claim(&self) -> PathBuf {
        self.dir().join("home").join(CLAIM)
    }
}

/// Warm workers whose directories are there, and who are not among these. Links go with what they lead to.
#[must_use]
pub fn left(paths: &Paths, kept: &BTreeSet<Name>) -> Vec<Name> {
    let Ok(entries) = fs::read_dir(paths.state.join("workers")) else { return Vec::new() };
    let real = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = real.filter_map(|entry| entry.file_name().to_str()?.parse::<Name>().ok());
    names.filter(|name| name.as_str().starts_with(WARM) && !kept.contains(name)).collect()
}

/// Whether this name's directories were those of a worker of the pool.
#[must_use]
pub fn is_of_the_pool(paths: &Paths, name: &Name) -> bool {
    !links(paths, name).is_empty()
}

/// Takes back a claim that nobody took: secrets are in it, and whoever has the directories next has a claim of their own.
pub(super) fn withdraw(worker: &Path) {
    clear(worker);
    drop(fs::remove_file(worker.join(TICKET)));
}

/// Removes the claim file, then those of its turns: in this order, or a claim that was taken could look like one that
/// waits.
fn clear(worker: &Path) {
    let home = worker.join("home");
    drop(fs::remove_file(home.join(CLAIM)));
    let Ok(entries) = fs::read_dir(&home) else { return };
    let ours = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(CLAIM));
    ours.for_each(|entry| drop(fs::remove_file(entry.path())));
}

/// What stands in the ticket about this run.
fn noted(dir: &Path, ticket: Ticket<'_>) -> Result<Option<(u32, bool)>, WorkspaceError> {
    match fs::read_to_string(dir.join(TICKET)) {
        Ok(text) => Ok(ticket.turn(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(told("can't read", &dir.join(TICKET), &error).into()),
    }
}

/// What the pool left beside a removed worker's directories.
pub(super) fn forget(paths: &Paths, name: &Name) {
    withdraw(&paths.worker(name));
    for link in links(paths, name) {
        drop(fs::remove_file(&link));
    }
}

fn links(paths: &Paths, name: &Name) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(paths.state.join("workers")) else { return Vec::new() };
    let leads_here = |path: &PathBuf| fs::read_link(path).is_ok_and(|target| target == Path::new(name.as_str()));
    entries.flatten().map(|entry| entry.path()).filter(leads_here).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> (tempfile::TempDir, Paths, Env) {
        let room = tempfile::tempdir().unwrap();
        let vars = [("XDG_STATE_HOME".to_owned(), room.path().display().to_string())].into();
        let us = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let env = Env { vars, home: "/home/ann".into(), uid: us.0, gid: us.1, ..Env::default() };
        let paths = Paths::of(&"bay".parse().unwrap(), &env);
        fs::create_dir_all(paths.state.join("workers/warm-1/home")).unwrap();
        (room, paths, env)
    }

    #[test]
    fn a_claim_is_written_into_what_was_laid_out() {
        use std::os::unix::fs::MetadataExt as _;
        let (_room, paths, env) = room();
        let (made_as, name) = ("warm-1".parse().unwrap(), "fox".parse().unwrap());
        let place = WarmPlace { paths: &paths, made_as: &made_as, name: &name };
        place.lay_out(("", &env)).unwrap();
        assert_eq!(place.look(ticket("run 1")).unwrap(), (false, File::None), "an empty one is none");
        let inodes = || [place.claim(), place.dir().join(TICKET)].map(|path| fs::metadata(path).unwrap().ino());
        let before = inodes();
        assert_eq!(place.write(ticket("run 1"), "echo claim", ("", &env)).unwrap(), Some(0));
        assert_eq!((inodes(), place.look(ticket("run 1")).unwrap()), (before, (false, File::Written(0))));
        // What leads there from the old name may come later, and may come twice.
        assert!(!place.give_name_only().unwrap());
        assert_eq!(place.look(ticket("run 1")).unwrap(), (false, File::Written(0)));
        for _ in 0..2 {
            place.give_name().unwrap();
            assert_eq!(place.look(ticket("run 1")).unwrap(), (true, File::Written(0)));
        }
    }

    fn ticket(run: &str) -> Ticket<'_> {
        Ticket { run, claim: Some("ours") }
    }

    #[test]
    fn a_claim_is_written_taken_moved_and_forgotten() {
        let (_room, paths, env) = room();
        let (made_as, name) = ("warm-1".parse().unwrap(), "fox".parse().unwrap());
        let place = WarmPlace { paths: &paths, made_as: &made_as, name: &name };
        assert_eq!(place.look(ticket("run 1")).unwrap(), (false, File::None));
        place.write(ticket("run 1"), "echo claim", ("", &env)).unwrap();
        assert_eq!(place.look(ticket("run 1")).unwrap(), (false, File::Written(0)));
        for _ in 0..2 {
            place.give_name().unwrap();
            assert_eq!(place.look(ticket("run 1")).unwrap(), (true, File::Written(0)));
        }
        let claim = paths.worker(&name).join("home").join(CLAIM);
        let written = fs::read_to_string(paths.state.join("workers/warm-1/home").join(CLAIM)).unwrap();
        assert!(written.contains("echo claim"), "{written}");
        fs::write(&claim, "").unwrap();
        assert_eq!(place.look(ticket("run 1")).unwrap(), (true, File::Taken));
        place.sweep();
        assert!(!claim.exists());
        assert_eq!(place.look(ticket("run 1")).unwrap(), (true, File::Taken));
        // The next run of the same worker is given it anew, even where the program left a trap.
        assert_eq!(place.look(ticket("run 2")).unwrap(), (true, File::None));
        let outside = paths.state.join("outside");
        std::os::unix::fs::symlink(&outside, &claim).unwrap();
        place.write(ticket("run 2"), "again", ("", &env)).unwrap();
        assert!(!outside.exists() && fs::read_to_string(&claim).unwrap().contains("again"));
        super::super::forget(&paths, &name).unwrap();
        assert_eq!(fs::read_dir(paths.state.join("workers")).unwrap().count(), 0);
    }

    #[test]
    fn a_move_that_was_cut_in_two_is_ended() {
        let (_room, paths, _) = room();
        let (made_as, name) = ("warm-1".parse().unwrap(), "fox".parse().unwrap());
        let place = WarmPlace { paths: &paths, made_as: &made_as, name: &name };
        fs::rename(paths.worker(&made_as), paths.worker(&name)).unwrap();
        assert!(!place.look(ticket("run")).unwrap().0);
        place.give_name().unwrap();
        assert!(place.look(ticket("run")).unwrap().0 && paths.worker(&made_as).join("home").is_dir());
    }

    #[test]
    fn only_what_nobody_has_is_left_over() {
        let (_room, paths, _) = room();
        let workers = paths.state.join("workers");
        for name in ["warm-2", "warm-3", "fox"] {
            fs::create_dir_all(workers.join(name)).unwrap();
        }
        symlink("fox", workers.join("warm-4")).unwrap();
        let mut left = left(&paths, &["warm-1".parse().unwrap()].into());
        left.sort();
        assert_eq!(left.iter().map(Name::as_str).collect::<Vec<_>>(), ["warm-2", "warm-3"]);
    }

    #[test]
    fn an_earlier_workers_files_are_no_ones_else() {
        let (_room, paths, env) = room();
        let (made_as, name) = ("warm-1".parse().unwrap(), "fox".parse().unwrap());
        fs::create_dir_all(paths.worker(&name).join("workspace")).unwrap();
        let place = WarmPlace { paths: &paths, made_as: &made_as, name: &name };
        let error = place.is_free().unwrap_err().to_string();
        assert!(error.contains("an earlier worker"), "{error}");
        fs::remove_dir_all(paths.worker(&name)).unwrap();
        place.is_free().unwrap();
        place.give_name().unwrap();
        place.is_free().unwrap();
        place.write(ticket("run"), "x", ("", &env)).unwrap();
        // The claim failed: whoever is made under the name now finds nothing of it, and what is left is known.
        assert!(is_of_the_pool(&paths, &name));
        let (claim, ticket) = (paths.worker(&name).join("home").join(CLAIM), paths.worker(&name).join(TICKET));
        assert!(claim.exists() && ticket.exists());
        withdraw(&paths.worker(&name));
        assert!(!claim.exists() && !ticket.exists());
        forget(&paths, &name);
        assert!(!is_of_the_pool(&paths, &name));
    }

    #[test]
    fn a_claim_file_of_another_claim_is_written_anew() {
        let (_room, paths, env) = room();
        let (made_as, name) = ("warm-1".parse().unwrap(), "fox".parse().unwrap());
        let place = WarmPlace { paths: &paths, made_as: &made_as, name: &name };
        place.write(Ticket { run: "run", claim: Some("theirs") }, "x", ("", &env)).unwrap();
        assert_eq!(place.look(ticket("run")).unwrap().1, File::None);
        assert_eq!(place.look(Ticket { run: "run", claim: None }).unwrap().1, File::Written(0));
        // The gate may have been woken for the other one.
        assert_eq!(place.write(ticket("run"), "y", ("", &env)).unwrap(), Some(1));
        assert_eq!(place.look(ticket("run")).unwrap().1, File::Written(1));
    }

    #[test]
    fn a_turn_that_the_gate_has_taken_is_given_to_nobody() {
        let (_room, paths, env) = room();
        let (made_as, name) = ("warm-1".parse().unwrap(), "fox".parse().unwrap());
        let place = WarmPlace { paths: &paths, made_as: &made_as, name: &name };
        let write = || place.write(ticket("2026-01-01T00:00:00.5Z"), "x", ("", &env)).unwrap();
        let home = paths.worker(&made_as).join("home");
        assert_eq!((write(), write(), write()), (Some(0), Some(1), Some(2)));
        // The gate has the turn, and is slow to empty the file.
        fs::write(home.join(turn_file("2026-01-01T00:00:00.5Z", 2)), "").unwrap();
        assert_eq!(write(), None);
        fs::write(home.join(CLAIM), "").unwrap();
        place.sweep();
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
        assert_eq!(write(), None, "taken and swept");
    }
}
