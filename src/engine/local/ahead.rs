//! What can be made of a container's world before it is known whose it will be, and whether it still fits when it is.
//!
//! What every container of a layout shows is mounted ahead; the mounts of its spec, its files and its name come when it
//! is wanted. Such a world shows the machine as it was when it was made: where that has changed, it is not used. Pure, but
//! for what looks at the machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::init::mounts::unescaped;
use super::plan::{self, Plan};
use super::wire::{MOST, Program};
use crate::bay::mount::Mount;
use crate::engine::docker::host_image::Layout;

/// Mounted in every world, beside what its plan names.
const OWN: [&str; 4] = ["/dev", "/dev/pts", "/dev/shm", "/proc"];

/// The plan of what is made ahead, with this root.
#[must_use]
pub fn usual(layout: &Layout, root: PathBuf, all_ids: bool, sys: &dyn Fn(&str) -> bool) -> Plan {
    let mut binds: Vec<Mount> = layout.mounts(&[]).into_iter().chain(plan::devices(sys)).collect();
    binds.sort_by_key(|mount| mount.target.components().count());
    Plan {
        root,
        hostname: String::new(),
        binds,
        files: Vec::new(),
        memory: vec![(plan::RUN.0.into(), plan::RUN.1.to_owned())],
        read_only: false,
        own_network: false,
        all_ids,
        capabilities: 0,
        no_new_privileges: true,
        nofile: (0, 0),
        instead: None,
        bare: None,
        main: Program { cwd: "/".into(), ..Program::default() },
    }
}

/// Whether the world of a plan can be made of what was made ahead, with the same result as from nothing.
#[must_use]
pub fn fits(ahead: &Plan, wanted: &Plan) -> bool {
    let alike = wanted.bare.is_none()
        && wanted.main.tty.is_some()
        && (wanted.own_network, wanted.all_ids) == (ahead.own_network, ahead.all_ids)
        && ahead.binds.iter().all(|mount| wanted.binds.contains(mount))
        && ahead.memory.iter().all(|memory| wanted.memory.contains(memory));
    let binds = || ahead.binds.iter().map(|mount| mount.target.as_path());
    let own = OWN.iter().map(Path::new);
    let made: Vec<&Path> = binds().chain(ahead.memory.iter().map(|(target, _)| target.as_path())).chain(own).collect();
    // Closed already: nothing can be made there to mount on.
    let closed: Vec<&Path> = binds().chain([Path::new("/proc")]).collect();
    let late = beside(ahead, wanted).map(|mount| mount.target.as_path());
    let mut late = late.chain(memory_beside(ahead, wanted).map(|(target, _)| target.as_path()));
    alike
        && late.all(|target| {
            made.iter().all(|made| !made.starts_with(target)) && closed.iter().all(|closed| !target.starts_with(closed))
        })
        && length(&wanted.main) < MOST / 4
}

/// Roughly what it takes in a message.
fn length(program: &Program) -> usize {
    let env = program.env.iter().map(|(key, value)| key.len() + value.len());
    env.chain(program.command.iter().map(String::len)).map(|length| length + 8).sum()
}

/// The binds of a plan that were not made ahead.
pub fn beside<'a>(ahead: &'a Plan, wanted: &'a Plan) -> impl Iterator<Item = &'a Mount> {
    wanted.binds.iter().filter(|mount| !ahead.binds.contains(mount))
}

/// The same of memory file systems.
pub fn memory_beside<'a>(ahead: &'a Plan, wanted: &'a Plan) -> impl Iterator<Item = &'a (PathBuf, String)> {
    wanted.memory.iter().filter(|memory| !ahead.memory.contains(memory))
}

/// The machine, as far as a world may show it: what stands at the sources of its binds, and the table of mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    nodes: Vec<Option<(u64, u64)>>,
    mounts: Vec<u8>,
}

impl Seen {
    /// At this moment, for what was made ahead.
    #[must_use]
    pub fn now(ahead: &Plan) -> Self {
        // A file that was replaced is another, as long as the old one is mounted: its number is not free.
        let node = |mount: &Mount| fs::metadata(&mount.source).ok().map(|meta| (meta.dev(), meta.ino()));
        let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
        Self { nodes: ahead.binds.iter().map(node).collect(), mounts }
    }

