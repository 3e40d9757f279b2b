//! A world that is made in two parts: as much as every container has before it is known whose it will be, the rest when it
//! is. The machine's own mounts are kept beside it meanwhile, in a namespace of their own: what is mounted late is opened
//! there, so that nothing of the machine is left in the world itself.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::{MOST, News, Order, Plan, join, mounts, namespaces, read, receive, tell};
use crate::engine::local::{INIT_VERB, ahead, title};

/// A namespace of mounts, by the process that is in it.
const OWN: &str = "/proc/self/ns/mnt";

/// Makes the first part, says so, and makes the rest as soon as the plan comes, which takes the place of this one. What
/// holds the machine's mounts is given back.
///
/// # Errors
/// In words.
pub fn part(plan: &mut Plan, control: &OwnedFd, groups: Vec<OwnedFd>) -> Result<File, String> {
    join(groups);
    let told = |error: io::Error| format!("make namespaces: {error}");
    namespaces(UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS).map_err(told)?;
    let outside = File::open(OWN).map_err(told)?;
    namespaces(UnshareFlags::NEWNS).map_err(told)?;
    mounts::enter(plan)?;
    let inside = File::open(OWN).map_err(told)?;
    tell(control, &News::Ahead, &[]);
    let wanted = wait(control).map_err(|error| format!("wait for its plan: {error}"))?;
    title::set(&[OsStr::new(INIT_VERB), wanted.root.with_file_name("plan.json").as_os_str()]);
    rustix::system::sethostname(wanted.hostname.as_bytes()).map_err(|error| format!("set its name: {error}"))?;
    let late: Vec<_> = ahead::beside(plan, &wanted).collect();
    let shown = if late.is_empty() {
        Vec::new()
    } else {
        enter(&outside)?;
        let shown = late.into_iter().map(mounts::open).collect();
        enter(&inside)?;
        shown
    };
    let shown = shown.into_iter().collect::<Result<Vec<_>, _>>()?;
    mounts::finish(&wanted, ahead::memory_beside(plan, &wanted), &shown)?;
    *plan = wanted;
    Ok(outside)
}

fn wait(control: &OwnedFd) -> io::Result<Plan> {
    let mut space = vec![0; MOST];
    let (count, _) = receive(control, &mut space)?;
    match read::<Order>(space.get(..count).unwrap_or_default())? {
        Order::Settle(plan) => Ok(*plan),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn enter(namespace: &File) -> Result<(), String> {
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
        .map_err(|error| format!("enter a namespace of mounts: {error}"))
}
