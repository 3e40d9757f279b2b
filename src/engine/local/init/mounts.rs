//! The world of a container: its own mounts, and nothing else of the machine.
//!
//! Whatever is shown is opened before the machine's root is left, and attached after it: so no link that a program left
//! in its root leads a mount or a directory out of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, move_mount, open_tree, unmount,
};

use crate::bay::mount::Mount;
use crate::engine::local::plan::Plan;

/// Devices of the machine that every program may have.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Of `/proc`, what says too much or does too much: closed, or not to be written.
const MASKED: [&str; 7] = ["kcore", "keys", "key-users", "latency_stats", "timer_list", "sched_debug", "kmsg"];
const EMPTY: [&str; 3] = ["acpi", "scsi", "asound"];
const FIXED: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
/// Where the machine's root is until it is left.
const OLD: &str = ".left";

/// Something that is shown, opened and not attached yet.
pub struct Shown<'a> {
    mount: &'a Mount,
    tree: OwnedFd,
    is_dir: bool,
}

/// Names a step that failed.
fn at<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> String + 'a {
    move |error| format!("{what} {}: {error}", path.display())
}

/// Enters the container's world. The caller has mount, ipc and uts namespaces of its own.
pub fn enter(plan: &Plan) -> Result<(), String> {
    let top = Path::new("/");
    mount_change(top, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| at("keep mounts to itself below", top)(error.into()))?;
    let shown = plan.binds.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let devices = DEVICES.map(|name| tree(&Path::new("/dev").join(name), false).map(|tree| (name, tree)));
    change_root(&plan.root)?;
    devices_of(devices, plan.main.tty.is_some())?;
    fill(plan, &plan.memory, &shown)?;
    close_kernel()?;
    close(plan, |_| true)
}

/// What stands in a world: directories in memory, files, mounts, and where its program begins.
fn fill<'a>(
    plan: &Plan,
    in_memory: impl IntoIterator<Item = &'a (PathBuf, String)>,
    shown: &[Shown<'_>],
) -> Result<(), String> {
    for (target, options) in in_memory {
        folder(target)?;
        memory(target, options)?;
    }
    for (path, text) in &plan.files {
        write(path, text)?;
    }
    shown.iter().try_for_each(|shown| attach(plan, shown))?;
    place(plan, &plan.main.cwd)
}

/// The rest of a world that was made ahead: what was not known then.
pub fn finish<'a>(
    plan: &Plan,
    late: impl Iterator<Item = &'a (PathBuf, String)>,
    shown: &[Shown<'_>],
) -> Result<(), String> {
    fill(plan, late, shown)?;
    if shown.is_empty() && !plan.read_only {
        return Ok(());
    }
    // Everything else was closed with what was made ahead.
    close(plan, |target| target == Path::new("/") || shown.iter().any(|shown| target.starts_with(&shown.mount.target)))
}

/// Opens what is to be shown, where it stands in the present root.
pub fn open(mount: &Mount) -> Result<Shown<'_>, String> {
    let source = &mount.source;
    let is_dir = fs::metadata(source).map_err(at("look at", source))?.is_dir();
    Ok(Shown { mount, tree: tree(source, true)?, is_dir })
}

fn tree(path: &Path, all: bool) -> Result<OwnedFd, String> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, all);
    open_tree(CWD, path, flags).map_err(|error| at("open the tree of", path)(error.into()))
}