    /// Whether a world that was made when the machine was so still shows the same of it `now`, also at these sources:
    /// nothing was mounted there or went.
    #[must_use]
    pub fn holds(&self, now: &Self, sources: &[PathBuf]) -> bool {
        if self.nodes != now.nodes || now.mounts.is_empty() {
            return false;
        }
        if self.mounts == now.mounts {
            return true;
        }
        let (before, now) = (table(&self.mounts), table(&now.mounts));
        sources.iter().all(|source| around(&before, source).eq(around(&now, source)))
    }
}

/// Where each mount stands, and all that the kernel says of it.
fn table(text: &[u8]) -> Vec<(PathBuf, &[u8])> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| Some((unescaped(line.split(|byte| *byte == b' ').nth(4)?), line))).collect()
}

/// Mounts that a place lies on, and those below it.
fn around<'a>(table: &'a [(PathBuf, &'a [u8])], place: &'a Path) -> impl Iterator<Item = &'a [u8]> {
    let touches = move |at: &Path| place.starts_with(at) || at.starts_with(place);
    table.iter().filter(move |(at, _)| touches(at)).map(|(_, line)| *line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::session::TermSize;

    fn bind(source: &str, target: &str) -> Mount {
        Mount { source: source.into(), target: target.into(), read_only: true }
    }

    fn ahead() -> Plan {
        let layout = Layout::of(Path::new("/"));
        usual(&layout, "/s/ab.new/rootfs".into(), true, &|name| name == "class")
    }

    fn wanted(more: &[Mount]) -> Plan {
        let mut plan = Plan { root: "/s/ab/rootfs".into(), hostname: "fox".to_owned(), ..ahead() };
        plan.main.tty = Some(TermSize::default());
        plan.binds.extend(more.iter().cloned());
        plan
    }

    #[test]
    fn what_comes_late_has_to_lie_beside_what_is_there() {
        assert!(fits(&ahead(), &wanted(&[])));
        for (target, fit) in [
            ("/workspace", true),
            ("/home/ann", true),
            ("/run/secrets/token", true),
            ("/dev/fuse", true),
            ("/root", true),
            ("/etc/mine", true),
            ("/usr", false),
            ("/usr/local/mine", false),
            ("/etc", false),
            ("/", false),
            ("/run", false),
            ("/dev", false),
            ("/sys", false),
            ("/sys/class/mine", false),
            ("/proc/mine", false),
        ] {
            assert_eq!(fits(&ahead(), &wanted(&[bind("/p", target)])), fit, "{target}");
        }
    }

    #[test]
    fn another_kind_of_world_does_not_fit() {
        let change: [fn(&mut Plan); 6] = [
            |plan| plan.main.tty = None,
            |plan| plan.own_network = true,
            |plan| plan.all_ids = false,
            |plan| drop(plan.binds.remove(0)),
            |plan| plan.memory.clear(),
            |plan| plan.main.command = vec!["x".repeat(MOST / 4)],
        ];
        for (number, change) in change.into_iter().enumerate() {
            let mut plan = wanted(&[]);
            change(&mut plan);
            assert!(!fits(&ahead(), &plan), "{number}");
        }
        let mut closed = wanted(&[]);
        closed.read_only = true;
        closed.memory.push(("/tmp".into(), "size=1g".to_owned()));
        assert!(fits(&ahead(), &closed));
        assert_eq!(memory_beside(&ahead(), &closed).count(), 1);
    }

    #[test]
    fn a_machine_that_has_changed_is_not_the_one_that_was_shown() {
        let seen = |nodes: &[u64], mounts: &str| Seen {
            nodes: nodes.iter().map(|node| Some((1, *node))).collect(),
            mounts: mounts.as_bytes().to_vec(),
        };
        let top = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /data rw - ext4 b rw\n";
        let before = seen(&[7], top);
        let holds = |now: &Seen, source: &str| before.holds(now, &[source.into()]);
        assert!(holds(&before, "/data/p"));
        assert!(!holds(&seen(&[8], top), "/data/p"), "a file was replaced");
        assert!(!holds(&seen(&[7], ""), "/data/p"), "nothing is known");
        let more = |line: &str| seen(&[7], &format!("{top}{line}\n"));
        for (at, held) in
            [("/data/p", false), ("/data/p/deep", false), ("/data", false), ("/data/q", true), ("/x", true)]
        {
            assert_eq!(holds(&more(&format!("3 2 8:3 / {at} rw - ext4 c rw")), "/data/p"), held, "{at}");
        }
        assert!(!holds(&seen(&[7], "1 0 8:1 / / rw - ext4 a rw\n"), "/data/p"), "it went");
        assert!(holds(&seen(&[7], "1 0 8:1 / / rw - ext4 a rw\n"), "/else"));
    }
}
