//! What the executor asks the machine beside its effects.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::bay::container::{ContainerId, Status};
use crate::bay::port::PortMapping;

use super::super::goal::PARENT;
use super::Machine;

impl Machine {
    /// The running parent's pid, when the engine's processes are this machine's: watched between looks.
    #[must_use]
    pub fn parent_pid(&self) -> Option<u32> {
        let identity = self.identity.as_ref()?;
        match self.seen.get(PARENT)?.container.status {
            Status::Running { pid, .. } if identity.local && pid != 0 => Some(pid),
            _ => None,
        }
    }

    /// Whether the engine's processes are this machine's.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.local)
    }

    /// The running parent and its start, when its process can't be watched from here.
    #[must_use]
    pub fn remote_parent(&self) -> Option<(ContainerId, Option<Timestamp>)> {
        let parent = self.parent().filter(|parent| parent.status.is_running())?;
        (self.looking.known && self.parent_pid().is_none()).then(|| (parent.id.clone(), parent.status.since()))
    }

    /// Host ports that containers of this bay publish.
    #[must_use]
    pub fn host_ports(&self) -> BTreeSet<u16> {
        let seen = self.seen.values().chain(self.retired.values());
        seen.flat_map(|seen| &seen.container.ports).map(|port| port.host).collect()
    }

    /// The ports of the container whose successor is being made: it gets the same.
    #[must_use]
    pub fn kept_ports(&self, name: &str) -> Vec<PortMapping> {
        self.retired.get(name).map(|seen| seen.container.ports.clone()).unwrap_or_default()
    }

    /// Whether there is such a container, or is to be one.
    #[must_use]
    pub fn is_known(&self, name: &str) -> bool {
        self.seen.contains_key(name) || self.retired.contains_key(name) || self.stored.goals.contains_key(name)
    }
}
