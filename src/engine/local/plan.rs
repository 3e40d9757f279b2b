//! From a container's spec to what its first process does: mounts, files, user, capabilities, environment. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use super::bare::Bare;
use super::wire::Program;
use crate::bay::container::{ContainerSpec, NetworkSpec};
use crate::bay::mount::Mount;
use crate::bay::session::TermSize;
use crate::engine::docker::host_image::{self, Layout, PATH};

/// What an engine of containers leaves to root when nothing else is said.
const USUAL: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "AUDIT_WRITE",
];

/// What of the machine's devices is shown: no names of cgroups, no kernel's secrets.
const SYS: [&str; 5] = ["block", "bus", "class", "dev", "devices"];

/// Begins empty with every run.
pub const RUN: (&str, &str) = ("/run", "mode=1777,size=128m");

/// Everything that a container's first process needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The directory that becomes `/`.
    pub root: PathBuf,
    /// What it calls itself.
    pub hostname: String,
    /// Bind mounts, outer before inner.
    pub binds: Vec<Mount>,
    /// Files that are written before the root is closed, with their text.
    pub files: Vec<(PathBuf, String)>,
    /// Memory file systems, with their options.
    pub memory: Vec<(PathBuf, String)>,
    /// Nothing but mounts can be written.
    pub read_only: bool,
    /// It has a network of its own, with the loopback alone.
    pub own_network: bool,
    /// Every user of the machine has its number inside; else only the one that it runs as.
    pub all_ids: bool,
    /// The capabilities that are left.
    pub capabilities: u64,
    /// No setuid program gains anything.
    pub no_new_privileges: bool,
    /// Open files, soft and hard; 0: as the machine has it.
    pub nofile: (u64, u64),
    /// Where control groups do not hold them: processes of all of it, and memory of each process.
    pub instead: Option<(u64, u64)>,
    /// How it is walled where it has no namespaces.
    #[serde(default)]
    pub bare: Option<Bare>,
    /// The main process.
    pub main: Program,
}

/// What a plan depends on beside the spec.
pub struct Facts<'a> {
    /// The machine's layout.
    pub layout: &'a Layout,
    /// The directory that becomes `/`.
    pub root: PathBuf,
    /// The text of `/etc/passwd`.
    pub passwd: &'a str,
    /// The text of `/etc/hosts`.
    pub hosts: &'a str,
    /// The text of `/etc/resolv.conf`.
    pub resolv: &'a str,
    /// The user of this process.
    pub own: (u32, u32),
    /// What the one whose network it joins calls itself.
    pub joined_hostname: Option<&'a str>,
    /// The port of the proxy in the network that it joins.
    pub joined_proxy: Option<u16>,
    /// Control groups hold its limits.
    pub cgroups: bool,
    /// What stands below `/sys`.
    pub sys: &'a dyn Fn(&str) -> bool,
}

