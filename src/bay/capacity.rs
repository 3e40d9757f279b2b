//! How many more workers a machine takes, and what ends first.
//!
//! Reckons with what each may take, not with what it takes now: a worker that fits still fits when all are busy.

use super::template::Limits;

/// What is left to the machine itself: this much memory and disk, or an eighth where that is less.
const HEADROOM: u64 = 1 << 30;

/// What a checkout and what is installed for it takes on the disk, beside the logs: nobody limits it, so it is a guess.
const CHECKOUT: u64 = 1 << 30;

/// The engine's machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// CPUs.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Memory that could be had at this moment; `None` where it can't be seen.
    pub memory_free: Option<u64>,
    /// Bytes to be had on the disk; `None` where it can't be seen.
    pub disk_free: Option<u64>,
}

/// What one worker may take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Bytes of memory; 0: nobody limits it.
    pub memory: u64,
    /// CPUs; 0: nobody limits them.
    pub cpus: f64,
    /// Bytes on the disk.
    pub disk: u64,
}

impl Share {
    /// By its limits. A reservation says what it needs, and goes before the limit.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        let memory = limits.memory_reservation.unwrap_or(limits.memory).as_u64();
        let logs = limits.log_max_size.as_u64().saturating_mul(u64::from(limits.log_max_files));
        Self { memory, cpus: limits.cpus, disk: logs.saturating_add(CHECKOUT) }
    }
}

/// What ends a machine's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// CPUs; past them, workers share.
    Cpu,
    /// The disk.
    Disk,
}

impl Resource {
    /// The word in sentences and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Disk => "disk",
        }
    }
}

/// How many more of one kind fit, by each resource; `None`: that one does not end it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// By memory.
    pub memory: Option<u64>,
    /// By CPUs, each worker with its own.
    pub cpu: Option<u64>,
    /// By disk.
    pub disk: Option<u64>,
}

impl Room {
    /// How many more fit, and what ends it; `None` when nothing does.
    #[must_use]
    pub fn first(&self) -> Option<(u64, Resource)> {
        let all = [(self.memory, Resource::Memory), (self.disk, Resource::Disk), (self.cpu, Resource::Cpu)];
        all.into_iter().filter_map(|(count, what)| Some((count?, what))).min_by_key(|(count, _)| *count)
    }
}

/// The room for more workers like `one` beside those that run.
#[must_use]
pub fn room(host: &Host, running: &[Share], one: &Share) -> Room {
    let promised = running.iter().fold(0_u64, |sum, share| sum.saturating_add(share.memory));
    let headroom = HEADROOM.min(host.memory / 8);
    let unpromised = host.memory.saturating_sub(headroom).saturating_sub(promised);
    let free = host.memory_free.map_or(u64::MAX, |free| free.saturating_sub(headroom));
    let memory = (one.memory > 0 && host.memory > 0).then(|| unpromised.min(free) / one.memory);
    let disk = host.disk_free.filter(|_| one.disk > 0).map(|free| free.saturating_sub(HEADROOM) / one.disk);
    Room { memory, cpu: by_cpu(host, running, one), disk }
}

fn by_cpu(host: &Host, running: &[Share], one: &Share) -> Option<u64> {
    let all = f64::from(host.cpus);
    // No engine gives a container more than there are.
    let takes = |share: &Share| if share.cpus > 0.0 { share.cpus.min(all) } else { 0.0 };
    let each = takes(one);
    if each <= 0.0 || all <= 0.0 {
        return None;
    }
    let left = all - running.iter().map(takes).sum::<f64>();
    // Tenths of CPUs have no exact binary form: 0.3 of 0.9 are three.
    let count = (left / each + 1e-6).floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the machine's CPUs in hundredths"
    )]
    let count = if count.is_finite() && count > 0.0 { count as u64 } else { 0 };
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn share(memory: u64, cpus: f64) -> Share {
        Share { memory: memory * GIB, cpus, disk: 2 * GIB }
    }

    #[test]
    fn what_ends_first_is_named() {
        let host = Host { cpus: 8, memory: 16 * GIB, memory_free: None, disk_free: Some(21 * GIB) };
        for (running, one, memory, cpu, disk, first) in [
            // The second seed's table: 16 GiB take about 15 of 1 GiB and 7 of 2 GiB.
            (vec![], share(1, 0.0), Some(15), None, Some(10), Some((10, Resource::Disk))),
            (vec![], share(2, 0.5), Some(7), Some(16), Some(10), Some((7, Resource::Memory))),
            (vec![share(8, 4.0)], share(2, 4.0), Some(3), Some(1), Some(10), Some((1, Resource::Cpu))),
            (vec![share(8, 4.0); 2], share(8, 4.0), Some(0), Some(0), Some(10), Some((0, Resource::Memory))),
            (vec![share(0, 0.0); 9], share(0, 0.0), None, None, Some(10), Some((10, Resource::Disk))),
            (vec![], share(1, 64.0), Some(15), Some(1), Some(10), Some((1, Resource::Cpu))),
        ] {
            let room = room(&host, &running, &one);
            assert_eq!(room, Room { memory, cpu, disk }, "{running:?} {one:?}");
            assert_eq!(room.first(), first);
        }
    }

    #[test]
    fn what_others_use_is_not_to_be_had() {
        let host = Host { cpus: 4, memory: 16 * GIB, memory_free: Some(5 * GIB), disk_free: None };
        assert_eq!(room(&host, &[], &share(1, 0.0)), Room { memory: Some(4), cpu: None, disk: None });
        // On a small machine the headroom is small, too.
        let small = Host { cpus: 1, memory: GIB, memory_free: None, disk_free: None };
        let quarter = Share { memory: GIB / 4, ..Share::default() };
        assert_eq!(room(&small, &[], &quarter).memory, Some(3));
        assert_eq!(room(&Host::default(), &[], &share(1, 1.0)).first(), None);
    }

    #[test]
    fn parts_of_cpus_add_up() {
        let host = Host { cpus: 3, ..Host::default() };
        let tenth = Share { cpus: 0.1, ..Share::default() };
        assert_eq!(room(&host, &[tenth; 9], &Share { cpus: 0.3, ..Share::default() }).cpu, Some(7));
    }
}
