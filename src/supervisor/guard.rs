//! The namespace guard: which workers have lost their network.
//!
//! A worker that joined its parent's namespace keeps running when the parent stops, restarts or is removed, with a
//! loopback interface and nothing else, and no engine says so. Pure; compares what the engine says of both, and the
//! namespaces themselves where this machine can see them.

use std::collections::BTreeMap;

use crate::bay::container::{ContainerId, Observed, ObservedNetwork, Status};
use crate::bay::reason::Reason;

/// Inode of the network namespace of each container whose `/proc` entry can be read here, and of the machine's own.
/// Comparing two that live at the same time is sound; inodes are used again after the last process has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Of containers.
    containers: BTreeMap<ContainerId, u64>,
    /// Of the machine, as the supervisor has it.
    machine: Option<u64>,
}

impl Namespaces {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was read.
    #[must_use]
    pub const fn of(containers: BTreeMap<ContainerId, u64>, machine: Option<u64>) -> Self {
        Self { containers, machine }
    }

    /// Forgets a container.
    pub fn remove(&mut self, id: &ContainerId) {
        self.containers.remove(id);
    }

    /// Whether it is known to have another network than the machine's.
    fn is_another(&self, id: &ContainerId) -> bool {
        let own = self.containers.get(id);
        self.machine.is_some() && own.is_some() && own != self.machine.as_ref()
    }

    /// Whether it has the machine's own network, which no parent takes away.
    #[must_use]
    pub fn is_the_machines(&self, id: &ContainerId) -> bool {
        self.machine.is_some() && self.containers.get(id) == self.machine.as_ref()
    }
}

/// Why a running worker has not its parent's network; `None` when it has, or has one of its own.
#[must_use]
pub fn lost(worker: &Observed, parent: Option<&Observed>, namespaces: &Namespaces) -> Option<Reason> {
    let ObservedNetwork::Of(bound) = &worker.network else { return None };
    let Status::Running { since, .. } = &worker.status else { return None };
    if namespaces.is_the_machines(&worker.id) {
        // A parent that was made since, with a network of its own, holds nothing that this one does.
        let past = parent.is_some_and(|parent| parent.status.is_running() && namespaces.is_another(&parent.id));
        return past.then_some(Reason::ParentWalled);
    }
    let Some(parent) = parent else { return Some(Reason::ParentDown("gone".to_owned())) };
    if parent.id != *bound {
        return Some(Reason::ParentReplaced);
    }
    match &parent.status {
        Status::Running { since: parent_since, .. } => {
            let apart = match (namespaces.containers.get(&worker.id), namespaces.containers.get(&parent.id)) {
                (Some(one), Some(other)) => one != other,
                _ => since < parent_since,
            };
            apart.then_some(Reason::ParentRestarted)
        }
        Status::Exited { code, .. } => Some(Reason::ParentDown(format!("stopped (exit code {code})"))),
        Status::Created { .. } => Some(Reason::ParentDown("not started".to_owned())),
        // Nothing is known of it: that is no loss yet.
        Status::Unclear { .. } => None,
        Status::Removing => Some(Reason::ParentDown("being removed".to_owned())),
    }
}
