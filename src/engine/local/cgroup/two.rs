//! Version 2: one tree. Root makes groups at its top, everybody else where a part of it is his own (is delegated): the
//! highest group above this process that he may write in.

use std::fs;
use std::path::{Path, PathBuf};

use super::{GROUP, PERIOD, Setting, made, quota};
use crate::bay::template::Limits;

/// What limits need.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The group below which each container has one, ready for that. `own` is the path of this process's group.
///
/// # Errors
/// Why there is none, in words.
pub fn find(root: &Path, own: &str, may: &dyn Fn(&Path) -> bool) -> Result<PathBuf, String> {
    let own = root.join(own.trim_start_matches('/'));
    let above = own.ancestors().take_while(|dir| dir.starts_with(root));
    let mine: Vec<&Path> = above.take_while(|dir| may(dir)).collect();
    if mine.is_empty() {
        return Err(format!(
            "cgroups are not delegated to this user ({} is not writable); started by `systemd-run --user --scope -p \
             Delegate=yes podbay up`, or by the unit of `podbay boot install`, they are",
            own.display()
        ));
    }
    let mut why = String::new();
    // The highest first: a group with processes of its own has no groups with limits below it, and that of this process
    // has one.
    for dir in mine.into_iter().rev() {
        match prepare(dir) {
            Ok(group) => return Ok(group),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// Whether this user may make groups there, and move processes into them from beside.
pub fn may_write(dir: &Path) -> bool {
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    writable(dir) && writable(&dir.join("cgroup.procs"))
}

fn prepare(dir: &Path) -> Result<PathBuf, String> {
    hand_down(dir)?;
    let group = dir.join(GROUP);
    made(&group)?;
    hand_down(&group)?;
    Ok(group)
}

/// Has the groups below it hold limits.
fn hand_down(dir: &Path) -> Result<(), String> {
    let words = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let handed = words("cgroup.subtree_control");
    let missing: Vec<&str> =
        CONTROLLERS.into_iter().filter(|name| !handed.split_ascii_whitespace().any(|word| word == *name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let there = words("cgroup.controllers");
    if let Some(lacking) = missing.iter().find(|name| !there.split_ascii_whitespace().any(|word| word == **name)) {
        return Err(format!("{} has no controller {lacking}", dir.display()));
    }
    let all: Vec<String> = missing.iter().map(|name| format!("+{name}")).collect();
    fs::write(dir.join("cgroup.subtree_control"), all.join(" "))
        .map_err(|error| format!("{} hands no controllers down: {error}", dir.display()))
}

/// What is written into a container's group.
pub fn settings(limits: &Limits) -> Vec<Setting> {
    let mut own = Vec::new();
    let memory = limits.memory.as_u64();
    if memory > 0 {
        own.push(("memory.max", memory.to_string()));
        own.push(("memory.swap.max", "0".to_owned()));
    }
    if let Some(kept) = limits.memory_reservation.filter(|kept| kept.as_u64() > 0) {
        own.push(("memory.low", kept.as_u64().to_string()));
    }
    if limits.cpus > 0.0 {
        own.push(("cpu.max", format!("{} {PERIOD}", quota(limits.cpus))));
    }
    if limits.pids > 0 {
        own.push(("pids.max", limits.pids.to_string()));
    }
    own
}

/// Whether the kernel had killed in one for its memory.
pub fn killed(group: &Path) -> bool {
    let text = fs::read_to_string(group.join("memory.events")).unwrap_or_default();
    text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
}
