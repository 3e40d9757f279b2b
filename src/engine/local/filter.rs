//! The filter of system calls of a container without namespaces. Pure: programs for the kernel's own small machine.
//!
//! A list of what is refused, for the walls themselves are Landlock's: here is what it does not know of. Of the way in by
//! another number of the same call, that of 32-bit programs is closed by their end, and x32's by refusing all of it.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

use super::bare::Refused;

/// Always refused: what changes the machine, makes namespaces or mounts, or sees what others do.
const DANGEROUS: [i64; 50] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    // In shared memory and queues there are no walls between users' processes but modes.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
];
/// The same where a machine has them.
#[cfg(target_arch = "x86_64")]
const MORE: [i64; 7] = [
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const MORE: [i64; 0] = [];

/// Said not to exist, so that programs take the older way: by these, a filter can't see what is asked for.
const UNKNOWN: [i64; 4] =
    [libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Flags of `clone` and `unshare` that make namespaces; the last one is of `unshare` alone.
const NAMESPACES: [libc::c_int; 8] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
    0x80,
];

/// Families of sockets that a walled program may have: the network's, and what asks the kernel about it. A unix socket's
/// path is no matter of Landlock: by one, a program would reach whatever else the user runs.
const FAMILIES: [libc::c_int; 3] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The programs, in the order in which they are to be taken; none where nothing is refused.
///
/// # Errors
/// A machine that the filter does not know.
pub fn programs(refused: Refused) -> Result<Vec<BpfProgram>, String> {
    let mut programs = Vec::new();
    let rules = rules(refused)?;
    if rules.is_empty() {
        return Ok(programs);
    }
    programs.push(compiled(rules, libc::EPERM)?);
    // Both ways around what the first one looks at.
    programs.push(compiled(UNKNOWN.into_iter().map(|number| (number, Vec::new())).collect(), libc::ENOSYS)?);
    programs.extend(other_numbers());
    Ok(programs)
}

fn compiled(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, String> {
    let told = |error: seccompiler::BackendError| format!("make a filter of system calls: {error}");
    let errno = u32::try_from(errno).unwrap_or(1);
    let arch = std::env::consts::ARCH.try_into().map_err(told)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch).map_err(told)?;
    BpfProgram::try_from(filter).map_err(told)
}

fn rules(refused: Refused) -> Result<Rules, String> {
    let mut rules = Rules::new();
    if refused.dangerous {
        rules.extend(DANGEROUS.into_iter().chain(MORE).map(|number| (number, Vec::new())));
        let [clone @ .., _] = &NAMESPACES;
        rules.insert(libc::SYS_clone, any_of(clone)?);
        rules.insert(libc::SYS_unshare, any_of(&NAMESPACES)?);
        rules.insert(libc::SYS_socket, vec![none_of(&FAMILIES)?]);
    }
    if refused.network {
        // Where unix sockets are allowed, they stay so.
        let families: &[libc::c_int] = if refused.dangerous { &[] } else { &[libc::AF_UNIX] };
        let rule = if families.is_empty() { Vec::new() } else { vec![none_of(families)?] };
        rules.insert(libc::SYS_socket, rule);
    }
    if refused.truncate {
        rules.insert(libc::SYS_truncate, Vec::new());
    }
    Ok(rules)
}

/// Refused when one of these flags is set in the first argument.
fn any_of(flags: &[libc::c_int]) -> Result<Vec<SeccompRule>, String> {
    let rule = |flag: &libc::c_int| {
        let bits = u64::from(flag.unsigned_abs());
        rule(vec![condition(SeccompCmpOp::MaskedEq(bits), bits)?])
    };
    flags.iter().map(rule).collect()
}

/// Refused when the first argument is none of these.
fn none_of(values: &[libc::c_int]) -> Result<SeccompRule, String> {
    let conditions = values.iter().map(|value| condition(SeccompCmpOp::Ne, u64::from(value.unsigned_abs())));
    rule(conditions.collect::<Result<_, _>>()?)
}

fn condition(op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, String> {
    SeccompCondition::new(0, SeccompCmpArgLen::Dword, op, value).map_err(|error| error.to_string())
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, String> {
    SeccompRule::new(conditions).map_err(|error| error.to_string())
}

/// x32: the same machine by the kernel's name, with other numbers for the same calls.
#[cfg(target_arch = "x86_64")]
fn other_numbers() -> Vec<BpfProgram> {
    const X32: u32 = 0x4000_0000;
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const REFUSE: u32 = 0x0005_0000 | libc::ENOSYS.unsigned_abs();
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![vec![
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_AT_LEAST, 0, 1, X32),
        step(RETURN, 0, 0, REFUSE),
        step(RETURN, 0, 0, ALLOW),
    ]]
}

#[cfg(not(target_arch = "x86_64"))]
const fn other_numbers() -> Vec<BpfProgram> {
    Vec::new()
}
