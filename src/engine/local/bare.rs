//! A container's world without namespaces: its paths become paths of the machine, and what it may touch a list. Pure.
//!
//! What a spec mounts somewhere is found where it lies: words and variables that name such a place are changed, and the
//! container's own directory, which is `/` elsewhere, has links of the same names. `$PODBAY_ROOT` says where that is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::wire::Program;
use crate::bay::isolation::Isolation;
use crate::bay::mount::Mount;
use crate::engine::docker::host_image::Layout;

/// Says where the container's own directory lies.
pub const ROOT: &str = "PODBAY_ROOT";
/// In the environment of every process of such a container, with its id: what a killed shim leaves is found by it.
pub const MARK: &str = "PODBAY_CONTAINER";

/// Devices of the machine that every program may have.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Files that programs read of the machine, beside what the host image has of `/etc`.
const NAMES: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// How a container without namespaces is walled, and where its things lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bare {
    /// The container.
    pub id: String,
    /// Its own directory.
    root: PathBuf,
    /// Places in the container, the innermost first, and where they lie.
    places: Vec<(PathBuf, PathBuf)>,
    /// Links that stand for mounts, and what they lead to.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// All that may be touched; `None`: whatever the user may.
    pub allowed: Option<Vec<Allowed>>,
    /// Which system calls are refused.
    pub refused: Refused,
}

/// One rule of what may be touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// A file, or a directory with all that is below it.
    pub path: PathBuf,
    /// What may be done.
    pub access: Access,
}

/// What may be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read it, list it, run it.
    Read,
    /// All but making devices.
    Write,
    /// Read and write a device.
    Device,
}

/// Which system calls are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Those that change the machine or lead out of the walls, unix sockets among them.
    pub dangerous: bool,
    /// Sockets of any network.
    pub network: bool,
    /// Cutting files short by their path, which this kernel's Landlock can't hold.
    pub truncate: bool,
}

/// What it depends on beside the plan.
pub struct Facts<'a> {
    /// Which level.
    pub level: Isolation,
    /// The container.
    pub id: &'a str,
    /// What its spec mounts.
    pub mounts: &'a [Mount],
    /// The machine's layout.
    pub layout: &'a Layout,
    /// It, or what it joins, has no network.
    pub alone: bool,
    /// The version of this kernel's Landlock.
    pub landlock: i32,
    /// The user of this process.
    pub own: (u32, u32),
}

/// Makes a plan one without namespaces.
///
/// # Errors
/// A user who could not come to the container's files.
pub fn without_namespaces(plan: &mut Plan, facts: &Facts<'_>) -> Result<(), String> {
    if plan.main.ids.0 != facts.own.0 {
        return Err(format!(
            "user {} can't be had with isolation {}: the bay's files are those of user {}",
            plan.main.ids.0, facts.level, facts.own.0
        ));
    }
    let walled = facts.level == Isolation::Landlock;
    let mut places: Vec<(PathBuf, PathBuf)> =
        facts.mounts.iter().map(|mount| (mount.target.clone(), mount.source.clone())).collect();
    places.sort_by_key(|(target, _)| std::cmp::Reverse(target.components().count()));
    let mut bare = Bare {
        id: facts.id.to_owned(),
        root: plan.root.clone(),
        places,
        links: Vec::new(),
        allowed: walled.then(|| allowed(plan, facts)),
        refused: Refused {
            dangerous: walled,
            network: facts.alone,
            truncate: walled && facts.landlock < super::landlock::TRUNCATE,
        },
    };
    bare.links = bare.places.iter().rev().map(|(target, source)| (bare.link(target), source.clone())).collect();
    bare.links.retain(|(link, source)| link != source);
    let home = plan.main.env.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    plan.main.env.insert("HOME".to_owned(), text(&bare.own(&home)));
    plan.main.env.insert(ROOT.to_owned(), text(&bare.root));
    plan.main.env.entry("TMPDIR".to_owned()).or_insert_with(|| text(&bare.root.join("tmp")));
    plan.main.env.insert(MARK.to_owned(), facts.id.to_owned());
    plan.main.cwd = bare.own(&plan.main.cwd);
    bare.translate(&mut plan.main);
    // The kernel counts a user's processes everywhere: a limit would be met by what has nothing to do with this.
    plan.instead = plan.instead.map(|(_, memory)| (0, memory));
    plan.no_new_privileges |= walled || facts.alone;
    (plan.own_network, plan.all_ids) = (false, false);
    plan.bare = Some(bare);
    Ok(())
}

