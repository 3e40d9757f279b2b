//! Who listens on ports of this machine, or of one of its network namespaces. Reads `/proc`; blocking.
//!
//! Whose a socket is can be seen of one's own processes only, unless one is root: then the holder is missing, not wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use crate::bay::container::ContainerId;
use crate::bay::port::Protocol;

/// A socket that takes what comes to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens; unspecified: everywhere.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// Who has it open.
    pub holder: Option<Holder>,
}

/// A process that has a socket open; the first of those that share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its pid on this machine.
    pub pid: u32,
    /// Its program, as the kernel names it: at most 15 bytes.
    pub command: String,
    /// The container that it runs in, by the engine's id.
    pub container: Option<ContainerId>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

/// The process of this machine that listens on a TCP port, or has a UDP socket on it: `nginx (pid 42)`.
#[must_use]
pub fn holder_of(port: u16, proc: &Path) -> Option<String> {
    let found = listeners(proc, None, |listener| listener == port);
    let seen = found.iter().find_map(|listener| listener.holder.as_ref());
    match seen {
        Some(holder) => Some(holder.to_string()),
        None if found.is_empty() => None,
        None => Some("a process of another user".to_owned()),
    }
}

/// Everything that listens in this process's network namespace, or in that of the process `of`.
#[must_use]
pub fn listeners(proc: &Path, of: Option<u32>, wanted: impl Fn(u16) -> bool) -> Vec<Listener> {
    let tables = of.map_or_else(|| proc.join("net"), |pid| proc.join(pid.to_string()).join("net"));
    let mut found: Vec<(String, Listener)> = Vec::new();
    for (name, protocol) in
        [("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp), ("udp", Protocol::Udp), ("udp6", Protocol::Udp)]
    {
        let text = fs::read_to_string(tables.join(name)).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(|row| listening(row, protocol)));
    }
    found.retain(|(_, listener)| wanted(listener.port));
    if found.is_empty() {
        return Vec::new();
    }
    let sockets: BTreeSet<&str> = found.iter().map(|(inode, _)| inode.as_str()).collect();
    let holders = holders(proc, of, &sockets);
    let named = found
        .iter()
        .map(|(inode, listener)| Listener { holder: holders.get(inode.as_str()).cloned(), ..listener.clone() });
    named.collect()
}

/// Who connects from this port of the loopback to that one, in the network namespace of the process `of`.
#[must_use]
pub fn connected(proc: &Path, of: u32, from: u16, to: u16) -> Option<Holder> {
    let tables = proc.join(of.to_string()).join("net");
    let ends = |row: &str| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let port = |at: usize| u16::from_str_radix(columns.get(at)?.rsplit_once(':')?.1, 16).ok();
        (port(1)? == from && port(2)? == to).then(|| columns.get(9).map(|inode| (*inode).to_owned()))?
    };
    let found = ["tcp", "tcp6"].iter().find_map(|name| {
        let text = fs::read_to_string(tables.join(name)).unwrap_or_default();
        text.lines().skip(1).find_map(ends)
    })?;
    holders(proc, Some(of), &BTreeSet::from([found.as_str()])).remove(&found)
}

/// A row of a table in `/proc/net`, if it listens, with its inode.
fn listening(row: &str, protocol: Protocol) -> Option<(String, Listener)> {
    let columns: Vec<&str> = row.split_whitespace().collect();
    let (local, remote, state, inode) = (columns.get(1)?, columns.get(2)?, columns.get(3)?, columns.get(9)?);
    let listens = match protocol {
        // 0A is LISTEN.
        Protocol::Tcp => *state == "0A",
        // UDP sockets do not listen; one that is connected takes from its peer alone.
        Protocol::Udp => remote.ends_with(":0000"),
    };
    let (ip, port) = local.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    listens.then(|| Some(((*inode).to_owned(), Listener { ip: address(ip)?, port, protocol, holder: None })))?
}

/// The kernel prints addresses as words of 32 bits in its own byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// The first process that has each of these sockets open. With `of`, only processes of that network namespace are asked.
fn holders(proc: &Path, of: Option<u32>, sockets: &BTreeSet<&str>) -> BTreeMap<String, Holder> {
    let namespace = |pid: u32| fs::read_link(proc.join(pid.to_string()).join("ns/net")).ok();
    let wanted = of.and_then(namespace);
    let mut pids: Vec<u32> = fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let mut found: BTreeMap<String, Holder> = BTreeMap::new();
    for pid in pids {
        if found.len() == sockets.len() {
            break;
        }
        if wanted.is_some() && namespace(pid) != wanted {
            continue;
        }
        let home = proc.join(pid.to_string());
        for inode in open_sockets(&home) {
            if sockets.contains(inode.as_str()) && !found.contains_key(&inode) {
                found.insert(inode, holder(pid, &home));
            }
        }
    }
    found
}

fn open_sockets(home: &Path) -> Vec<String> {
    let links = fs::read_dir(home.join("fd")).into_iter().flatten().flatten();
    let inode = |link: PathBuf| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    links.filter_map(|link| inode(fs::read_link(link.path()).ok()?)).collect()
}

fn holder(pid: u32, home: &Path) -> Holder {
    let command = fs::read_to_string(home.join("comm")).unwrap_or_default().trim().to_owned();
    let container = fs::read_to_string(home.join("cgroup")).ok().and_then(|text| container_of(&text));
    let container = container.or_else(|| local_container_of(home.parent()?, pid));
    Holder { pid, command, container }
}