/// Makes `root` what `/` is. `/proc` needs one that is already there, so it is mounted while the old root can be seen.
fn change_root(root: &Path) -> Result<(), String> {
    let old = root.join(OLD);
    if !fs::symlink_metadata(&old).is_ok_and(|meta| meta.is_dir()) {
        let _ = fs::remove_file(&old);
        fs::create_dir(&old).map_err(at("make", &old))?;
    }
    mount_bind(root, root).map_err(|error| at("bind", root)(error.into()))?;
    rustix::process::chdir(root).map_err(|error| at("enter", root)(error.into()))?;
    rustix::process::pivot_root(".", OLD).map_err(|error| at("make a root of", root)(error.into()))?;
    let top = Path::new("/");
    rustix::process::chdir(top).map_err(|error| at("enter", top)(error.into()))?;
    let proc = Path::new("/proc");
    if !fs::symlink_metadata(proc).is_ok_and(|meta| meta.is_dir()) {
        let _ = fs::remove_file(proc);
        fs::create_dir(proc).map_err(at("make", proc))?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", proc, "proc", flags, None).map_err(|error| at("mount", proc)(error.into()))?;
    let old = Path::new("/").join(OLD);
    unmount(&old, UnmountFlags::DETACH).map_err(|error| at("leave", &old)(error.into()))?;
    fs::remove_dir(&old).map_err(at("remove", &old))
}

/// A `/dev` with what every program expects, and terminals of its own: the first is the main process's, and its console.
fn devices_of(devices: [Result<(&str, OwnedFd), String>; 6], console: bool) -> Result<(), String> {
    let dev = Path::new("/dev");
    folder(dev)?;
    memory(dev, "mode=0755,size=1m")?;
    for device in devices {
        let (name, tree) = device?;
        let target = dev.join(name);
        File::create(&target).map_err(at("make", &target))?;
        put(&tree, &target)?;
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    let console = console.then_some(("console", "pts/0"));
    for (name, to) in links.into_iter().chain(console) {
        let path = dev.join(name);
        std::os::unix::fs::symlink(to, &path).map_err(at("make", &path))?;
    }
    let pts = dev.join("pts");
    folder(&pts)?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", &pts, "devpts", flags, Some(c"newinstance,ptmxmode=0666,mode=0620"))
        .map_err(|error| at("mount", &pts)(error.into()))?;
    let shared = dev.join("shm");
    folder(&shared)?;
    memory(&shared, "mode=1777,size=512m")
}

fn memory(target: &Path, options: &str) -> Result<(), String> {
    let text = std::ffi::CString::new(options).map_err(|error| at("mount", target)(error.into()))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", target, "tmpfs", flags, Some(text.as_c_str())).map_err(|error| at("mount", target)(error.into()))
}

fn attach(plan: &Plan, shown: &Shown<'_>) -> Result<(), String> {
    let target = &shown.mount.target;
    if shown.is_dir {
        place(plan, target)?;
    } else {
        if let Some(parent) = target.parent() {
            place(plan, parent)?;
        }
        if fs::metadata(target).is_err() {
            may_make(plan, target)?;
            // Not by a link that leads nowhere yet: it may lead out of where this may be made.
            let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(target);
            made.map_err(at("make", target))?;
        }
    }
    put(&shown.tree, target)
}

fn put(tree: &OwnedFd, target: &Path) -> Result<(), String> {
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|error| at("mount on", target)(error.into()))
}

fn folder(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(at("make", path))
}

/// A directory of the world, which may be in what is shown.
fn place(plan: &Plan, path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    may_make(plan, path)?;
    folder(path)
}

/// What is only shown is not read-only before all is there: until then nothing but this keeps it from being written.
fn may_make(plan: &Plan, path: &Path) -> Result<(), String> {
    let there = path.ancestors().find_map(|above| fs::canonicalize(above).ok()).unwrap_or_default();
    match innermost(plan, &there) {
        Some(inner) if inner.read_only => {
            Err(format!("make {}: {} is shown, and may not be written", path.display(), inner.target.display()))
        }
        _ => Ok(()),
    }
}

/// In place of whatever a program may have left there.
fn write(path: &Path, text: &str) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("replace", path)(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map_err(at("write", path))?;
    file.write_all(text.as_bytes()).map_err(at("write", path))?;
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(at("write", path))
}

/// Takes away what may not be seen of the kernel.
fn close_kernel() -> Result<(), String> {
    // No more user namespaces below this one: in one of its own, a program would be root over new mounts.
    let most = Path::new("/proc/sys/user/max_user_namespaces");
    fs::write(most, "0").map_err(at("write", most))?;
    let null = Path::new("/dev/null");
    for path in MASKED.map(|name| Path::new("/proc").join(name)).iter().filter(|path| path.exists()) {
        mount_bind(null, path).map_err(|error| at("close", path)(error.into()))?;
    }
    for path in EMPTY.map(|name| Path::new("/proc").join(name)).iter().filter(|path| path.is_dir()) {
        memory(path, "mode=0555,size=4k")?;
    }
    for path in FIXED.map(|name| Path::new("/proc").join(name)).iter().filter(|path| path.exists()) {
        mount_bind(path, path).map_err(|error| at("close", path)(error.into()))?;
    }
    Ok(())
}

/// Takes away what may not be written, of the mounts that are `wanted`.
fn close(plan: &Plan, wanted: impl Fn(&Path) -> bool) -> Result<(), String> {
    let table = Path::new("/proc/self/mountinfo");
    let text = fs::read(table).map_err(at("read", table))?;
    for (target, flags) in entries(&text).into_iter().filter(|(target, _)| wanted(target)) {
        if let Some(closed) = flags_of(plan, &target) {
            mount_remount(&target, MountFlags::BIND | flags | closed, "")
                .map_err(|error| at("close", &target)(error.into()))?;
        }
    }
    Ok(())
}

/// What is taken from the mount at `target`: by the innermost of the plan's that it belongs to. `None`: nothing.
fn flags_of(plan: &Plan, target: &Path) -> Option<MountFlags> {
    let fixed = FIXED.iter().any(|name| Path::new("/proc").join(name) == target);
    if fixed {
        return Some(MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC);
    }
    let walls = MountFlags::NOSUID | MountFlags::NODEV;
    if target == Path::new("/") {
        return Some(if plan.read_only { walls | MountFlags::RDONLY } else { walls });
    }
    let inner = innermost(plan, target)?;
    Some(if inner.read_only { walls | MountFlags::RDONLY } else { walls })
}

/// The mount of the plan that this path is in.
fn innermost<'a>(plan: &'a Plan, path: &Path) -> Option<&'a Mount> {
    let around = plan.binds.iter().filter(|mount| path.starts_with(&mount.target));
    around.max_by_key(|mount| mount.target.components().count())
}

