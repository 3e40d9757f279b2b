//! A supervisor that is killed at any step, again and again: everything that could be left over is looked for.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use super::{Nest, until};
use crate::skip::has_landlock;

/// What the containers of a bay were called, so that what is left of them is found when they are gone.
#[derive(Default)]
struct Trace(BTreeSet<String>);

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn containers(nest: &Nest) -> PathBuf {
    nest.path("s/podbay").join(&nest.bay).join("containers")
}

impl Trace {
    fn note(&mut self, nest: &Nest) {
        self.0.extend(names(&containers(nest)).into_iter().filter(|name| name.len() == 64));
    }

    /// Groups of every hierarchy that there is, of both versions, wherever they were delegated.
    fn groups(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        let mut dirs = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if entry.file_name().to_str().is_some_and(|name| self.0.contains(name)) {
                    left.push(entry.path());
                }
                dirs.push(entry.path());
            }
        }
        left
    }
}

/// Steps that are others in each run, and the same where `PODBAY_TEST_SEED` names a failed run's.
struct Steps(u64);

impl Steps {
    fn new() -> Self {
        let named = std::env::var("PODBAY_TEST_SEED").ok();
        let seed = named.map_or_else(|| RandomState::new().hash_one(0), |seed| seed.parse().unwrap());
        // Shown when the test fails.
        #[expect(clippy::print_stdout, reason = "the seed makes a failure again")]
        {
            println!("PODBAY_TEST_SEED={seed}");
        }
        Self(seed)
    }

    fn below(&self, turn: u64, what: &str, limit: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0, turn, what).hash(&mut hasher);
        hasher.finish() % limit
    }
}

/// Processes that live in a world made of this directory, or have a part of it open: with the last of them go the
/// namespaces and the mounts in them.
fn inhabitants(root: &Path) -> Vec<String> {
    let root = root.display().to_string();
    let pids = names(Path::new("/proc")).into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let lives = |pid: &String| {
        let home = Path::new("/proc").join(pid);
        let mounted = fs::read_to_string(home.join("mountinfo")).is_ok_and(|text| text.contains(&root));
        let open = names(&home.join("fd")).into_iter().filter_map(|fd| fs::read_link(home.join("fd").join(fd)).ok());
        mounted || open.into_iter().any(|link| link.starts_with(&root))
    };
    let own = std::process::id().to_string();
    pids.filter(|pid| *pid != own && lives(pid))
        .map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " "))
        .collect()
}

fn killed_at_random(nest: &Nest, times: u64) {
    let (mut trace, steps) = (Trace::default(), Steps::new());
    nest.ok(&["up"]);
    // How long a making takes on this machine at present: the kills are spread over all of it.
    let begun = Instant::now();
    nest.ok(&["spawn", "first", "-d"]);
    let whole = begun.elapsed();
    for turn in 0..times {
        let name = format!("w{}", steps.below(turn, "worker", 4));
        let verbs: [&[&str]; 5] = [
            &["spawn", &name, "-d"],
            &["spawn", &name, "-d"],
            &["restart", &name],
            &["stop", &name],
            &["rm", "-f", "-y", &name],
        ];
        let verb = verbs[usize::try_from(steps.below(turn, "verb", 5)).unwrap()];
        let mut running = nest.command(verb).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Somewhere in the middle of it. After a kill, a supervisor is begun first: also that is a step to be killed at.
        let part = u32::try_from(steps.below(turn, "time", 1000)).unwrap();
        std::thread::sleep(whole * part / 500);
        trace.note(nest);
        nest.kill_supervisor_unasked();
        let _ = running.wait();
        trace.note(nest);
    }
    nest.ok(&["ls"]);
    until("each container is one of the bay's", || {
        let rows = nest.json(&["ls"]);
        let states: Vec<String> = rows.as_array().unwrap().iter().map(|row| row["state"].to_string()).collect();
        let settled = states.iter().all(|state| !state.contains("creating") && !state.contains("unknown"));
        if settled { Ok(()) } else { Err(format!("{states:?}")) }
    });
    trace.note(nest);
    assert!(!trace.0.is_empty(), "nothing was ever made");
    let rows = nest.json(&["ls"]);
    let mut left: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    // Last, or its workers are cut off.
    left.sort_by_key(|name| *name == "parent");
    for name in left {
        nest.ok(&["rm", "-f", "-y", name]);
    }
    nest.ok(&["down", "--workers", "-y"]);
    until("no process is left", || {
        let (named, living) = (nest.processes(), inhabitants(nest.root.path()));
        if named.is_empty() && living.is_empty() { Ok(()) } else { Err(format!("{named:?} {living:?}")) }
    });
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&nest.root.path().display().to_string()), "mounts are left: {mounts}");
    assert_eq!(trace.groups(), Vec::<PathBuf>::new(), "control groups are left");
    assert_eq!(names(&containers(nest)), Vec::<String>::new(), "files of containers are left");
    let workers = nest.path("s/podbay").join(&nest.bay).join("workers");
    assert_eq!(names(&workers), Vec::<String>::new(), "directories of workers are left");
    let sockets = nest.path("r/podbay");
    assert_eq!(names(&sockets), Vec::<String>::new(), "sockets are left");
}

#[test]
fn kills_at_random_leave_nothing() {
    let Some(nest) = Nest::new("kills_at_random_leave_nothing", "") else { return };
    killed_at_random(&nest, 16);
}

/// The same with a network of its own.
#[test]
fn kills_at_random_leave_nothing_behind_a_wall() {
    let Some(nest) = Nest::new("kills_at_random_leave_nothing_behind_a_wall", "[network]\nallow = [\"example.org\"]\n")
    else {
        return;
    };
    killed_at_random(&nest, 16);
}

#[test]
#[ignore = "the long form: 200 kills"]
fn two_hundred_kills_leave_nothing() {
    let Some(nest) = Nest::new("two_hundred_kills_leave_nothing", "") else { return };
    killed_at_random(&nest, 200);
}

/// A bay whose workers have these walls and no namespaces.
fn killed_at(test: &str, level: &str, times: u64) {
    let nest = Nest::bare("");
    if level == "landlock" && !has_landlock(test) {
        return;
    }
    let file = nest.path("c/podbay/config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("kind = \"local\"", &format!("kind = \"local\"\nisolation = \"{level}\""))).unwrap();
    killed_at_random(&nest, times);
}

#[test]
fn kills_at_random_leave_nothing_with_landlock() {
    killed_at("kills_at_random_leave_nothing_with_landlock", "landlock", 16);
}

#[test]
fn kills_at_random_leave_nothing_without_walls() {
    killed_at("kills_at_random_leave_nothing_without_walls", "none", 16);
}

#[test]
#[ignore = "the long form: 200 kills"]
fn two_hundred_kills_leave_nothing_with_landlock() {
    killed_at("two_hundred_kills_leave_nothing_with_landlock", "landlock", 200);
}

#[test]
#[ignore = "the long form: 200 kills"]
fn two_hundred_kills_leave_nothing_without_walls() {
    killed_at("two_hundred_kills_leave_nothing_without_walls", "none", 200);
}
