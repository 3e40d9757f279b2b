//! What runs inside of a worker without namespaces and tries what it must not do, and what it must still be able to. Each
//! line is `KEY=WHAT THE SYSTEM SAID`.
#![expect(clippy::print_stdout, reason = "what it says is read from outside")]
#![expect(
    unsafe_code,
    reason = "calls that no crate makes safe, with arguments that change nothing when they are refused"
)]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

fn tell<T>(key: &str, result: Result<T, Errno>) {
    let text = match result.err() {
        None => "done".to_owned(),
        Some(Errno::PERM) => "PERM".to_owned(),
        Some(Errno::ACCESS) => "ACCESS".to_owned(),
        Some(Errno::NOSYS) => "NOSYS".to_owned(),
        Some(Errno::ROFS) => "ROFS".to_owned(),
        Some(Errno::NOENT) => "NOENT".to_owned(),
        Some(other) => other.raw_os_error().to_string(),
    };
    println!("\n{key}={text}");
}

fn tell_io<T>(key: &str, result: io::Result<T>) {
    tell(key, result.map_err(|error| Errno::from_raw_os_error(error.raw_os_error().unwrap_or(0))));
}

/// A call by its number; the arguments are such that nothing happens where it is not refused.
fn call(number: i64, arguments: [i64; 3]) -> io::Result<i64> {
    let [one, two, three] = arguments;
    // SAFETY: each call here is given no pointer that is not null, and flags that need nothing else.
    let said = unsafe { libc::syscall(number, one, two, three) };
    if said < 0 { Err(io::Error::last_os_error()) } else { Ok(said) }
}

fn named(key: &str) -> Option<String> {
    std::env::var(key).ok().filter(|value| !value.is_empty())
}

#[test]
#[ignore = "run inside of a worker by the tests beside it"]
fn probe() {
    if std::env::var_os("PROBE").is_none() {
        return;
    }
    files();
    own_files();
    machine();
    processes();
    sockets();
    facts();
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

fn files() {
    if let (Some(secret), Some(outside)) = (named("SECRET").map(PathBuf::from), named("OUTSIDE").map(PathBuf::from)) {
        tell_io("secret", File::open(&secret));
        tell_io("list", fs::read_dir(&outside));
        tell_io("write", append(&secret));
        let cut = std::ffi::CString::new(secret.to_str().unwrap()).unwrap();
        // SAFETY: the path is a C string; where it is not refused, the test that asked sees it.
        let cut = unsafe { libc::truncate(cut.as_ptr(), 0) };
        tell_io("cut", if cut == 0 { Ok(()) } else { Err(io::Error::last_os_error()) });
        tell_io("make", File::create(outside.join("made")));
        let own = std::env::temp_dir().join("own");
        fs::write(&own, "x").unwrap();
        tell_io("link", fs::hard_link(&own, outside.join("linked")).map_err(across));
        tell_io("rename", fs::rename(&own, outside.join("moved")).map_err(across));
    }
    tell_io("usr", File::create("/usr/podbay-was-here"));
    tell_io("sysctl", append(Path::new("/proc/sys/kernel/hostname")));
    tell_io("shadow", File::open("/etc/shadow"));
    let state = PathBuf::from(named("PODBAY_ROOT").unwrap());
    tell_io("state", File::open(state.parent().unwrap().join("spec.json")));
    tell_io("shm", File::create("/dev/shm/podbay-was-here"));
    let node = rustix::fs::mknodat(
        rustix::fs::CWD,
        std::env::temp_dir().join("node"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::RUSR,
        rustix::fs::makedev(1, 1),
    );
    tell("device", node);
    tell_io("ptmx", File::open("/dev/ptmx"));
    tell_io("pts", fs::read_dir("/dev/pts"));
}

/// Between two file systems a link is refused for that.
fn across(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::CrossesDevices { io::ErrorKind::PermissionDenied.into() } else { error }
}

fn own_files() {
    tell_io("own-tmp", fs::write(std::env::temp_dir().join("note"), "x"));
    tell_io("own-home", fs::write(PathBuf::from(named("HOME").unwrap()).join("note"), "x"));
    tell_io("own-root", fs::write(PathBuf::from(named("PODBAY_ROOT").unwrap()).join("note"), "x"));
    tell_io("run", Command::new("git").arg("--version").output());
    tell_io("null", OpenOptions::new().write(true).open("/dev/null"));
    tell_io("proc-self", fs::read("/proc/self/environ"));
}

fn machine() {
    tell("tmpfs", mount("none", "/mnt", "tmpfs", MountFlags::empty(), None));
    tell("bind", mount_bind("/usr", "/mnt"));
    tell("chroot", rustix::process::chroot("/usr"));
    tell("module", rustix::system::init_module(b"no module", c""));
    for (name, flag) in [("user", libc::CLONE_NEWUSER), ("mount", libc::CLONE_NEWNS), ("net", libc::CLONE_NEWNET)] {
        tell_io(&format!("unshare-{name}"), call(libc::SYS_unshare, [flag.into(), 0, 0]));
    }
    // Without a stack of its own, the child goes on in the parent's place: it must not be.
    let flags = i64::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
    match call(libc::SYS_clone, [flags, 0, 0]) {
        Ok(0) => std::process::abort(),
        other => tell_io("clone-user", other),
    }
    let entered = File::open("/proc/self/ns/mnt").unwrap();
    tell("setns", move_into_link_name_space(entered.as_fd(), Some(LinkNameSpaceType::Mount)));
    tell_io("clone3", call(libc::SYS_clone3, [0, 0, 0]));
    tell_io("uring", call(libc::SYS_io_uring_setup, [1, 0, 0]));
    tell_io("bpf", call(libc::SYS_bpf, [0, 0, 0]));
    tell_io("keyring", call(libc::SYS_keyctl, [0, -3, 0]));
    tell_io("shm-sysv", call(libc::SYS_shmget, [0, 4096, 0o1600]));
    if cfg!(target_arch = "x86_64") {
        // `getpid` of x32.
        tell_io("x32", call(0x4000_0027, [0, 0, 0]));
    } else {
        println!("\nx32=none");
    }
}

pub fn trace(pid: i32) -> io::Result<i64> {
    // SAFETY: seizing takes no memory of this process.
    let said = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) };
    if said < 0 { Err(io::Error::last_os_error()) } else { Ok(said) }
}

