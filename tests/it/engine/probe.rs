//! What runs inside of a worker and tries what it must not do. Each line is `KEY=WHAT THE SYSTEM SAID`.
#![expect(clippy::print_stdout, reason = "what it says is read from outside")]

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::bare_probe::trace;

fn tell<T>(key: &str, result: Result<T, Errno>) {
    let text = match result.err() {
        None => "done".to_owned(),
        Some(Errno::PERM) => "PERM".to_owned(),
        Some(Errno::ACCESS) => "ACCESS".to_owned(),
        Some(Errno::NOENT) => "NOENT".to_owned(),
        Some(Errno::SRCH) => "SRCH".to_owned(),
        Some(Errno::ROFS) => "ROFS".to_owned(),
        Some(Errno::NOSYS) => "NOSYS".to_owned(),
        Some(other) => other.raw_os_error().to_string(),
    };
    println!("\n{key}={text}");
}

/// A file's error as the system's number.
fn number(error: &std::io::Error) -> Errno {
    Errno::from_raw_os_error(error.raw_os_error().unwrap_or(0))
}

fn open(path: &str, write: bool) -> Result<File, Errno> {
    let file = OpenOptions::new().read(!write).write(write).create(write).truncate(false).open(path);
    file.map_err(|error| number(&error))
}

fn named(key: &str) -> String {
    std::env::var(key).unwrap_or_default()
}

#[test]
#[ignore = "run inside of a container by the tests beside it"]
fn probe() {
    if std::env::var_os("PROBE").is_none() {
        return;
    }
    files();
    namespaces();
    processes();
    facts();
}

fn files() {
    tell("secret", open(&named("SECRET"), false));
    tell("usr", open("/usr/podbay-was-here", true));
    tell("sysctl", open("/proc/sys/kernel/hostname", true));
    tell("socket", UnixStream::connect(named("SOCKET")).map_err(|error| number(&error)));
    let homes = ["/home", "/root"].map(|dir| fs::read_dir(dir).map_or(0, Iterator::count));
    println!("\nhomes={}", homes.iter().sum::<usize>());
}

fn namespaces() {
    tell("tmpfs", mount("none", "/mnt", "tmpfs", MountFlags::empty(), None));
    tell("bind", mount_bind("/usr", "/mnt"));
    tell("root", mount_remount("/usr", MountFlags::BIND, ""));
    tell("module", rustix::system::init_module(b"no module", c""));
    tell("chroot", rustix::process::chroot("/tmp"));
    for flag in ["user", "mount", "pid", "net"] {
        let output = Command::new("unshare").args([&format!("--{flag}"), "true"]).output().unwrap();
        println!("\nunshare-{flag}={:?}", output.status.success());
    }
    let entered = File::open("/proc/1/ns/mnt").map_err(|error| number(&error));
    let entered = entered.and_then(|file| move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Mount)));
    tell("enter", entered);
}

fn processes() {
    if let Some(pid) = named("HOST_PID").parse().ok().and_then(Pid::from_raw) {
        tell("signal", kill_process(pid, Signal::TERM));
        tell("handle", pidfd_open(pid, PidfdFlags::empty()));
        tell("trace", trace(pid.as_raw_nonzero().get()).map_err(|error| number(&error)));
        tell("memory", open(&format!("/proc/{}/mem", pid.as_raw_nonzero()), false));
        println!("\nenviron={}", Path::new(&format!("/proc/{}/environ", pid.as_raw_nonzero())).exists());
    }
    let one = Pid::from_raw(1).unwrap();
    let first = pidfd_open(one, PidfdFlags::empty()).unwrap();
    tell("first-fd", pidfd_getfd(&first, 3, PidfdGetfdFlags::empty()));
    tell("first-mem", open("/proc/1/mem", false));
    tell("first-trace", trace(1).map_err(|error| number(&error)));
    tell("first-kill", kill_process(one, Signal::KILL));
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let pids = numbers.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    let lines = pids.map(|entry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default());
    println!("\nothers={}", lines.filter(|line| line.contains("infinity")).count());
}

fn facts() {
    let facts = fs::read_to_string("/proc/self/status").unwrap();
    for key in ["NoNewPrivs", "CapEff", "CapBnd", "CapAmb"] {
        let value = facts.lines().find_map(|line| line.strip_prefix(&format!("{key}:"))).unwrap().trim();
        println!("\n{key}={value}");
    }
}
