//! Another user for a process that is about to be executed, with all groups of that user: the standard library drops them.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has a command run as somebody else; without `ids`, as who starts it. To be asked for before anything else that is done
/// between fork and exec: with another user, what a process follows to its death is forgotten.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "what runs between fork and exec makes only system calls, and allocates nothing")]
pub(super) fn become_user(command: &mut Command, ids: Option<(u32, u32)>, groups: &[u32]) {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
    let Some((uid, gid)) = ids else { return };
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let change = move || {
        // A forked process has one thread, so these are of all of it.
        set_thread_groups(&groups)?;
        set_thread_gid(gid)?;
        set_thread_uid(uid)?;
        // Its directory was entered by somebody else.
        Ok(rustix::process::chdir(c".")?)
    };
    // SAFETY: nothing of it takes a lock or allocates; the list was made before.
    unsafe { command.pre_exec(change) };
}

/// The same, without groups: a thread has none of its own there.
#[cfg(not(target_os = "linux"))]
pub(super) fn become_user(command: &mut Command, ids: Option<(u32, u32)>, _groups: &[u32]) {
    if let Some((uid, gid)) = ids {
        command.uid(uid).gid(gid);
    }
}