/// The container of the local engine that a process descends from, where no cgroup says it. The uppermost that looks like
/// one: a program can call itself what it likes, but its first process is above it.
fn local_container_of(proc: &Path, pid: u32) -> Option<ContainerId> {
    let (mut pid, mut found) = (pid, None);
    // As deep as no tree of processes is.
    for _ in 0..1000 {
        let home = proc.join(pid.to_string());
        let line = fs::read(home.join("cmdline")).unwrap_or_default();
        found = shim_of(&line).or(found);
        let stat = fs::read_to_string(home.join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok());
        match parent {
            Some(parent) if parent > 1 => pid = parent,
            _ => break,
        }
    }
    found
}

/// `podbay container-init …/containers/ID/plan.json`, and its shim.
fn shim_of(cmdline: &[u8]) -> Option<ContainerId> {
    let mut words = cmdline.split(|byte| *byte == 0).skip(1);
    let verb = words.next()?;
    if verb != b"container-init" && verb != b"container-shim" {
        return None;
    }
    let path = Path::new(std::str::from_utf8(words.next()?).ok()?);
    let mut names = path.iter().filter_map(std::ffi::OsStr::to_str).rev();
    let id = names.find(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some(ContainerId::new(id.to_owned()))
}

/// The container in a process's cgroups: `/docker/ID` or `docker-ID.scope`, of whatever engine. The innermost goes first:
/// an engine may itself run in a container.
fn container_of(cgroup: &str) -> Option<ContainerId> {
    let words = cgroup.lines().flat_map(|line| line.rsplit(|c: char| !c.is_ascii_alphanumeric()));
    let mut ids = words.filter(|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    ids.next().map(|id| ContainerId::new(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proc = Path::new("/proc");
        let own = std::process::id();
        let holder = holder_of(port, proc).unwrap();
        assert!(holder.ends_with(&format!("(pid {own})")), "{holder}");
        let found = listeners(proc, Some(own), |found| found == port);
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.ip, one.port, one.protocol), (Ipv4Addr::LOCALHOST.into(), port, Protocol::Tcp));
        drop(listener);
        assert_eq!(holder_of(port, proc), None);
    }

    #[test]
    fn all_kinds_of_sockets_are_found() {
        let proc = Path::new("/proc");
        let six = std::net::TcpListener::bind("[::1]:0");
        let udp = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        let found = listeners(proc, None, |found| found == port);
        assert!(found.iter().any(|one| one.protocol == Protocol::Udp && one.ip.is_unspecified()), "{found:?}");
        // A machine may have no IPv6.
        if let Ok(six) = six {
            let port = six.local_addr().unwrap().port();
            let found = listeners(proc, None, |found| found == port);
            assert!(found.iter().any(|one| one.ip == IpAddr::V6(Ipv6Addr::LOCALHOST)), "{found:?}");
        }
    }

    #[test]
    fn who_connects_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap().port();
        let stream = std::net::TcpStream::connect(("127.0.0.1", to)).unwrap();
        let from = stream.local_addr().unwrap().port();
        let own = std::process::id();
        let found = connected(Path::new("/proc"), own, from, to).unwrap();
        assert_eq!(found.pid, own);
        assert_eq!(connected(Path::new("/proc"), own, from, to.wrapping_add(1)), None);
    }

    #[test]
    fn a_local_container_is_known_without_cgroups_and_nobody_calls_himself_another() {
        let proc = tempfile::tempdir().unwrap();
        let (own, other) = ("ab".repeat(32), "cd".repeat(32));
        let process = |pid: u32, parent: u32, words: &[&str]| {
            let home = proc.path().join(pid.to_string());
            fs::create_dir(&home).unwrap();
            fs::write(home.join("cmdline"), words.join("\0")).unwrap();
            fs::write(home.join("stat"), format!("{pid} (a) b) S {parent} 1 1")).unwrap();
        };
        process(10, 1, &["/bin/podbay", "container-shim", &format!("/s/bay/containers/{own}")]);
        process(11, 10, &["/bin/podbay", "container-init", &format!("/s/bay/containers/{own}/plan.json")]);
        process(12, 11, &["x", "container-init", &format!("/s/bay/containers/{other}/plan.json")]);
        process(13, 1, &["sshd"]);
        let of = |pid| local_container_of(proc.path(), pid).map(|id| id.to_string());
        assert_eq!((of(12), of(11), of(13)), (Some(own.clone()), Some(own), None));
    }

    #[test]
    fn the_container_is_read_off_the_cgroups() {
        let (one, two) = ("a".repeat(64), "b1".repeat(32));
        for (text, id) in [
            (format!("12:pids:/docker/{one}\n0::/system.slice\n"), Some(&one)),
            (format!("0::/user.slice/docker-{one}.scope\n"), Some(&one)),
            (format!("0::/docker/{one}/docker/{two}\n"), Some(&two)),
            (format!("0::/machine.slice/libpod-{one}.scope/container\n"), Some(&one)),
            ("0::/init.scope\n".to_owned(), None),
        ] {
            assert_eq!(container_of(&text), id.map(|id| ContainerId::new(id.clone())), "{text}");
        }
    }
}
