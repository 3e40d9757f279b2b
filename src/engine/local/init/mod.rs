//! The first process of a container: it makes the container's world, begins what is asked for, and takes leave of
//! everything that ends in it. When it ends, the kernel ends everything else.
//!
//! Two threads: one waits for ends, one for orders. It is small, because a bay may have a hundred of them, and it can't
//! be looked into by the programs that it begins: it keeps capabilities that they never had.

mod ahead;
mod fence;
mod inside;
mod loopback;
pub mod mounts;
mod program;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitIdOptions, WaitOptions, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use super::bare::Bare;
use super::plan::Plan;
use super::wire::{MOST, News, Order, Program, message, read, receive, send};
use fence::Fence;
use program::{Streams, Walls};

/// What this process itself needs, beside what it hands on.
const OWN: CapabilitySet = CapabilitySet::SETUID
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::SETPCAP);

/// After so long the program has begun.
const BEGINS: Duration = Duration::from_millis(100);

/// Small, and more than either thread needs.
const STACK: usize = 128 * 1024;

/// Who runs, by pid. Nothing is reaped while somebody begins a process: its end must not come before its name.
struct Table {
    main: u32,
    execs: BTreeMap<u32, u64>,
}

/// Runs until the main process ends or the shim is gone. With `groups`, it is made before its container is known: it goes
/// to these control groups, and makes as much of a world as it can.
#[must_use]
pub fn run(plan: &Path, control: &OwnedFd, groups: Option<Vec<OwnedFd>>) -> ExitCode {
    match begin(plan, control, groups) {
        Ok((table, walls, outside)) => serve(control, table, walls, outside),
        Err(why) => {
            tell(control, &News::Failed(why), &[]);
            ExitCode::FAILURE
        }
    }
}

fn begin(plan: &Path, control: &OwnedFd, groups: Option<Vec<OwnedFd>>) -> Result<(Table, Walls, Option<File>), String> {
    // With the shim everything of it ends: nobody else could tell how it ended.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let text = std::fs::read(plan).map_err(|error| format!("read {}: {error}", plan.display()))?;
    let mut plan: Plan = serde_json::from_slice(&text).map_err(|error| format!("read {}: {error}", plan.display()))?;
    let mut outside = None;
    let fence = if let Some(bare) = &plan.bare {
        settle(&plan, bare)?;
        Some(Arc::new(Fence::of(bare)?))
    } else if let Some(groups) = groups {
        outside = Some(ahead::part(&mut plan, control, groups)?);
        None
    } else {
        part(&plan)?;
        None
    };
    // Nothing is begun outside of its limits, nor before it is wanted: what was made ahead is in its groups already, and the
    // main process waits for the word by itself.
    let word = if outside.is_some() {
        Some(control.try_clone().map_err(|error| format!("wait for its limits: {error}"))?)
    } else {
        go(control).map_err(|error| format!("wait for its limits: {error}"))?;
        None
    };
    limit(&plan).map_err(|error| format!("limit what it may have: {error}"))?;
    let left = CapabilitySet::from_bits_truncate(plan.capabilities);
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let walls = Walls { capabilities: left, no_new_privileges: plan.no_new_privileges, own, fence };
    lay_down(left).map_err(|error| format!("lay down capabilities: {error}"))?;
    // A program that may enter namespaces must not find one here.
    let may_enter = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE;
    let outside = outside.filter(|_| !left.intersects(may_enter));
    let (main, ends) = program::begin(&plan.main, &walls, &Streams::Inherited, word)?;
    tell(control, &News::Began, &ends);
    // What it writes is its own: the streams must end with it.
    let null = File::options().read(true).write(true).open("/dev/null").map_err(|error| error.to_string())?;
    let _ = rustix::stdio::dup2_stdout(&null).and_then(|()| rustix::stdio::dup2_stderr(&null));
    Ok((Table { main, execs: BTreeMap::new() }, walls, outside))
}

/// Waits for the word, and goes to the control groups that come with it.
fn go(control: &OwnedFd) -> io::Result<()> {
    let mut space = [0; 64];
    let (count, groups) = receive(control, &mut space)?;
    read::<Order>(space.get(..count).unwrap_or_default())?;
    join(groups);
    Ok(())
}

