//! What is being made: what may be asked of it, and whether it can be had.

use crate::bay::container::{ImageRef, label};
use crate::bay::remote::Branch;
use crate::bay::template::{Template, WorkspaceMode};

use super::super::goal::{GoalKind, PARENT, Step};
use super::Machine;

impl Machine {
    /// A worker that is being made and has no container yet: a clone may take long, and nobody has to wait for it.
    pub(super) fn is_filling(&self, name: &str) -> bool {
        let first = matches!(self.stored.goals.get(name).map(|goal| &goal.kind), Some(GoalKind::Made(_)));
        first && name != PARENT && matches!(self.busy.get(name), Some(Step::Create(..)))
    }

    /// A parent that stands and was made by another `[parent]`: making it anew ends what runs in its workers, so it is
    /// only said. One of an older podbay does not say what it was made by.
    pub(super) fn stale_parent(&self) -> Option<String> {
        let hash = self.parent()?.label(label::TEMPLATE_HASH);
        let other = !hash.is_empty() && hash != self.config.parent.hash() && !self.stored.goals.contains_key(PARENT);
        other.then(|| {
            "[parent] has changed since the parent was made; `podbay refresh parent` makes it anew and repairs its \
             workers, which ends what runs in them"
                .to_owned()
        })
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
