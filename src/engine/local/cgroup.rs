//! Limits by the kernel's control groups, where this user may make some: of version 2 where that is all there is, else of
//! version 1.

mod one;
mod two;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::place::Place;
use crate::bay::container::ContainerSpec;

/// The group of all local containers; each has one below it, by its id.
const GROUP: &str = "podbay";
/// Where the kernel shows them.
const ROOT: &str = "/sys/fs/cgroup";
/// The time that a share of the CPUs is measured over, in microseconds.
const PERIOD: u64 = 100_000;
/// A group whose last process is still on its way out can't be removed: tried so often, with a pause between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// A file and what is written into it.
type Setting = (&'static str, String);

/// Where groups are made.
enum Tree {
    One(PathBuf),
    /// The group that holds those of containers.
    Two(PathBuf),
}

impl Tree {
    /// Found once: a shim asks again and again, while somebody waits for its terminal.
    fn known() -> Option<&'static Self> {
        static KNOWN: OnceLock<Tree> = OnceLock::new();
        if KNOWN.get().is_none() {
            // Two that look at once find the same.
            let _ = KNOWN.set(Self::find().ok()?);
        }
        KNOWN.get()
    }

    /// Of this machine; why there is none.
    fn find() -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::below(Path::new(ROOT), &own, &two::may_write)
    }

    fn below(root: &Path, own: &str, may: &dyn Fn(&Path) -> bool) -> Result<Self, String> {
        if root.join("cgroup.controllers").exists() {
            let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
            return two::find(root, own, may).map(Self::Two);
        }
        one::check(root).map(|()| Self::One(root.to_owned()))
    }

    fn enter(&self, spec: &ContainerSpec, id: &str, pid: u32) -> Vec<OwnedFd> {
        match self {
            Self::One(root) => {
                let groups = one::settings(&spec.limits).into_iter();
                let groups = groups.map(|(name, values)| (root.join(name).join(GROUP).join(id), values));
                groups.filter_map(|(group, values)| make(&group, values).then(|| one::door(&group))?).collect()
            }
            Self::Two(top) => {
                let group = top.join(id);
                if make(&group, two::settings(&spec.limits)) {
                    let _ = fs::write(group.join("cgroup.procs"), pid.to_string());
                }
                Vec::new()
            }
        }
    }

    /// Without limits: those come when it is known whose they are.
    fn prepare(&self, id: &str) -> Vec<OwnedFd> {
        match self {
            Self::One(root) => one::groups(root, id)
                .iter()
                .filter_map(|group| make(group, Vec::new()).then(|| one::door(group))?)
                .collect(),
            Self::Two(top) => {
                make(&top.join(id), Vec::new());
                Vec::new()
            }
        }
    }

    fn put(&self, id: &str, pid: u32) {
        if let Self::Two(top) = self {
            let _ = fs::write(top.join(id).join("cgroup.procs"), pid.to_string());
        }
    }

    fn limit(&self, spec: &ContainerSpec, id: &str) {
        let groups = match self {
            Self::One(root) => {
                let groups = one::settings(&spec.limits).into_iter();
                groups.map(|(name, values)| (root.join(name).join(GROUP).join(id), values)).collect()
            }
            Self::Two(top) => vec![(top.join(id), two::settings(&spec.limits))],
        };
        for (group, values) in groups {
            set(&group, values);
        }
    }

    fn leave(&self, id: &str) -> bool {
        let (killed, groups) = match self {
            Self::One(root) => (one::killed(root, id), one::groups(root, id)),
            Self::Two(top) => (two::killed(&top.join(id)), vec![top.join(id)]),
        };
        for group in groups {
            remove(&group);
        }
        killed
    }
}

/// What can't be set is not, and [`available`] says so where that is known before.
fn make(group: &Path, values: Vec<Setting>) -> bool {
    if fs::create_dir_all(group).is_err() {
        return false;
    }
    set(group, values);
    true
}