/// Goes to control groups, by the files where that is done.
fn join(groups: Vec<OwnedFd>) {
    for group in groups {
        // What can't be set is not: it is known before.
        let _ = rustix::io::write(&group, b"0");
    }
}

/// A world of its own.
fn part(plan: &Plan) -> Result<(), String> {
    let mut apart = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    apart.set(UnshareFlags::NEWNET, plan.own_network);
    namespaces(apart).map_err(|error| format!("make namespaces: {error}"))?;
    rustix::system::sethostname(plan.hostname.as_bytes()).map_err(|error| format!("set its name: {error}"))?;
    if plan.own_network {
        loopback::up().map_err(|error| format!("bring up its loopback: {error}"))?;
    }
    mounts::enter(plan)
}

/// A place in the machine's own world: its directories and the links that stand for mounts. Whoever loses its parent
/// comes to this process.
fn settle(plan: &Plan, bare: &Bare) -> Result<(), String> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| format!("look after what is left behind: {error}"))?;
    bare.links.iter().try_for_each(|(link, to)| super::left::link(link, to))?;
    let home = plan.main.env.get("HOME").map(std::path::PathBuf::from);
    for dir in home.iter().chain([&plan.main.cwd]).filter(|dir| !dir.is_dir()) {
        std::fs::create_dir_all(dir).map_err(|error| format!("make {}: {error}", dir.display()))?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "unsafe only where a thread could see another's descriptors, which this never asks for")]
fn namespaces(apart: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors are not unshared, and this process has one thread.
    Ok(unsafe { rustix::thread::unshare_unsafe(apart) }?)
}

fn limit(plan: &Plan) -> io::Result<()> {
    let (pids, memory) = plan.instead.unwrap_or((0, 0));
    // Private memory that can be written: what a program reserves and never uses does not count.
    let all = [(Resource::Nofile, plan.nofile), (Resource::Nproc, (pids, pids)), (Resource::Data, (memory, memory))];
    for (resource, (soft, hard)) in all.into_iter().filter(|(_, (_, hard))| *hard > 0) {
        // More than this user may have is not to be had.
        let hard = hard.min(getrlimit(resource).maximum.unwrap_or(u64::MAX));
        setrlimit(resource, Rlimit { current: Some(soft.min(hard)), maximum: Some(hard) })?;
    }
    Ok(())
}

