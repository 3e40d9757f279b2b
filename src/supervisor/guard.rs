//! The namespace guard: which workers have lost their network.
//!
//! A worker that joined its parent's namespace keeps running when the parent stops, restarts or is removed, with a
//! loopback interface and nothing else, and no engine says so. Pure; compares what the engine says of both, and the
//! namespaces themselves where this machine can see them.

use std::collections::BTreeMap;

use crate::bay::container::{ContainerId, Observed, ObservedNetwork, Status};
use crate::bay::reason::Reason;

/// Inode of the network namespace of each container whose `/proc` entry can be read here. Comparing two that live at the
/// same time is sound; inodes are used again after the last process has left.
pub type Namespaces = BTreeMap<ContainerId, u64>;

/// Why a running worker has no network; `None` when it has, or has one of its own.
#[must_use]
pub fn lost(worker: &Observed, parent: Option<&Observed>, namespaces: &Namespaces) -> Option<Reason> {
    let ObservedNetwork::Of(bound) = &worker.network else { return None };
    let Status::Running { since, .. } = &worker.status else { return None };
    let Some(parent) = parent else { return Some(Reason::ParentDown("gone".to_owned())) };
    if parent.id != *bound {
        return Some(Reason::ParentReplaced);
    }
    match &parent.status {
        Status::Running { since: parent_since, .. } => {
            let apart = match (namespaces.get(&worker.id), namespaces.get(&parent.id)) {
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
