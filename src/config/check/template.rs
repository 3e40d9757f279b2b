//! `[worker]` and `[[template]]`.

use crate::bay::container::ImageRef;
use crate::bay::name::Name;
use crate::bay::pool::MOST_WARM;
use crate::bay::remote::Remote;
use crate::bay::size::ByteSize;
use crate::bay::template::{
    AgentHome, Hardening, Health, Limits, NetworkMode, PoolSpec, Refresh, Template, WorkspaceMode,
};

use super::super::error::{Fault, suggestion};
use super::super::node::Path;
use super::{Checked, ensure, words};

/// What the engine takes at least (Docker's own rule).
const LEAST_MEMORY: ByteSize = ByteSize::bytes(6 << 20);

/// Linux's capabilities, as the Docker CLI names them.
const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// One template, `[worker]` laid under it.
pub fn template(template: &Template, path: &Path) -> Checked {
    words::image(&template.image, &path.key("image"))?;
    words::argv(&template.command, &path.key("command"))?;
    let idle = template.image == ImageRef::Host && template.command.is_empty();
    ensure(!idle, || Fault::new(path.key("command"), "must not be empty: the host image has no command of its own"))?;
    ensure(is_user(&template.user), || {
        let what = format!("{:?} is not a user: write UID, UID:GID or a name", template.user);
        Fault::new(path.key("user"), what)
    })?;
    ports(template, path)?;
    words::text(&template.project, &path.key("project"))?;
    repository(template, path)?;
    words::text(&template.setup, &path.key("setup"))?;
    words::mounts(&template.mounts, &path.key("mounts"))?;
    let names: Vec<&Name> = template.volumes.iter().map(|volume| &volume.name).collect();
    words::each_once(&names, &path.key("volumes"))?;
    let targets: Vec<_> = template.volumes.iter().map(|volume| &volume.target).collect();
    words::each_once(&targets, &path.key("volumes"))?;
    agent_home(&template.agent_home, &path.key("agent_home"))?;
    words::env(&template.env, &path.key("env"))?;
    words::paths(&template.env_file, &path.key("env_file"))?;
    let secrets: Vec<&str> = template.secrets.iter().map(Name::as_str).collect();
    words::each_once(&secrets, &path.key("secrets"))?;
    limits(&template.limits, &path.key("limits"))?;
    hardening(&template.hardening, &path.key("hardening"))?;
    health(&template.health, &path.key("health"))?;
    refresh(&template.refresh, &path.key("refresh"))?;
    template.pool.as_ref().map_or(Ok(()), |spec| pool(spec, &path.key("pool")))
}

/// UID, UID:GID, a name, or empty.
pub fn is_user(user: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty() && text.len() <= 32 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    let id = |text: &str| !text.starts_with(|c: char| c.is_ascii_digit()) || text.parse::<u32>().is_ok();
    user.is_empty() || (user.split(':').count() <= 2 && user.split(':').all(|part| word(part) && id(part)))
}

fn ports(template: &Template, path: &Path) -> Checked {
    let list = path.key("ports");
    for (index, port) in template.ports.iter().enumerate() {
        ensure(*port > 0, || Fault::new(list.item(index), "must be a port from 1 to 65535"))?;
    }
    words::each_once(&template.ports, &list)?;
    ensure(template.ports.is_empty() || template.network == NetworkMode::Bridge, || {
        Fault::new(list, "are published only with network = \"bridge\"; a shared worker's ports are the parent's")
    })
}

/// A clone names its repository; `[worker]` may leave that to its templates and to `--repo`.
fn repository(template: &Template, path: &Path) -> Checked {
    if template.workspace != WorkspaceMode::Clone || template.project.is_empty() {
        return Ok(());
    }
    let read = template.project.parse::<Remote>();
    read.map(drop).map_err(|error| Fault::new(path.key("project"), error))
}

fn agent_home(home: &AgentHome, path: &Path) -> Checked {
    words::path(&home.from, &path.key("from"))?;
    words::text(&home.to, &path.key("to"))?;
    let fits = home.to.is_empty() || home.to.starts_with('/') || home.to.starts_with("~/");
    let climbs = home.to.split('/').any(|part| part == "..");
    ensure(fits && !climbs, || {
        let what = format!("{:?} must be absolute or start with ~/, without \"..\"", home.to);
        Fault::new(path.key("to"), what)
    })?;
    words::each_once(&home.copy, &path.key("copy"))?;
    for (index, file) in home.copy.iter().enumerate() {
        let plain = !file.is_empty() && !file.contains(['/', '\0']) && file != "." && file != "..";
        ensure(plain, || {
            Fault::new(
                path.key("copy").item(index),
                format_args!("{file:?} must be the name of a file in agent_home.from"),
            )
        })?;
    }
    Ok(())
}

