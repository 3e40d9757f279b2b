//! What stands at `/workspace`.

use std::path::{Path, PathBuf};

use crate::bay::template::{Template, WorkspaceMode};

use super::mounts::{MountList, Refused};
use super::{Ground, WorkspaceError};

/// The project directory to bind, canonical; `None`: the worker's own.
pub fn project(
    ground: &Ground<'_>,
    list: &MountList<'_>,
    template: &Template,
) -> Result<Option<PathBuf>, WorkspaceError> {
    if template.workspace == WorkspaceMode::Clone {
        let text =
            "workspace = \"clone\": this version does not clone repositories yet; bind a project directory instead";
        return Err(WorkspaceError::new(text));
    }
    if template.project.is_empty() {
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
