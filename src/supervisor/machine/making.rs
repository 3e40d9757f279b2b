//! What is being made: what may be asked of it, and whether it can be had.

use crate::api::types::ErrorDetail;
use crate::bay::container::{ImageRef, Observed, ObservedNetwork, Role, label};
use crate::bay::name::Name;
use crate::bay::port::Protocol;
use crate::bay::remote::Branch;
use crate::bay::template::{Template, WorkspaceMode};

use super::super::goal::{GoalKind, PARENT, Step};
use super::pool::is_warm;
use super::{Machine, Seen};

impl Machine {
    /// A worker that is being made and has no container yet: a clone may take long, and nobody has to wait for it.
    pub(super) fn is_filling(&self, name: &str) -> bool {
        let first = matches!(self.stored.goals.get(name).map(|goal| &goal.kind), Some(GoalKind::Made(_)));
        first && name != PARENT && matches!(self.busy.get(name), Some(Step::Create(..)))
    }

    /// A parent that stands and was made by another `[parent]`: making it anew ends what runs in its workers, so it is
    /// only said. One of an older podbay does not say what it was made by.
    pub(super) fn stale_parent(&self) -> Option<String> {
        let other = self.is_stale(self.parent()?) && !self.stored.goals.contains_key(PARENT);
        other.then(|| {
            "[parent] has changed since the parent was made; `podbay refresh parent` makes it anew and repairs its \
             workers, which ends what runs in them"
                .to_owned()
        })
    }

    fn is_stale(&self, parent: &Observed) -> bool {
        let hash = parent.label(label::TEMPLATE_HASH);
        !hash.is_empty() && hash != self.config.parent_hash()
    }

    /// A port of the machine that this parent publishes and a service of the bay has by now, with that.
    fn port_of_service(&self, parent: &Observed) -> Option<(u16, Name)> {
        let mut others = self.config.service_ports(crate::engine::publishes_here(&self.endpoint));
        let tcp = parent.ports.iter().filter(|mapping| mapping.protocol == Protocol::Tcp);
        tcp.map(|mapping| mapping.host).find_map(|port| others.remove_entry(&port))
    }

    /// How a parent that is down comes back: anew where it would not be what the configuration says, and nothing is lost by
    /// that. A worker that was made with the old one would have to be made anew, too.
    pub(super) fn bring_parent_back(&self, parent: &Observed) -> GoalKind {
        let bound = |seen: &Seen| {
            seen.container.role() == Some(Role::Worker)
                && matches!(&seen.container.network, ObservedNetwork::Of(of) if *of == parent.id)
        };
        let has_workers = self.seen.iter().any(|(name, seen)| !is_warm(name) && bound(seen));
        let outdated = self.is_stale(parent) || self.port_of_service(parent).is_some();
        match self.make_again(parent) {
            Ok(make) if outdated && !has_workers => GoalKind::Recreated { make, old: parent.id.clone(), start: true },
            _ => GoalKind::Running,
        }
    }

    /// What lives with the parent by then lives with another one.
    pub(super) fn parent_is_replaced(&self) -> bool {
        let goal = self.stored.goals.get(PARENT).map(|goal| &goal.kind);
        matches!(goal, Some(GoalKind::Made(_) | GoalKind::Recreated { .. }))
    }

    /// Why a parent can't be started that publishes what a service of the bay has by now.
    pub(super) fn explain_ports(&self, name: &str, error: ErrorDetail) -> ErrorDetail {
        let parent = self.parent().filter(|_| name == PARENT && error.code == "port-taken");
        let Some((port, service)) = parent.and_then(|parent| self.port_of_service(parent)) else { return error };
        ErrorDetail {
            message: format!(
                "{}; it was made before service {service} had port {port}, and a parent that is made now leaves that out",
                error.message
            ),
            hint: Some("`podbay refresh parent` makes it and its workers anew, workspaces kept".to_owned()),
            ..error
        }
    }
}

/// A clone has a repository; a branch is one of a clone.
pub(super) fn check_repository(template: &Template, branch: Option<&str>) -> Result<(), String> {
    if template.workspace != WorkspaceMode::Clone {
        let text = "a branch is one of a repository: name that with --repo, or a template with workspace = \"clone\"";
        return branch.map_or(Ok(()), |_| Err(text.to_owned()));
    }
    if template.project.is_empty() {
        return Err(
            "workspace = \"clone\" needs a repository: say --repo URL, or name it as the template's project".to_owned()
        );
    }
    branch.map(str::parse::<Branch>).transpose().map(drop)
}

/// An image is made by a setup command.
pub(super) fn check_rebuild(template: &Template, rebuild: bool) -> Result<(), String> {
    let fits = template.workspace == WorkspaceMode::Clone && !template.setup.is_empty();
    match template.image {
        _ if !rebuild => Ok(()),
        _ if !fits => Err("no image is made: the template has no setup command, or clones no repository".to_owned()),
        ImageRef::Host => Err("no image is made: the host image has nothing of its own to keep, so the setup command \
                               runs in each worker; name another image"
            .to_owned()),
        ImageRef::Named(_) => Ok(()),
    }
}