fn limits(limits: &Limits, path: &Path) -> Checked {
    let cpus = limits.cpus;
    let fits = cpus.is_finite() && (cpus == 0.0 || (0.01..=4096.0).contains(&cpus));
    ensure(fits, || {
        Fault::new(
            path.key("cpus"),
            format_args!("{cpus:?} is not a number of CPUs: write 0.01 or more, or 0 for no limit"),
        )
    })?;
    let enough = |size: ByteSize| size == ByteSize::default() || size >= LEAST_MEMORY;
    ensure(enough(limits.memory), || {
        Fault::new(
            path.key("memory"),
            format_args!("{} is too little: write 6m or more, or 0 for no limit", limits.memory),
        )
    })?;
    if let Some(kept) = limits.memory_reservation {
        let at = path.key("memory_reservation");
        ensure(kept >= LEAST_MEMORY, || {
            Fault::new(at.clone(), format_args!("{kept} is too little: write 6m or more, or \"\" for none"))
        })?;
        let below = limits.memory == ByteSize::default() || kept <= limits.memory;
        ensure(below, || Fault::new(at, format_args!("{kept} is more than the memory limit, {}", limits.memory)))?;
    }
    let (soft, hard) = limits.nofile;
    ensure(soft > 0 && soft <= hard, || {
        Fault::new(path.key("nofile"), format_args!("[{soft}, {hard}] must be [SOFT, HARD] with 0 < SOFT <= HARD"))
    })?;
    ensure(limits.log_max_size > ByteSize::default(), || {
        Fault::new(path.key("log_max_size"), "must be more than zero: without a limit a log fills the disk")
    })?;
    words::counted(limits.log_max_files, &path.key("log_max_files"))
}

fn hardening(walls: &Hardening, path: &Path) -> Checked {
    for (key, list) in [("cap_drop", &walls.cap_drop), ("cap_add", &walls.cap_add)] {
        let at = path.key(key);
        words::each_once(list, &at)?;
        for (index, name) in list.iter().enumerate() {
            ensure(CAPABILITIES.contains(&name.as_str()), || unknown_capability(name, at.item(index)))?;
        }
    }
    let profile = walls.seccomp == "default" || walls.seccomp.starts_with(['/', '~', '$']);
    ensure(profile, || {
        let what = format!("{:?} must be \"default\" or the path of a profile", walls.seccomp);
        Fault::new(path.key("seccomp"), what)
    })?;
    if walls.seccomp == "default" { Ok(()) } else { words::path(&walls.seccomp, &path.key("seccomp")) }
}

fn unknown_capability(name: &str, path: Path) -> Fault {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let hint = suggestion(bare, &CAPABILITIES);
    // Forty names are no help.
    let hint =
        if hint.starts_with("did") { hint } else { "write it as the Docker CLI does, like \"CHOWN\"".to_owned() };
    Fault::new(path, format_args!("{name:?} is not a capability; {hint}"))
}

fn health(health: &Health, path: &Path) -> Checked {
    words::argv(&health.test, &path.key("test"))?;
    words::lasting(health.interval, &path.key("interval"))?;
    words::lasting(health.timeout, &path.key("timeout"))?;
    words::counted(health.retries, &path.key("retries"))
}

fn refresh(refresh: &Refresh, path: &Path) -> Checked {
    for (key, percent) in
        [("max_disk_percent", refresh.max_disk_percent), ("max_memory_percent", refresh.max_memory_percent)]
    {
        ensure((1..=100).contains(&percent), || {
            Fault::new(path.key(key), format_args!("{percent} is not a percentage: write 1 to 100"))
        })?;
    }
    words::counted(refresh.failed_health_checks, &path.key("failed_health_checks"))
}

fn pool(pool: &PoolSpec, path: &Path) -> Checked {
    ensure(pool.target <= MOST_WARM, || {
        Fault::new(
            path.key("target"),
            format_args!("{} warm workers are too many: write {MOST_WARM} or less", pool.target),
        )
    })?;
    ensure(pool.min <= pool.target, || {
        Fault::new(path.key("min"), format_args!("{} is more than target, {}", pool.min, pool.target))
    })?;
    words::counted(pool.max_creating, &path.key("max_creating"))
}