/// The mounts of `/proc/self/mountinfo` with what each has already: that must not be taken away again.
fn entries(text: &[u8]) -> Vec<(PathBuf, MountFlags)> {
    let lines = text.split(|byte| *byte == b'\n');
    let fields = lines.filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        Some((fields.nth(4)?, fields.next()?))
    });
    fields.map(|(target, options)| (unescaped(target), known(options))).collect()
}

fn known(options: &[u8]) -> MountFlags {
    let words = options.split(|byte| *byte == b',');
    words.fold(MountFlags::empty(), |flags, word| {
        flags
            | match word {
                b"ro" => MountFlags::RDONLY,
                b"nosuid" => MountFlags::NOSUID,
                b"nodev" => MountFlags::NODEV,
                b"noexec" => MountFlags::NOEXEC,
                b"noatime" => MountFlags::NOATIME,
                b"nodiratime" => MountFlags::NODIRATIME,
                b"relatime" => MountFlags::RELATIME,
                _ => MountFlags::empty(),
            }
    })
}

/// The kernel writes spaces and the like as three octal digits.
pub fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let octal = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::local::wire::Program;

    #[test]
    fn the_kernels_table_is_read() {
        let text =
            b"36 35 98:0 /mnt1 /a\\040b ro,noatime,nosuid shared:1 - ext4 /dev/root rw\n37 35 0:5 / /proc rw - p p r";
        let found = entries(text);
        let flags = MountFlags::RDONLY | MountFlags::NOATIME | MountFlags::NOSUID;
        assert_eq!(found, [(PathBuf::from("/a b"), flags), (PathBuf::from("/proc"), MountFlags::empty())]);
    }

    #[test]
    fn a_mount_is_closed_by_the_innermost_that_it_belongs_to() {
        let bind = |target: &str, read_only| Mount { source: "/s".into(), target: target.into(), read_only };
        let plan = Plan {
            root: "/r".into(),
            hostname: String::new(),
            binds: vec![bind("/usr", true), bind("/usr/local", false), bind("/workspace", false)],
            files: Vec::new(),
            memory: Vec::new(),
            read_only: true,
            own_network: false,
            all_ids: true,
            capabilities: 0,
            no_new_privileges: true,
            nofile: (0, 0),
            instead: None,
            bare: None,
            main: Program::default(),
        };
        let closed = |target: &str| flags_of(&plan, Path::new(target)).map(|flags| flags.contains(MountFlags::RDONLY));
        for (target, expected) in [
            ("/", Some(true)),
            ("/usr", Some(true)),
            ("/usr/share/below", Some(true)),
            ("/usr/local/bin", Some(false)),
            ("/workspace", Some(false)),
            ("/workspaces", None),
            ("/proc/sys", Some(true)),
            ("/proc", None),
            ("/dev/null", None),
            ("/run", None),
        ] {
            assert_eq!(closed(target), expected, "{target}");
        }
    }
}
