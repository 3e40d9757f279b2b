//! From the walls that are wanted to those that can be had: what is tried, what is said where it is refused, and what each
//! level leaves open. Nothing here goes below what the user named.

use std::path::{Path, PathBuf};

use super::place::Record;
use super::plan::Plan;
use super::probe::{Facts, remedy};
use super::{LocalEngine, bare, endpoint, landlock, opener};
use crate::bay::container::NetworkSpec;
use crate::bay::isolation::Isolation;
use crate::engine::docker::host_image::Layout;
use crate::engine::{EngineError, Limitation};

/// How the words of a rung end that the user may name.
const BY_WORD: &str = "`podbay --isolation landlock` runs workers with the weaker walls of Landlock";
/// The last one; never offered, only named.
const BARE: &str = "`podbay --isolation none` runs workers as bare processes, with no walls at all";

impl LocalEngine {
    /// Has a container come and go, so that it is known now whether one can.
    ///
    /// # Errors
    /// [`EngineError::Away`] or [`EngineError::NoWalls`], with what would help.
    pub(super) async fn prove(&self) -> Result<(), EngineError> {
        let refused = match self.level {
            Isolation::Landlock => match landlock::version() {
                Ok(_) => self.first().await.err(),
                Err(why) => return Err(self.away(format!("{why}; {BARE}"))),
            },
            Isolation::None => self.first().await.err(),
            Isolation::Namespaces | Isolation::Container => self.by_namespaces().await.err(),
        };
        let Some(message) = refused else { return Ok(()) };
        let facts = Facts::of_machine(self.launch.own.0 == 0);
        let Some(remedy) = self.is_refusal(&message).then(|| remedy(&message, &facts)) else {
            return Err(self.away(message));
        };
        let why = remedy.map_or_else(|| message.clone(), |remedy| format!("{message}; {remedy}"));
        Err(match landlock::version() {
            Ok(_) if !self.asks => self.away(format!("{why}. Or else: {BY_WORD}")),
            Ok(_) => EngineError::NoWalls {
                endpoint: endpoint(self.level).to_owned(),
                why: self.instead_of(format!("{why}. Or else: {BY_WORD}")),
                weaker: Isolation::Landlock,
            },
            Err(none) => self.away(format!("{why}. Landlock can't stand in for them: {none}; {BARE}")),
        })
    }

    fn is_refusal(&self, message: &str) -> bool {
        self.level == Isolation::Namespaces && super::probe::is_refusal(message)
    }

    fn away(&self, why: String) -> EngineError {
        EngineError::Away { endpoint: endpoint(self.level).to_owned(), why: self.instead_of(why) }
    }

    fn instead_of(&self, why: String) -> String {
        match &self.instead {
            Some(others) => format!("{others}. Without one: {why}"),
            None => why,
        }
    }

    /// Makes a plan one of this level.
    ///
    /// # Errors
    /// What can't be had there, in words.
    pub(super) fn lower(&self, plan: &mut Plan, record: &Record, joined: Option<&Record>) -> Result<(), String> {
        let level = self.level;
        if !matches!(level, Isolation::Landlock | Isolation::None) {
            return Ok(());
        }
        let spec = &record.spec;
        if matches!(spec.network, NetworkSpec::Walled(_)) {
            let text = "leave [network] as it is by default, or have namespaces";
            return Err(format!("a network of its own can't be had with isolation {level}: {text}"));
        }
        let facts = bare::Facts {
            level,
            id: &record.id,
            mounts: &spec.mounts,
            layout: &Layout::of(Path::new("/")),
            alone: spec.network.is_alone() || joined.is_some_and(|joined| joined.spec.network.is_alone()),
            landlock: landlock::version().unwrap_or_default(),
            own: self.launch.own,
        };
        bare::without_namespaces(plan, &facts)
    }

    /// By an own user namespace, else by one that the system's bwrap opens. What the first of them said, if both fail.
    async fn by_namespaces(&self) -> Result<(), String> {
        let Err(own) = self.first().await else { return Ok(()) };
        if !super::probe::is_refusal(&own) {
            return Err(own);
        }
        let Some(bwrap) = opener::find() else { return Err(own) };
        self.set_opener(Some(bwrap));
        let Err(by_bwrap) = self.first().await else { return Ok(()) };
        self.set_opener(None);
        let last = by_bwrap.rsplit(": ").next().unwrap_or(&by_bwrap);
        Err(format!("{own} (and by bwrap: {last})"))
    }
}

/// What a level leaves open or does otherwise, each with its reason.
#[must_use]
pub fn differences(level: Isolation, opener: Option<&Path>) -> Vec<Limitation> {
    match level {
        Isolation::Namespaces | Isolation::Container => opened_by(opener.map(Path::to_owned)),
        Isolation::Landlock => of_landlock(landlock::version().unwrap_or_default()),
        Isolation::None => of_nothing(),
    }
}

fn limitation((what, why): (&str, &str)) -> Limitation {
    Limitation { what: what.to_owned(), why: why.to_owned() }
}

fn opened_by(opener: Option<PathBuf>) -> Vec<Limitation> {
    let told = |path: PathBuf| Limitation {
        what: "user namespace".to_owned(),
        why: format!("opened by {}: this machine refuses podbay one of its own", path.display()),
    };
    opener.map(told).into_iter().collect()
}

/// Where there are no namespaces, whatever the walls.
const WITHOUT_NAMESPACES: [(&str, &str); 5] = [
    ("shared namespace", "not isolated: without namespaces, all workers have the machine's own network"),
    (
        "mounts",
        "not at their places: a worker finds them where they lie, and by links below $PODBAY_ROOT; HOME and TMPDIR are \
         its own",
    ),
    ("processes", "names and arguments of all of the machine's can be seen: there is no pid namespace"),
    ("hostname", "the machine's own"),
    ("limit of processes", "not enforced without namespaces"),
];

fn of_landlock(version: i32) -> Vec<Limitation> {
    let own = [
        ("unix sockets", "refused, an ssh agent's too: Landlock does not wall off their paths"),
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
    let own = ("walls", "none: a worker is a process of the user's, with all that the user may do");
    [own].into_iter().chain(WITHOUT_NAMESPACES).map(limitation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(limits: &[Limitation]) -> String {
        let lines: Vec<String> = limits.iter().map(|limit| format!("{}: {}", limit.what, limit.why)).collect();
        lines.join("\n")
    }

    #[test]
    fn every_level_says_what_it_leaves_open() {
        assert_eq!(differences(Isolation::Namespaces, None), []);
        let opened = all(&differences(Isolation::Namespaces, Some(Path::new("/usr/bin/bwrap"))));
        assert!(opened.contains("opened by /usr/bin/bwrap"), "{opened}");
        let (new, old) = (all(&of_landlock(7)), all(&of_landlock(5)));
        assert!(new.contains("shared namespace: not isolated") && !new.contains("signals:"), "{new}");
        assert!(old.contains("signals: not walled: this kernel's Landlock (version 5)"), "{old}");
        let none = all(&of_nothing());
        assert!(none.starts_with("walls: none") && none.contains("shared namespace: not isolated"), "{none}");
    }
}