/// What is not in the bounding set can't be gained by anything that is begun from here on.
fn lay_down(left: CapabilitySet) -> io::Result<()> {
    let permitted = rustix::thread::capabilities(None)?.permitted;
    for capability in CapabilitySet::all().difference(left).iter() {
        match rustix::thread::capability_is_in_bounding_set(capability) {
            // It is not there to be taken away: in a container, or one that this kernel does not know yet.
            Ok(false) | Err(rustix::io::Errno::INVAL) => continue,
            Ok(true) if permitted.is_empty() => {
                // Nobody's, and nothing gives it any: programs of this user gain no privileges.
                rustix::thread::set_no_new_privs(true)?;
                continue;
            }
            Ok(true) => {}
            Err(error) => return Err(error.into()),
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // One that this kernel does not know yet.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let mut sets = rustix::thread::capabilities(None)?;
    let keep = sets.permitted & (left | OWN);
    sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

fn tell(control: &OwnedFd, news: &News, ends: &[OwnedFd]) {
    let fds: Vec<_> = ends.iter().map(AsFd::as_fd).collect();
    // A shim that does not hear it is gone, and with it this process.
    let _ = message(news).and_then(|bytes| send(control, &bytes, &fds));
}

fn serve(control: &OwnedFd, table: Table, walls: Walls, outside: Option<File>) -> ExitCode {
    let table = Arc::new(Mutex::new(table));
    let orders = table.clone();
    let Ok(far) = control.try_clone() else { return ExitCode::FAILURE };
    let listen = move || {
        obey(&far, &orders, &walls, outside);
        // The shim is gone, or says what can't be understood.
        leave();
    };
    if std::thread::Builder::new().stack_size(STACK).spawn(listen).is_err() {
        return ExitCode::FAILURE;
    }
    reap(control, &table);
    ExitCode::SUCCESS
}

#[expect(clippy::exit, reason = "the other thread waits in the kernel, and everything else ends with this process")]
fn leave() -> ! {
    std::process::exit(1)
}

fn obey(control: &OwnedFd, table: &Mutex<Table>, walls: &Walls, mut outside: Option<File>) {
    let until = Instant::now() + BEGINS;
    loop {
        // The mounts that go with it take the kernel milliseconds, which the program's begin would wait for.
        outside = outside.filter(|_| is_asked(control, until.saturating_duration_since(Instant::now())));
        // Not kept between orders: most containers never get one.
        let mut space = vec![0; MOST];
        let order = match receive(control, &mut space) {
            Ok((0, _)) => return,
            Ok((count, _)) => read::<Order>(space.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        drop(space);
        match order {
            Ok(Order::Go | Order::Settle(_)) => {}
            Ok(Order::Signal(number)) => signal(table, number),
            Ok(Order::Exec(id, program)) => exec(control, table, (id, &program), (walls, Streams::Own)),
            Ok(Order::Probe(id, program)) => exec(control, table, (id, &program), (walls, Streams::None)),
            Ok(Order::Kill(id)) => kill(table, id),
            Ok(Order::Listen(id, port)) => give(control, id, inside::listener(port)),
            Ok(Order::Socket(id)) => give(control, id, inside::socket()),
            Err(_) => return,
        }
    }
}

/// Whether an order comes before this time is over.
fn is_asked(control: &OwnedFd, within: Duration) -> bool {
    let mut wanted = [PollFd::new(control, PollFlags::IN)];
    let within = Timespec { tv_sec: 0, tv_nsec: within.subsec_nanos().into() };
    matches!(rustix::event::poll(&mut wanted, Some(&within)), Ok(1..))
}

fn exec(control: &OwnedFd, table: &Mutex<Table>, (id, program): (u64, &Program), (walls, streams): (&Walls, Streams)) {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    match program::begin(program, walls, &streams, None) {
        Ok((pid, ends)) => {
            table.execs.insert(pid, id);
            tell(control, &News::ExecBegan(id), &ends);
        }
        Err(why) => tell(control, &News::ExecFailed(id, why), &[]),
    }
}

/// It leads a session, and so a group, of its own.
fn kill(table: &Mutex<Table>, id: u64) {
    // Nobody takes leave of it meanwhile, so that its number is its own.
    let table = table.lock().unwrap_or_else(PoisonError::into_inner);
    let found = table.execs.iter().find(|(_, exec)| **exec == id).and_then(|(raw, _)| pid(*raw));
    if let Some(pid) = found {
        // Gone since is what was wanted.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

fn give(control: &OwnedFd, id: u64, made: io::Result<OwnedFd>) {
    match made {
        Ok(socket) => tell(control, &News::Gave(id), &[socket]),
        Err(error) => tell(control, &News::GaveNot(id, error.to_string()), &[]),
    }
}

fn signal(table: &Mutex<Table>, number: i32) {
    // Nobody takes leave of it meanwhile, so that its number is its own.
    let table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(pid), Some(signal)) = (pid(table.main), Signal::from_named_raw(number)) {
        // Gone since is what was wanted.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn pid(raw: u32) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

/// Takes leave of everything that ends, until the main process does.
fn reap(control: &OwnedFd, table: &Mutex<Table>) {
    loop {
        let waited =
            rustix::process::waitid(rustix::process::WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        match waited {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // The main process is a child until it is taken leave of: this can't be.
            Err(_) => return,
        }
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(Some((ended, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let ended = ended.as_raw_nonzero().get().unsigned_abs();
            let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
            let code = i64::from(code.unwrap_or(-1));
            if let Some(exec) = table.execs.remove(&ended) {
                tell(control, &News::ExecEnded(exec, code), &[]);
            }
            if ended == table.main {
                tell(control, &News::Ended(code), &[]);
                return;
            }
        }
    }
}