fn set(group: &Path, values: Vec<Setting>) {
    for (file, value) in values {
        // Swap accounting may be missing; then memory alone is limited.
        let _ = fs::write(group.join(file), value);
    }
}

fn remove(group: &Path) {
    for _ in 0..TRIES {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(PAUSE),
            // Already gone, or not ours to remove.
            _ => return,
        }
    }
}

/// Makes a group that this user may make others in.
fn made(group: &Path) -> Result<(), String> {
    let made = fs::create_dir_all(group);
    let may = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let usable = made.and_then(|()| Ok(rustix::fs::access(group, may)?));
    usable.map_err(|error| format!("cgroups are not delegated to this user ({}: {error})", group.display()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of CPUs times 1e5 fits")]
fn quota(cpus: f64) -> u64 {
    // The kernel takes no less than a millisecond.
    ((cpus * 1e5).round() as u64).max(1000)
}

/// Whether this user may make groups, and why not.
///
/// # Errors
/// What is missing, in words.
pub fn available() -> Result<(), String> {
    Tree::find().map(drop)
}

/// Puts a container's first process under its limits. Into the groups of what is given back it goes by itself, with a `0`.
pub fn enter(spec: &ContainerSpec, place: &Place, pid: u32) -> Vec<OwnedFd> {
    match (place.id(), Tree::known()) {
        (Some(id), Some(tree)) => tree.enter(spec, id, pid),
        _ => Vec::new(),
    }
}

/// Makes the groups of a container to be. Into those of what is given back its first process goes by itself.
pub fn prepare(place: &Place) -> Vec<OwnedFd> {
    match (place.id(), Tree::known()) {
        (Some(id), Some(tree)) => tree.prepare(id),
        _ => Vec::new(),
    }
}

/// Puts its first process into the others.
pub fn put(place: &Place, pid: u32) {
    if let (Some(id), Some(tree)) = (place.id(), Tree::known()) {
        tree.put(id, pid);
    }
}

/// Sets the limits of groups that were made ahead.
pub fn limit(spec: &ContainerSpec, place: &Place) {
    if let (Some(id), Some(tree)) = (place.id(), Tree::known()) {
        tree.limit(spec, id);
    }
}

/// Takes a container's groups away, once nothing is in them; whether the kernel had killed in it for memory.
pub fn leave(place: &Place) -> bool {
    match (place.id(), Tree::known()) {
        (Some(id), Some(tree)) => tree.leave(id),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::template::Limits;
    use crate::config::Config;

    fn limits() -> Limits {
        let mut limits = Config::defaults().unwrap().worker.limits;
        (limits.cpus, limits.pids) = (1.5, 100);
        limits.memory = crate::bay::size::ByteSize::bytes(1 << 20);
        limits
    }

    fn none(mut limits: Limits) -> Limits {
        (limits.cpus, limits.pids) = (0.0, 0);
        limits.memory = crate::bay::size::ByteSize::bytes(0);
        limits
    }

    #[test]
    fn limits_become_what_the_kernel_takes() {
        let all = one::settings(&limits());
        let find = |name: &str| all.iter().find(|(hierarchy, _)| *hierarchy == name).unwrap().1.clone();
        assert_eq!(find("cpu")[1], ("cpu.cfs_quota_us", "150000".to_owned()));
        assert_eq!(find("pids"), [("pids.max", "100".to_owned())]);
        let memory: Vec<_> = find("memory").into_iter().map(|(file, _)| file).collect();
        assert_eq!(memory, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]);
        assert!(one::settings(&none(limits())).iter().all(|(_, values)| values.is_empty()), "0 is no limit");
        let of_two = two::settings(&limits()).into_iter().map(|(file, value)| format!("{file}={value}"));
        let of_two: Vec<String> = of_two.collect();
        assert_eq!(of_two, ["memory.max=1048576", "memory.swap.max=0", "cpu.max=150000 100000", "pids.max=100"]);
        assert_eq!(two::settings(&none(limits())), []);
        assert_eq!(quota(0.001), 1000);
    }

    /// A tree of version 2 as files: groups with what they have and what they hand down. The rules of the kernel are not
    /// in it.
    fn fake(groups: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, controllers, handed) in groups {
            let dir = root.path().join(path);
            fs::create_dir_all(&dir).unwrap();
            let files =
                [("cgroup.controllers", *controllers), ("cgroup.subtree_control", *handed), ("cgroup.procs", "")];
            for (file, text) in files {
                fs::write(dir.join(file), text).unwrap();
            }
        }
        root
    }

    const ALL: &str = "cpuset cpu io memory pids";

    #[test]
    fn root_makes_groups_at_the_top_and_a_container_is_put_there() {
        let root = fake(&[("", ALL, ""), ("podbay", ALL, ""), ("system.slice", ALL, "")]);
        let tree = Tree::below(root.path(), "0::/system.slice\n", &|_| true).unwrap();
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        assert_eq!(read("cgroup.subtree_control"), "+cpu +memory +pids");
        assert_eq!(read("podbay/cgroup.subtree_control"), "+cpu +memory +pids");
        let spec =
            crate::engine::local::probe::sample().map(|spec| ContainerSpec { limits: limits(), ..spec }).unwrap();
        tree.enter(&spec, "ab", 42);
        let group = |file: &str| read(&format!("podbay/ab/{file}"));
        let all = ["cgroup.procs", "memory.max", "cpu.max", "pids.max"].map(group);
        assert_eq!(all, ["42", "1048576", "150000 100000", "100"]);
        fs::write(root.path().join("podbay/ab/memory.events"), "low 0\nmax 3\noom 1\noom_kill 1\n").unwrap();
        assert!(tree.leave("ab"), "it was killed for its memory");
        fs::write(root.path().join("podbay/ab/memory.events"), "oom_kill 0\n").unwrap();
        assert!(!tree.leave("ab"));
    }

    #[test]
    fn what_is_handed_down_already_is_not_asked_for_again() {
        let root = fake(&[("", ALL, "cpu io memory pids"), ("podbay", ALL, "memory pids")]);
        Tree::below(root.path(), "0::/\n", &|_| true).unwrap();
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        assert_eq!(read("cgroup.subtree_control"), "cpu io memory pids");
        assert_eq!(read("podbay/cgroup.subtree_control"), "+cpu");
    }

    #[test]
    fn a_user_has_the_highest_group_that_is_delegated() {
        let (user, own) = ("user.slice/user@7.service", "user.slice/user@7.service/app.slice/podbay.service");
        let root = fake(&[
            ("", ALL, "cpu memory pids"),
            ("user.slice", ALL, "cpu memory pids"),
            (user, ALL, "cpu memory pids"),
            ("user.slice/user@7.service/app.slice", ALL, "cpu memory pids"),
            (own, ALL, ""),
            ("user.slice/user@7.service/podbay", ALL, ""),
        ]);
        let below = |part: &'static str| {
            let part = root.path().join(part);
            move |dir: &Path| dir.starts_with(&part)
        };
        let Ok(Tree::Two(top)) = Tree::below(root.path(), &format!("0::/{own}\n"), &below(user)) else {
            panic!("no tree")
        };
        assert_eq!(top, root.path().join(user).join("podbay"));
        let why = Tree::below(root.path(), &format!("0::/{own}\n"), &below("elsewhere")).err().unwrap();
        assert!(why.contains("not delegated") && why.contains("Delegate=yes"), "{why}");
        // Delegated, and without what limits need.
        let root = fake(&[("", "cpu io", "")]);
        let why = Tree::below(root.path(), "0::/\n", &|_| true).err().unwrap();
        assert!(why.contains("no controller memory"), "{why}");
    }
}
