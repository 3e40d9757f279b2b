//! What the engine can't do, each with its reason. Pure: what it depends on is given.

use std::path::Path;

use super::landlock;
use crate::bay::isolation::Isolation;
use crate::bay::limit::what;
use crate::engine::Limitation;

/// Everything that is to be said of a level: who opens its namespaces where podbay may not, whether control groups can be
/// had, and the version of this kernel's Landlock.
#[must_use]
pub fn limitations(
    level: Isolation,
    opener: Option<&Path>,
    cgroups: &Result<(), String>,
    landlock: i32,
) -> Vec<Limitation> {
    let mut limits = match level {
        Isolation::Namespaces | Isolation::Container => of_namespaces(opener),
        Isolation::Landlock => of_landlock(landlock),
        Isolation::None => of_nothing(),
    };
    limits.push(limitation((what::IMAGES, "the host image alone, no others")));
    if let Err(why) = cgroups {
        limits.extend(without_groups(level, why));
    }
    limits
}

fn limitation((what, why): (&str, &str)) -> Limitation {
    Limitation { what: what.to_owned(), why: why.to_owned() }
}

fn of_namespaces(opener: Option<&Path>) -> Vec<Limitation> {
    let own = [
        (what::SECCOMP, "system calls are not filtered; capabilities and namespaces are the walls"),
        (what::BRIDGE, "a container with a network shares the machine's own"),
    ];
    let opened = opener.map(|path| Limitation {
        what: "user namespace".to_owned(),
        why: format!("opened by {}: this machine refuses podbay one of its own", path.display()),
    });
    own.into_iter().map(limitation).chain(opened).collect()
}

/// Where there are no namespaces, whatever the walls.
const WITHOUT_NAMESPACES: [(&str, &str); 5] = [
    (what::SHARED, "not isolated: without namespaces, all workers have the machine's own network"),
    (what::BRIDGE, "the machine's own network, as for all workers"),
    (
        what::MOUNTS,
        "not at their places: a worker finds them where they lie, and by links below $PODBAY_ROOT; HOME and TMPDIR are \
         its own",
    ),
    ("processes", "names and arguments of all of the machine's can be seen: there is no pid namespace"),
    ("hostname", "the machine's own"),
];

fn of_landlock(version: i32) -> Vec<Limitation> {
    let own = [
        (what::SOCKETS, "refused, an ssh agent's too: Landlock does not wall off their paths"),
        ("terminals of its own", "refused: Landlock can't tell a worker's from the user's, so no tmux and no script"),
        ("shared memory", "refused: /dev/shm and that of System V are the machine's"),
        ("/tmp", "the machine's is closed; $TMPDIR names the worker's own"),
        ("modes of files", "not walled: those of the user's files can be changed, their names and sizes seen"),
        ("32-bit programs", "ended: the filter of system calls knows the machine's own numbers alone"),
    ];
    let mut all: Vec<Limitation> = WITHOUT_NAMESPACES.into_iter().chain(own).map(limitation).collect();
    if version < landlock::SIGNALS {
        let why =
            format!("not walled: this kernel's Landlock (version {version}) lets processes of the user be signalled");
        all.push(Limitation { what: "signals".to_owned(), why });
    }
    all
}

fn of_nothing() -> Vec<Limitation> {
    let own = [
        (what::WALLS, "none: a worker is a process of the user's, with all that the user may do"),
        (what::SECCOMP, "system calls are not filtered"),
    ];
    own.into_iter().chain(WITHOUT_NAMESPACES).map(limitation).collect()
}