fn processes() {
    let mut own = Command::new("sleep").arg("60").spawn().unwrap();
    let own_pid = i32::try_from(own.id()).unwrap();
    tell_io("own-trace", trace(own_pid));
    tell("own-signal", kill_process(Pid::from_raw(own_pid).unwrap(), Signal::KILL));
    own.wait().unwrap();
    let Some(pid) = named("HOST_PID").and_then(|pid| pid.parse::<i32>().ok()) else { return };
    let place = PathBuf::from(format!("/proc/{pid}"));
    let other = Pid::from_raw(pid).unwrap();
    tell_io("seen", fs::read(place.join("cmdline")));
    tell_io("trace", trace(pid));
    tell_io("environ", fs::read(place.join("environ")));
    tell_io("memory", File::open(place.join("mem")));
    tell_io("root", fs::read_dir(place.join("root")));
    let handle = pidfd_open(other, PidfdFlags::empty());
    tell("steal", handle.and_then(|handle| pidfd_getfd(&handle, 0, PidfdGetfdFlags::empty())));
    tell("signal", kill_process(other, Signal::TERM));
}

fn sockets() {
    tell_io("socket", UnixStream::connect(named("SOCKET").unwrap_or_else(|| "/nowhere".to_owned())));
    tell_io("packet", UnixDatagram::unbound());
    tell_io("pair", UnixStream::pair());
    let port = named("PORT").and_then(|port| port.parse::<u16>().ok()).unwrap_or(9);
    tell_io("tcp", TcpStream::connect(("127.0.0.1", port)));
    tell_io("udp", UdpSocket::bind("127.0.0.1:0"));
}

fn facts() {
    let facts = fs::read_to_string("/proc/self/status").unwrap();
    for key in ["NoNewPrivs", "CapEff", "Seccomp"] {
        let value = facts.lines().find_map(|line| line.strip_prefix(&format!("{key}:"))).unwrap().trim();
        println!("\n{key}={value}");
    }
}