/// The plan, or why there can't be one.
///
/// # Errors
/// In words: a user that is not there or can't be had, a capability that nobody knows, no command.
pub fn plan(spec: &ContainerSpec, id: &str, facts: Facts<'_>) -> Result<Plan, String> {
    let command: Vec<String> = spec.entrypoint.iter().chain(&spec.command).cloned().collect();
    if command.is_empty() {
        return Err("no command: the host image has none of its own".to_owned());
    }
    let ids = ids(spec.user.as_deref(), facts.passwd, facts.own)?;
    let hostname = spec.hostname.as_deref().or(facts.joined_hostname).unwrap_or(id.get(..12).unwrap_or(id));
    let hostname: String = hostname.chars().take(63).collect();
    let alone = spec.network.is_alone();
    let mut main = Program {
        command,
        env: spec.env.clone(),
        cwd: spec.workdir.clone().unwrap_or_else(|| PathBuf::from("/")),
        ids,
        tty: spec.tty.then(TermSize::default),
    };
    let defaults = [("PATH", PATH), ("HOSTNAME", &hostname), ("HOME", if ids.0 == 0 { "/root" } else { "/" })];
    let terminal = spec.tty.then_some(("TERM", "xterm-256color"));
    for (key, value) in defaults.into_iter().chain([host_image::LOCALE]).chain(terminal) {
        main.env.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let proxy = match &spec.network {
        NetworkSpec::Walled(wall) => wall.proxy,
        _ => facts.joined_proxy,
    };
    for (key, value) in proxy.into_iter().flat_map(by_proxy) {
        main.env.entry(key.to_owned()).or_insert(value);
    }
    Ok(Plan {
        root: facts.root,
        binds: binds(spec, facts.layout, facts.sys),
        files: files(&hostname, alone, facts.hosts, facts.resolv),
        memory: memory(spec),
        hostname,
        read_only: spec.hardening.read_only,
        own_network: alone,
        all_ids: facts.own.0 == 0,
        capabilities: capabilities(&spec.hardening.cap_drop, &spec.hardening.cap_add)?.bits(),
        no_new_privileges: spec.hardening.no_new_privileges,
        nofile: spec.limits.nofile,
        instead: (!facts.cgroups).then(|| (u64::from(spec.limits.pids), spec.limits.memory.as_u64())),
        bare: None,
        main,
    })
}

/// What tells programs to ask a proxy for everything that is not on their own loopback. Some read the one form of the
/// names, some the other.
fn by_proxy(port: u16) -> Vec<(&'static str, String)> {
    let proxy = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
    let proxy = proxy.map(|key| (key, format!("http://127.0.0.1:{port}")));
    let not = ["NO_PROXY", "no_proxy"].map(|key| (key, "localhost,127.0.0.1,::1".to_owned()));
    proxy.into_iter().chain(not).collect()
}

/// What of the machine's devices is shown, of what there is.
pub fn devices(sys: &dyn Fn(&str) -> bool) -> Vec<Mount> {
    let devices = SYS.iter().filter(|name| sys(name)).map(|name| {
        let path = Path::new("/sys").join(name);
        Mount { source: path.clone(), target: path, read_only: true }
    });
    devices.collect()
}

/// Outer mounts come before inner ones, whatever their order was.
fn binds(spec: &ContainerSpec, layout: &Layout, sys: &dyn Fn(&str) -> bool) -> Vec<Mount> {
    let mut binds: Vec<Mount> = layout.mounts(&spec.mounts).into_iter().chain(devices(sys)).collect();
    binds.extend(spec.mounts.iter().cloned());
    binds.sort_by_key(|mount| mount.target.components().count());
    binds
}

fn files(hostname: &str, alone: bool, hosts: &str, resolv: &str) -> Vec<(PathBuf, String)> {
    let own = format!("127.0.1.1\t{hostname}\n");
    let hosts = if alone { "127.0.0.1\tlocalhost\n::1\tlocalhost\n" } else { hosts };
    let gap = if hosts.is_empty() || hosts.ends_with('\n') { "" } else { "\n" };
    let mut files = vec![
        (PathBuf::from("/etc/hosts"), format!("{hosts}{gap}{own}")),
        (PathBuf::from("/etc/hostname"), format!("{hostname}\n")),
    ];
    if !alone {
        files.push((PathBuf::from("/etc/resolv.conf"), resolv.to_owned()));
    }
    files
}

/// `/run` begins empty with every run; `/tmp` is memory only where nothing else may be written.
fn memory(spec: &ContainerSpec) -> Vec<(PathBuf, String)> {
    let wanted = [(RUN.0, RUN.1, true), ("/tmp", "mode=1777,size=1g", spec.hardening.read_only)];
    let free = |target: &str| spec.mounts.iter().all(|mount| mount.target != Path::new(target));
    let wanted = wanted.into_iter().filter(|(target, _, wanted)| *wanted && free(target));
    wanted.map(|(target, options, _)| (target.into(), options.to_owned())).collect()
}

/// What is left of the usual capabilities.
fn capabilities(drop: &[String], add: &[String]) -> Result<CapabilitySet, String> {
    let mut left = CapabilitySet::empty();
    for name in USUAL {
        left |= named(name)?;
    }
    for name in drop {
        left -= named(name)?;
    }
    for name in add {
        left |= named(name)?;
    }
    Ok(left)
}

fn named(name: &str) -> Result<CapabilitySet, String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if short == "ALL" {
        return Ok(CapabilitySet::all());
    }
    CapabilitySet::from_name(short).ok_or_else(|| format!("{name:?} is no capability"))
}

/// `uid` and `gid` of a user as a spec has it; `None`: root of the image, which for who is not root is the own user.
///
/// # Errors
/// A name that this machine does not have, and a user that is not the own one where only that can be had.
pub fn ids(user: Option<&str>, passwd: &str, own: (u32, u32)) -> Result<(u32, u32), String> {
    let Some(user) = user else { return Ok(if own.0 == 0 { (0, 0) } else { own }) };
    let (who, group) = user.split_once(':').map_or((user, None), |(who, group)| (who, Some(group)));
    let number = who.parse::<u32>().ok();
    let line = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, uid, gid) = (fields.next()?, fields.nth(1)?.parse::<u32>().ok()?, fields.next()?.parse().ok()?);
        (name == who || number == Some(uid)).then_some((uid, gid))
    });
    let uid = line.map(|(uid, _)| uid).or(number).ok_or_else(|| format!("this machine has no user {who:?}"))?;
    let gid = match group {
        Some(group) => group.parse().map_err(|_| format!("{group:?} is no group's number"))?,
        None => line.map_or(0, |(_, gid)| gid),
    };
    if own.0 != 0 && (uid, gid) != own {
        return Err(format!(
            "user {user:?} can't be had: without root, a container of this machine runs as {}:{}",
            own.0, own.1
        ));
    }
    Ok((uid, gid))
}

/// The environment of one more process: that of the main process, with its own over it.
#[must_use]
pub fn exec_env(
    main: &BTreeMap<String, String>,
    own: &BTreeMap<String, String>,
    tty: bool,
) -> BTreeMap<String, String> {
    let mut env = main.clone();
    env.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    if tty {
        env.entry("TERM".to_owned()).or_insert_with(|| "xterm-256color".to_owned());
    }
    env
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
