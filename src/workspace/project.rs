//! What stands at `/workspace`: a directory of this machine, or the worker's own, empty or filled with a clone.

use std::path::{Path, PathBuf};

use crate::bay::remote::{Branch, Remote};
use crate::bay::template::{Template, WorkspaceMode};

use super::clone::Source;
use super::mounts::{MountList, Refused};
use super::{Ground, WorkspaceError};

/// The project directory to bind, canonical; `None`: the worker's own.
pub fn project(
    ground: &Ground<'_>,
    list: &MountList<'_>,
    template: &Template,
) -> Result<Option<PathBuf>, WorkspaceError> {
    if template.project.is_empty() || template.workspace == WorkspaceMode::Clone {
        return Ok(None);
    }
    let refuse = |what: &dyn std::fmt::Display| WorkspaceError::new(format_args!("project directory: {what}"));
    let path = ground.env.expand(&template.project).map_err(|what| refuse(&what))?;
    let found = list.checked(Path::new(&path)).map_err(|refused| match refused {
        Refused::Missing => refuse(&format_args!("{path} does not exist")),
        Refused::Because(what) => refuse(&what),
    })?;
    if !found.is_dir() {
        return Err(refuse(&format_args!("{path} is not a directory")));
    }
    Ok(Some(found))
}

/// The repository that is cloned into the worker's own directory; `None`: it asks for none.
///
/// # Errors
/// The template names no repository, or one that can't be used.
pub fn source(template: &Template, branch: Option<&str>) -> Result<Option<Source>, WorkspaceError> {
    if template.workspace != WorkspaceMode::Clone {
        return Ok(None);
    }
    if template.project.is_empty() {
        let text =
            "workspace = \"clone\" needs a repository: name its URL as the template's project, or say --repo URL";
        return Err(WorkspaceError::new(text));
    }
    let remote = template.project.parse::<Remote>().map_err(WorkspaceError::new)?;
    let branch = branch.map(str::parse::<Branch>).transpose().map_err(WorkspaceError::new)?;
    Ok(Some(Source { remote, branch }))
}