/// Where no control groups hold what runs.
fn without_groups(level: Isolation, why: &str) -> Vec<Limitation> {
    let missing = |what: &str| Limitation { what: what.to_owned(), why: format!("not enforced, {why}") };
    let each = format!("held for each process alone, not for all of them together, {why}");
    let mut limits =
        vec![missing(what::CPU), Limitation { what: what::MEMORY.to_owned(), why: each }, missing(what::RESERVATION)];
    // In a user namespace of its own the kernel counts them apart.
    if matches!(level, Isolation::Landlock | Isolation::None) {
        limits.push(missing(what::PROCESSES));
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_DELEGATED: &str = "cgroups are not delegated to this user";

    /// Every name in its order with how its reason begins.
    fn told(level: Isolation, opener: Option<&str>, cgroups: bool, landlock: i32) -> Vec<(String, String)> {
        let cgroups = if cgroups { Ok(()) } else { Err(NOT_DELEGATED.to_owned()) };
        let all = limitations(level, opener.map(Path::new), &cgroups, landlock);
        all.into_iter().map(|limit| (limit.what, limit.why)).collect()
    }

    #[test]
    fn every_level_says_what_it_leaves_open_and_nothing_else() {
        let groups = [
            ("limit of CPU", "not enforced, cgroups"),
            ("limit of memory", "held for each process alone"),
            ("memory reservation", "not enforced, cgroups"),
        ];
        let pids = [("limit of processes", "not enforced, cgroups")];
        let namespaces =
            [("seccomp", "system calls are not filtered; capabilities"), ("bridge network", "a container")];
        let opened = [("user namespace", "opened by /usr/bin/bwrap")];
        let bare = [
            ("shared namespace", "not isolated"),
            ("bridge network", "the machine's own"),
            ("mounts", "not at their places"),
            ("processes", "names and arguments"),
            ("hostname", "the machine's own"),
        ];
        let landlock = [
            ("unix sockets", "refused"),
            ("terminals of its own", "refused"),
            ("shared memory", "refused"),
            ("/tmp", "the machine's is closed"),
            ("modes of files", "not walled"),
            ("32-bit programs", "ended"),
        ];
        let signals = [("signals", "not walled: this kernel's Landlock (version 5)")];
        let none = [("walls", "none: a worker is a process"), ("seccomp", "system calls are not filtered")];
        let images = [("images", "the host image alone")];
        let (own, bwrap) = (None, Some("/usr/bin/bwrap"));
        let table = [
            (Isolation::Namespaces, own, true, 7, [&namespaces[..], &images].concat()),
            (Isolation::Namespaces, own, false, 0, [&namespaces[..], &images, &groups].concat()),
            (Isolation::Namespaces, bwrap, true, 7, [&namespaces[..], &opened, &images].concat()),
            (Isolation::Landlock, own, true, 7, [&bare[..], &landlock, &images].concat()),
            (Isolation::Landlock, own, true, 5, [&bare[..], &landlock, &signals, &images].concat()),
            (Isolation::Landlock, own, false, 7, [&bare[..], &landlock, &images, &groups, &pids].concat()),
            (Isolation::None, own, true, 7, [&none[..], &bare, &images].concat()),
            (Isolation::None, own, false, 0, [&none[..], &bare, &images, &groups, &pids].concat()),
        ];
        for (level, opener, cgroups, version, expected) in table {
            let told = told(level, opener, cgroups, version);
            let names = |all: &[(String, String)]| all.iter().map(|(what, _)| what.clone()).collect::<Vec<_>>();
            let expected_names: Vec<&str> = expected.iter().map(|(what, _)| *what).collect();
            assert_eq!(names(&told), expected_names, "{level} {opener:?} {cgroups} {version}");
            for ((what, why), (_, begins)) in told.iter().zip(&expected) {
                assert!(why.starts_with(begins), "{level}: {what}: {why}");
            }
        }
    }

    #[test]
    fn nothing_that_is_said_contradicts_another() {
        for cgroups in [true, false] {
            let all = told(Isolation::None, None, cgroups, 0);
            // Whoever has no walls has none of another kind, and no namespaces.
            let others = all.iter().filter(|(what, _)| what != "walls").map(|(_, why)| why.as_str());
            for why in others {
                assert!(!why.contains("are the walls") && !why.contains("namespaces are"), "{why}");
            }
            let enforced = !all.iter().any(|(what, _)| what == "limit of processes");
            assert_eq!(enforced, cgroups, "control groups hold bare processes, too");
        }
    }
}