impl Bare {
    /// Where a place of the container lies on the machine: in what is mounted there.
    fn mounted(&self, path: &Path) -> Option<PathBuf> {
        let found = self.places.iter().find_map(|(target, source)| Some((path.strip_prefix(target).ok()?, source)));
        found.map(|(rest, source)| if rest.as_os_str().is_empty() { source.clone() } else { source.join(rest) })
    }

    /// The same for a place that is to be the container's own: in its directory, where nothing is mounted there.
    fn own(&self, path: &Path) -> PathBuf {
        if path.starts_with("/usr") || path.starts_with(&self.root) {
            return path.to_owned();
        }
        self.mounted(path).unwrap_or_else(|| self.inside(path))
    }

    fn inside(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("/") {
            Ok(rest) if rest.as_os_str().is_empty() => self.root.clone(),
            Ok(rest) => self.root.join(rest),
            Err(_) => self.root.join(path),
        }
    }

    /// Where the link stands for what is mounted at a place: in the mount around it, else in the container's directory.
    fn link(&self, target: &Path) -> PathBuf {
        let around = target.parent().and_then(|parent| {
            let (outer, source) = self.places.iter().find(|(outer, _)| parent.starts_with(outer))?;
            Some(source.join(target.strip_prefix(outer).ok()?))
        });
        around.unwrap_or_else(|| self.inside(target))
    }

    /// Words and variables that name a place of the container's name where that lies.
    fn translate(&self, program: &mut Program) {
        let words = program.command.iter_mut().chain(program.env.values_mut());
        for word in words.filter(|word| word.starts_with('/')) {
            if let Some(place) = self.mounted(Path::new(word.as_str())) {
                *word = text(&place);
            }
        }
    }

    /// One more process, as it was asked for in the container's words: its directory and what names places.
    pub fn place(&self, program: &mut Program) {
        if !program.cwd.starts_with(&self.root)
            && !self.places.iter().any(|(_, source)| program.cwd.starts_with(source))
        {
            program.cwd = self.own(&program.cwd);
        }
        self.translate(program);
        program.env.insert(MARK.to_owned(), self.id.clone());
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Everything that may be touched, by path.
fn allowed(plan: &Plan, facts: &Facts<'_>) -> Vec<Allowed> {
    let read = |path: PathBuf| Allowed { path, access: Access::Read };
    let shown = facts.layout.mounts(&[]).into_iter().map(|mount| read(mount.source));
    // A link leads to where a daemon of names keeps its file, and writes it anew: the directory is shown then.
    let names = NAMES.iter().filter_map(|name| {
        let path = Path::new(name).canonicalize().ok()?;
        Some(read(if path.starts_with("/run") { path.parent()?.to_owned() } else { path }))
    });
    let devices = DEVICES.iter().map(|name| Allowed { path: Path::new("/dev").join(name), access: Access::Device });
    let sys =
        plan.binds.iter().filter(|mount| mount.source.starts_with("/sys")).map(|mount| read(mount.source.clone()));
    let mounts = facts.mounts.iter().map(|mount| Allowed {
        path: mount.source.clone(),
        access: if mount.read_only { Access::Read } else { Access::Write },
    });
    let root = if plan.read_only {
        // Nothing but what is memory elsewhere.
        let own = ["tmp", "run"].map(|name| Allowed { path: plan.root.join(name), access: Access::Write });
        [vec![read(plan.root.clone())], own.to_vec()].concat()
    } else {
        vec![Allowed { path: plan.root.clone(), access: Access::Write }]
    };
    shown.chain(names).chain([read("/proc".into())]).chain(sys).chain(devices).chain(root).chain(mounts).collect()
}

#[cfg(test)]
#[path = "bare_tests.rs"]
mod tests;
