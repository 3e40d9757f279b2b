//! What engines can't do, by name, and whether that touches what a template asks for.

use super::template::{NetworkMode, SshMode, Template};

/// Names that more than one room has to know.
pub mod what {
    /// A share of the CPUs.
    pub const CPU: &str = "limit of CPU";
    /// Memory.
    pub const MEMORY: &str = "limit of memory";
    /// Memory that is left to a container when there is little.
    pub const RESERVATION: &str = "memory reservation";
    /// Processes.
    pub const PROCESSES: &str = "limit of processes";
    /// A filter of system calls.
    pub const SECCOMP: &str = "seccomp";
    /// Images of containers.
    pub const IMAGES: &str = "images";
    /// A network of a worker's own, with published ports.
    pub const BRIDGE: &str = "bridge network";
    /// The network of the bay.
    pub const SHARED: &str = "shared namespace";
    /// Mounts where they are asked for.
    pub const MOUNTS: &str = "mounts";
    /// Sockets of the machine, among them that of an ssh agent.
    pub const SOCKETS: &str = "unix sockets";
    /// Walls of any kind.
    pub const WALLS: &str = "walls";
    /// Of Docker's: all that cgroups hold.
    pub const RESOURCES: &str = "resource limits";
}

/// Whether a worker of this template is given less than was asked for. What a level leaves open for everybody is told with
/// the level.
#[must_use]
pub fn touches(what: &str, template: &Template) -> bool {
    let limits = &template.limits;
    let (cpu, memory, pids) = (limits.cpus > 0.0, limits.memory.as_u64() > 0, limits.pids > 0);
    let reserved = limits.memory_reservation.is_some_and(|kept| kept.as_u64() > 0);
    match what {
        what::CPU | "CPU limit" => cpu,
        what::MEMORY | "memory limit" | "swap limit" => memory,
        what::PROCESSES | "pids limit" => pids,
        what::RESERVATION | "memory reservation under pressure" => reserved,
        what::RESOURCES => cpu || memory || pids || reserved,
        what::SECCOMP => template.hardening.seccomp != "unconfined",
        what::BRIDGE => template.network == NetworkMode::Bridge,
        what::SHARED => template.network == NetworkMode::Shared,
        what::MOUNTS => !template.mounts.is_empty() || !template.secrets.is_empty(),
        what::SOCKETS => template.ssh == SshMode::Agent,
        what::WALLS => true,
        _ => false,
    }
}
